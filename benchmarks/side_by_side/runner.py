"""Runs the benches: peers in turns, each job in a fresh process; `nox -s bench` calls it."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benches import BENCHES
from cases import DATA_TYPES, Bench, Case, Row, Settings
from jobs import Answer
from plot import draw
from report import row_as_json, row_of, table_text, write_readme
from simulation import simulate

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
RAW = (
    "seconds",
    "cpu_seconds",
    "result_bytes",
    "stored_bytes",
    "written_bytes",
    "peak_bytes",
)
LARGEST_JOB_S = 3600
SPARE_BYTES, TOUCHED_BYTES = 6 << 30, 256 << 20
QUICK: dict[str, Any] = {
    "size_mb": 50,
    "repeat": 3,
    "n_runs": 500,
    "n_fuzzy": 20,
    "n_small": 20,
    "n_chunks": (100, 300, 1000),
    "n_chunks_upstream": (100, 300),
}


@dataclass(frozen=True)
class Workers:
    """The interpreters of the two environments."""

    pythons: Mapping[str, str]

    def answer(self, case: Case) -> Answer:
        """Do a job in a process of its own."""
        return Answer(
            **self._ask(case.peer.environment, case.peer.module, case.job, asdict(case.task))
        )

    def versions(self) -> dict[str, Any]:
        """Return what is installed in each environment."""
        return {name: self._ask(name, "", "versions", {}) for name in self.pythons}

    def _ask(
        self, environment: str, peer: str, job: str, task: Mapping[str, Any]
    ) -> dict[str, Any]:
        command = [self.pythons[environment], str(HERE / "worker.py"), peer, job, json.dumps(task)]
        done = subprocess.run(  # noqa: S603 - our own script
            command, capture_output=True, text=True, check=False, timeout=LARGEST_JOB_S
        )
        if done.returncode:
            raise RuntimeError(f"{peer} could not do {job} {task}:\n{done.stderr[-4000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


class Store:
    """What is stored for others to load; what never changes is kept for the next time."""

    def __init__(self, workers: Workers, folder: Path) -> None:
        self._workers = workers
        self._notes = folder / "stored.json"
        self._kept: dict[str, Any] = {}
        if self._notes.exists():
            self._kept = json.loads(self._notes.read_text(encoding="utf-8"))
        self._done: dict[str, Answer] = {}

    def answer(self, case: Case) -> Answer:
        """Store what a case stores, once."""
        place = Path(case.task.place)
        known = f"{case.job} {place.name} {place.parent.name}"
        if known not in self._done:
            is_kept = case.peer.module != "ours" and place.exists() and known in self._kept
            if is_kept:
                self._done[known] = Answer(**self._kept[known])
            else:
                shutil.rmtree(place, ignore_errors=True)
                self._done[known] = self._workers.answer(case)
                self._kept[known] = asdict(self._done[known])
                self._notes.write_text(json.dumps(self._kept, indent=1), encoding="utf-8")
        return self._done[known]


def run(
    bench: Bench, settings: Settings, workers: Workers, store: Store
) -> dict[Case, list[Answer]]:
    """Run the cases of a bench in turns."""
    results: dict[Case, list[Answer]] = {}
    for case in bench.stores:
        results[case] = [store.answer(case)]
    for case in bench.cases:
        results[case] = []
    for number in range(settings.repeat):
        for case in bench.cases:
            if number < case.repeat_at_most:
                answer = workers.answer(case)
                results[case].append(answer)
                say(
                    f"  {number + 1}: {case.name}: {answer.seconds:.4g} s "
                    f"({answer.cpu_seconds:.4g} s CPU)"
                )
    return results


def touch_free_memory() -> None:
    """Write to most of the free memory, and let it go.

    A virtual machine may have to ask its host for memory that it never used, or gave back: 0.4 s
    instead of 0.01 s for 100 MB. That would be counted as the time of whoever comes first.
    """
    kept = []
    while free_bytes() > SPARE_BYTES:
        kept.append(np.ones(TOUCHED_BYTES, np.uint8))


def free_bytes() -> int:
    """Return how much memory could be had."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise ValueError("this system does not tell how much memory is free")


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def machine() -> dict[str, Any]:
    """Return what matters of this machine."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = {line.partition(": ")[2] for line in cpus if line.startswith("model name")}
    return {
        "cpu": ", ".join(sorted(models)) or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def write(
    path: Path,
    results: Mapping[Case, Sequence[Answer]],
    rows: Sequence[Row],
    facts: Mapping[str, Any],
) -> None:
    """Write what was measured, raw, and the rows that follow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    measured = {
        case.name: {name: [getattr(answer, name) for answer in answers] for name in RAW}
        for case, answers in results.items()
    }
    document = {**facts, "rows": [row_as_json(row) for row in rows], "measured": measured}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Return what the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of benches: {', '.join(BENCHES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="small data, for a look; not kept")
    parser.add_argument("--repeat", type=int, help="how many rounds")
    parser.add_argument("--size-mb", type=float, help="of each data type")
    parser.add_argument("--folder", type=Path, required=True, help="where to work")
    parser.add_argument(
        "--results", type=Path, help="where to write; left out: beside this, if not quick"
    )
    parser.add_argument("--python-ours", default=sys.executable)
    parser.add_argument("--python-upstream", required=True)
    given = parser.parse_args()
    for name in given.names:
        if name not in BENCHES:
            parser.error(f"there is no bench {name!r}; there are {', '.join(BENCHES)}")
    return given


def settings_of(given: argparse.Namespace) -> Settings:
    """Return how much to measure; data of another size lie in another folder."""
    settings = Settings(folder=given.folder, **(QUICK if given.quick else {}))
    asked = {"repeat": given.repeat, "size_mb": given.size_mb}
    settings = replace(settings, **{name: value for name, value in asked.items() if value})
    return replace(settings, folder=given.folder.resolve() / f"{settings.size_mb:g}-mb")


def main() -> None:
    """Run the chosen benches, print and write the tables, and say whether all targets are met."""
    given = arguments()
    settings = settings_of(given)
    for data_type in DATA_TYPES:
        simulate(data_type, settings.size_mb, settings.arrays / f"{data_type}.npy")
    workers = Workers({"ours": given.python_ours, "upstream": given.python_upstream})
    store = Store(workers, settings.folder)
    results_folder = given.results or (settings.folder / "results" if given.quick else RESULTS)
    facts = {"machine": machine(), "versions": workers.versions()}
    missed: list[Row] = []
    for name in given.names or BENCHES:
        say(f"{name}:")
        bench = BENCHES[name](settings)
        began = time.monotonic()
        touch_free_memory()
        results = run(bench, settings, workers, store)
        rows = bench.rows(results)
        write(
            results_folder / f"{name}.json",
            results,
            rows,
            {"bench": name, "settings": settings_as_json(settings), **facts},
        )
        say(table_text(rows))
        say(f"  ({time.monotonic() - began:.0f} s)")
        missed += [row for row in rows if not row.is_met]
    for row in missed:
        say(f"MISSED: {row_of(row)}")
    if results_folder == RESULTS:
        write_readme(HERE.parent / "README.md", RESULTS, BENCHES)
        draw(RESULTS, RESULTS / "ratios.png")
    raise SystemExit(bool(missed))


def settings_as_json(settings: Settings) -> dict[str, Any]:
    """Return the settings without the folder, which says nothing to others."""
    return {name: value for name, value in asdict(settings).items() if name != "folder"}


if __name__ == "__main__":
    main()
