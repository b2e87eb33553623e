import logging
import os
import threading
import time
from collections.abc import Callable

import pytest

from strax_core.concurrency.delayed_calls import DelayedCalls

SOON_S = 0.05
HANGS_S = 600
DELAY_S = 1.0  # of the clock below


class Clock:
    """Takes the place of `time`: only a test moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, pause_s: float) -> None:
        due_s = self.now_s + pause_s
        while self.now_s < due_s:
            time.sleep(0.001)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("strax_core.concurrency.delayed_calls.time", clock)
    return clock


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + HANGS_S
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def n_waiting() -> int:
    return sum(thread.name == "strax-delayed-calls" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _others_have_ended() -> None:
    until(lambda: n_waiting() == 0)


def test_an_action_is_called_once_in_another_thread_when_its_time_has_come(clock: Clock) -> None:
    calls: list[tuple[threading.Thread, float]] = []
    calls_later = DelayedCalls(delay_s=DELAY_S)
    calls_later.schedule(lambda: calls.append((threading.current_thread(), clock.now_s)))
    while not calls:
        clock.now_s += DELAY_S / 100
        time.sleep(0.002)
    clock.now_s += 10 * DELAY_S
    until(lambda: n_waiting() == 0)
    ((thread, after_s),) = calls

    assert thread is not threading.current_thread()
    assert after_s >= DELAY_S


def test_by_the_clock_of_the_system_it_waits_as_long() -> None:
    calls: list[float] = []
    calls_later, began = DelayedCalls(delay_s=SOON_S), time.monotonic()
    calls_later.schedule(lambda: calls.append(time.monotonic() - began))
    until(lambda: bool(calls))

    assert calls[0] >= SOON_S


def test_what_is_called_off_never_begins_and_the_others_do(clock: Clock) -> None:
    calls_later, calls = DelayedCalls(delay_s=DELAY_S), list[str]()
    off: list[Callable[[], None]] = [lambda: calls.append("off") for _ in range(3)]
    for action in off:
        calls_later.schedule(action)
    calls_later.schedule(lambda: calls.append("on"))
    for action in off:
        calls_later.cancel(action)
    clock.now_s += DELAY_S
    until(lambda: bool(calls))

    assert calls == ["on"]


def test_one_thread_waits_for_all_and_ends_by_itself(clock: Clock) -> None:
    calls_later, called = DelayedCalls(delay_s=DELAY_S), threading.Event()
    actions: list[Callable[[], None]] = [lambda: None for _ in range(20)]
    for action in actions:
        calls_later.schedule(action)
    n_at_once = n_waiting()
    for action in actions:
        calls_later.cancel(action)
    clock.now_s += DELAY_S
    until(lambda: n_waiting() == 0)
    calls_later.schedule(called.set)
    clock.now_s += DELAY_S

    assert n_at_once == 1
    assert called.wait(HANGS_S)


def test_an_action_that_fails_is_told_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> None:
        raise RuntimeError("can't start new thread")

    calls_later, called = DelayedCalls(delay_s=SOON_S), threading.Event()
    with caplog.at_level(logging.ERROR, "strax_core"):
        calls_later.schedule(failing)
        calls_later.schedule(called.set)
        assert called.wait(HANGS_S)

    assert "can't start new thread" in caplog.text


def test_a_fork_begins_anew(clock: Clock) -> None:
    calls_later, ours = DelayedCalls(delay_s=DELAY_S), threading.Event()
    calls_later.schedule(ours.set)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        its_own = threading.Event()
        calls_later.schedule(its_own.set)
        clock.now_s += DELAY_S  # here alone
        os.write(writing, b"%d%d" % (its_own.wait(HANGS_S), ours.is_set()))
        os._exit(0)
    os.waitpid(child, 0)
    clock.now_s += DELAY_S

    assert os.read(reading, 2) == b"10"
    assert ours.wait(HANGS_S)
