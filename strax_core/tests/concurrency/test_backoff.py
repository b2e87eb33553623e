import random

import pytest

from strax_core.concurrency.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("time.sleep", paused.append)
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    backoff = Backoff(first_s=0.1, longest_s=0.5)
    for _ in range(4):
        backoff.pause()
    backoff.begin_anew()
    backoff.pause()

    assert paused == [0.1, 0.2, 0.4, 0.5, 0.1]


def test_no_two_writers_pause_for_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("time.sleep", paused.append)
    for _ in range(100):
        Backoff(first_s=2.0, longest_s=5.0).pause()

    assert len(set(paused)) == 100
    assert 1.0 <= min(paused) < 1.2
    assert 1.8 < max(paused) <= 2.0
