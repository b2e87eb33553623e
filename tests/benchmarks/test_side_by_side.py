"""The benchmarks against others still work: all of them once, on tiny data, with our side alone."""

import importlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.long
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "side_by_side"
MODULES = (
    *("benches", "cases", "jobs", "many_runs", "peer_ours"),
    *("report", "runner", "simulation", "targets"),
)
OUR_NAMES = {"find_several": "availability"}


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The modules of the benchmarks; they import each other by bare names."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(os, "sync", lambda: None)  # which waits for all the machine's other work
    before = set(sys.modules)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            sys.modules.pop(name)


@pytest.fixture
def settings(scripts: SimpleNamespace, tmp_path: Path) -> Any:
    """Tiny data, simulated."""
    small = scripts.cases.Settings(
        folder=tmp_path,
        size_mb=0.3,
        repeat=1,
        n_runs=3,
        n_fuzzy=2,
        n_small=2,
        n_chunks=(2, 3, 4),
        n_chunks_upstream=(2, 4),
    )
    for data_type in scripts.cases.DATA_TYPES:
        scripts.simulation.simulate(data_type, 0.3, small.arrays / f"{data_type}.npy")
    return small


class OurSideAlone:
    """Does the jobs of all peers by ours, here; each once, whoever is asked."""

    def __init__(self, scripts: SimpleNamespace) -> None:
        self._scripts = scripts
        self._known: dict[Any, Any] = {}

    def answer(self, case: Any) -> Any:
        """Do a job, of whichever peer, by ours."""
        if case.job == "fuzzy" and case.peer.module == "upstream":  # which counts pieces, not runs
            found = self._scripts.many_runs.answer_text(case.task.number)
            return self._scripts.jobs.Answer(seconds=1, check=found)
        job = OUR_NAMES.get(case.job, case.job)
        same = (job, case.task.data, case.task.number, case.task.rows, case.task.keep)
        if same not in self._known:
            place = case.task.place.replace("many-upstream", "many-ours")
            task = replace(case.task, place=place, compressor=None, fsync=False)
            work = self._scripts.peer_ours.JOBS[job](task)
            self._known[same] = self._scripts.jobs.measure(work, task)
        return self._known[same]


@pytest.mark.parametrize("n_benches", [1, pytest.param(None, marks=pytest.mark.nightly, id="all")])
def test_benches_give_rows_that_the_readme_and_the_results_can_show(
    scripts: SimpleNamespace,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_benches: int | None,
) -> None:
    monkeypatch.setattr(scripts.peer_ours, "warmed_up", lambda _: None)
    workers = OurSideAlone(scripts)
    store = scripts.runner.Store(workers, tmp_path)
    shown = set()
    chosen = dict(islice(scripts.benches.BENCHES.items(), n_benches))
    for name, bench_of in chosen.items():
        bench = bench_of(settings)
        results = scripts.runner.run(bench, settings, workers, store)
        rows = bench.rows(results)
        scripts.runner.write(tmp_path / "results" / f"{name}.json", results, rows, {"bench": name})
        shown |= {row.target for row in rows}
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{scripts.report.BEGIN}\nold\n{scripts.report.END}\nafter\n")
    scripts.report.write_readme(readme, tmp_path / "results", chosen)

    assert shown - {None} <= set(scripts.targets.TARGETS)
    assert n_benches or shown >= set(scripts.targets.TARGETS)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("### ") == len(chosen)


def test_what_is_loaded_is_what_was_simulated(scripts: SimpleNamespace, settings: Any) -> None:
    import numpy as np

    workers = OurSideAlone(scripts)
    case = scripts.cases.Case(scripts.cases.OURS, "load", settings.task("place", "peaks"))
    rows = np.load(settings.arrays / "peaks.npy")
    workers.answer(replace(case, job="save"))

    answer = workers.answer(case)

    assert answer.check == scripts.jobs.summary(rows)
    assert answer.result_bytes == rows.nbytes


def test_simulated_rows_are_the_same_each_time(
    scripts: SimpleNamespace, settings: Any, tmp_path: Path
) -> None:
    for data_type in scripts.cases.DATA_TYPES:
        again = tmp_path / "again" / f"{data_type}.npy"

        scripts.simulation.simulate(data_type, 0.3, again)

        assert again.read_bytes() == (settings.arrays / again.name).read_bytes()


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("save", 1.9, "MISSED"),
        ("save", 2.5, "kept; aim missed"),
        ("save", 3.1, "kept"),
        ("size", 0.66, "MISSED"),
        ("size", 0.6, "kept; aim missed"),
        ("size", 0.5, "kept"),
        ("not slower", 0.99, "MISSED"),
        ("not slower", 1.0, "kept"),
    ],
)
def test_a_row_says_how_it_stands_to_its_target(
    scripts: SimpleNamespace, name: str, value: float, word: str
) -> None:
    row = replace(scripts.cases.single("what", value, "x"), target=name)

    assert scripts.report.mark(row) == word
    assert (
        scripts.report.row_from_json(json.loads(json.dumps(scripts.report.row_as_json(row)))) == row
    )


def test_times_of_different_results_are_not_compared(
    scripts: SimpleNamespace, settings: Any
) -> None:
    one = scripts.cases.Case(scripts.cases.OURS, "load", settings.task("place", "peaks"))
    other = replace(one, peer=scripts.cases.UPSTREAM)
    answers = [scripts.jobs.Answer(seconds=1, check=check) for check in ("3 rows", "4 rows")]

    with pytest.raises(ValueError, match="different results"):
        scripts.cases.faster("load", one, other, {one: answers[:1], other: answers[1:]})
