import logging
import os
import threading
import time
from collections.abc import Callable

import pytest

from strax_core.late_start import LateStarts

SOON_S = 0.05


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def n_waiting() -> int:
    return sum(thread.name == "strax-late-starts" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _others_have_ended() -> None:
    until(lambda: n_waiting() == 0)


def test_an_action_is_called_once_in_another_thread_when_its_time_has_come() -> None:
    calls: list[tuple[threading.Thread, float]] = []
    starts, began = LateStarts(delay_s=SOON_S), time.monotonic()
    starts.add(lambda: calls.append((threading.current_thread(), time.monotonic() - began)))
    until(lambda: bool(calls))
    time.sleep(2 * SOON_S)
    ((thread, after_s),) = calls

    assert thread is not threading.current_thread()
    assert after_s >= SOON_S


def test_what_is_called_off_never_begins_and_the_others_do() -> None:
    starts, calls = LateStarts(delay_s=SOON_S), list[str]()
    off: list[Callable[[], None]] = [lambda: calls.append("off") for _ in range(3)]
    for action in off:
        starts.add(action)
    starts.add(lambda: calls.append("on"))
    for action in off:
        starts.call_off(action)
    until(lambda: bool(calls))

    assert calls == ["on"]


def test_one_thread_waits_for_all_and_ends_by_itself() -> None:
    starts, called = LateStarts(delay_s=4 * SOON_S), threading.Event()
    actions: list[Callable[[], None]] = [lambda: None for _ in range(20)]
    for action in actions:
        starts.add(action)
    n_at_once = n_waiting()
    for action in actions:
        starts.call_off(action)
    until(lambda: n_waiting() == 0)
    starts.add(called.set)

    assert n_at_once == 1
    assert called.wait(10)


def test_an_action_that_fails_is_told_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> None:
        raise RuntimeError("can't start new thread")

    starts, called = LateStarts(delay_s=SOON_S), threading.Event()
    with caplog.at_level(logging.ERROR, "strax_core"):
        starts.add(failing)
        starts.add(called.set)
        assert called.wait(10)

    assert "can't start new thread" in caplog.text


def test_a_fork_begins_anew() -> None:
    starts, ours = LateStarts(delay_s=SOON_S), threading.Event()
    starts.add(ours.set)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        its_own = threading.Event()
        starts.add(its_own.set)
        os.write(writing, b"%d%d" % (its_own.wait(10), ours.is_set()))
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reading, 2) == b"10"
    assert ours.wait(10)
