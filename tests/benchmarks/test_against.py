"""How the checkout is compared with an older commit: the interval, the verdict, what is refused."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "side_by_side"
NEEDED = ("--folder", "x", "--commit", "old", "--python-now", "a", "--python-before", "b")


@pytest.fixture
def against(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module("against")
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            sys.modules.pop(name)


@pytest.mark.parametrize(
    # Ranks of tables of the sign test: the confidence is 96.9, 97.9, 96.5, 95.9 and 95.7 %.
    ("n", "low", "high"),
    [(6, 1, 6), (10, 2, 9), (15, 4, 12), (20, 6, 15), (25, 8, 18), (1, 1, 1), (5, 1, 5)],
)
def test_the_interval_is_between_two_of_the_sorted_values(
    against: ModuleType, n: int, low: int, high: int
) -> None:
    values = list(range(n, 0, -1))

    assert against.interval(values) == (low, high)


@pytest.mark.parametrize(
    ("ratios", "is_worse"),
    [
        ([0.94] * 15, True),
        ([0.96] * 15, False),
        ([0.94] * 12 + [1.0] * 3, True),  # the 12th of the sorted ones decides
        ([0.94] * 11 + [1.0] * 4, False),
        ([0.1] * 4 + [0.96] * 11, False),  # a few slow rounds decide nothing
    ],
)
def test_worse_is_what_stays_below_with_the_whole_interval(
    against: ModuleType, ratios: list[float], *, is_worse: bool
) -> None:
    now = [2.0] * 15
    measure = against.Measure.of("load: seconds", now, [2.0 * ratio for ratio in ratios])

    assert measure.is_worse is is_worse
    assert ("WORSE" in against.table([measure], "old")) is is_worse
    assert measure.ratio == pytest.approx(sorted(ratios)[7])
    assert measure.now == 2.0


class Recording:
    """Stands in for both interpreters; notes who was asked."""

    def __init__(self, jobs: ModuleType, side: str, asked: list[str], seconds: float) -> None:
        self._jobs, self._side, self._asked, self._seconds = jobs, side, asked, seconds

    def answer(self, case: Any) -> Any:
        if not case.task.keep or case.job != "save":
            self._asked.append(self._side)
        assert case.peer.module == "ours"
        return self._jobs.Answer(seconds=self._seconds, stored_bytes=7, peak_bytes=5, check="same")


def test_both_take_turns_and_who_begins_changes(against: ModuleType, tmp_path: Path) -> None:
    jobs = importlib.import_module("jobs")
    asked: list[str] = []
    sides = {
        side: against.Side(
            workers=Recording(jobs, side, asked, seconds),
            settings=against.Settings(folder=tmp_path / side),
        )
        for side, seconds in (("now", 1.0), ("before", 2.0))
    }
    for side in sides:
        (tmp_path / side).mkdir()
    measures = against.play(sides, "columns", 4)

    assert asked == ["before", "now", "now", "before"] * 2
    assert {measure.name.rpartition(": ")[2]: measure.ratio for measure in measures} == {
        "stored bytes": 1,
        "seconds": 2,
    }


def test_few_rounds_are_refused_but_for_a_look(
    against: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        against.arguments([*NEEDED, "--repeat", "14"])
    assert "14 rounds say too little; 15 at least" in capsys.readouterr().err
    assert against.arguments([*NEEDED]).repeat == 15
    assert against.arguments([*NEEDED, "--repeat", "20", "load"]).names == ["load"]
    assert against.arguments([*NEEDED, "--quick", "--repeat", "1"]).repeat == 1


def test_what_cannot_be_compared_is_refused(
    against: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("limit", "laod"):
        with pytest.raises(SystemExit):
            against.arguments([*NEEDED, name])
        assert f"there is no bench {name!r} to compare" in capsys.readouterr().err
