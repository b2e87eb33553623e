"""Many processes register and find in one catalogue, one is killed every second: is it still true?

`--postgresql` starts a server of its own, which `tests/servers/install-debian.sh` installs; left
out: a file of SQLite. `tests/benchmarks/test_catalogue_crowd.py` plays a little of the same.
"""

import argparse
import logging
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from own_postgres import PASSWORD, own_postgres
from sqlalchemy import func, select

from strax_core import Chunk, Context, Plugin, SecretReference
from strax_local import LocalBackend, LocalOptions
from strax_sql.catalogue.schema import COPIES, PIECES
from strax_sql.frontend import SqlFrontend
from strax_sql.options import SqlOptions

N_PROCESSES = 16
KILLED_EVERY_S = 1.0
RUNS_A_KILL = 100  # so that runs do not repeat too often
STUCK_AFTER_S = 600.0  # a busy machine is slow
TO_HAPPEN = frozenset({"made", "wrote", "found"})
BACKENDS = ("disk", "hall")
MAKES, WRITES = 0.4, 0.1
"""How much of the time data are made, and documents about runs written; else data are found."""
DTYPE = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])


class Records(Plugin):
    """Ten rows that tell the run."""

    provides = "records"
    dtype = DTYPE

    def chunks(self) -> Iterator[Chunk]:
        """Give one chunk."""
        yield self.chunk(start=0, end=1000, data=rows_of(self.run_id))


def rows_of(run_id: str) -> np.ndarray[Any, Any]:
    """Return the rows of a run."""
    rows = np.zeros(10, DTYPE)
    rows["time"] = np.arange(10) * 100
    rows["endtime"] = rows["time"] + 50
    rows["x"] = int(run_id) + np.arange(10)
    return rows


def document_of(run_id: str) -> dict[str, Any]:
    """Return the document about a run."""
    return {"mode": "crowd", "counts": [int(run_id), 1]}


@dataclass(frozen=True)
class Scene:
    """Where it is played."""

    url: str
    folder: Path
    password_env: str | None = None

    def catalogue(self) -> SqlFrontend:
        """Open the catalogue anew."""
        reference = None if self.password_env is None else SecretReference(env=self.password_env)
        backends = {
            name: LocalBackend(LocalOptions(path=str(self.folder / name), fsync=False))
            for name in BACKENDS
        }
        options = SqlOptions(url=self.url, password=reference, backends=backends)
        return SqlFrontend(options, name="catalog", grace_time_s=600)

    def context(self) -> Context:
        """Return a context on it alone."""
        return Context([self.catalogue()], plugins=[Records])


@dataclass
class Tally:
    """What happened."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def work(scene: Scene, number: int, n_runs: int, rng: random.Random) -> None:
    """Make and find runs, and write documents, until killed; what is confirmed is written down."""
    logging.disable(logging.WARNING)
    context = scene.context()
    with _confirmed(scene, number).open("a", buffering=1) as confirmed:
        while True:
            run_id = f"{rng.randrange(n_runs):06d}"
            chance = rng.random()
            if chance < MAKES:
                context.make(run_id, "records")
                confirmed.write(f"made {run_id}\n")
            elif chance < MAKES + WRITES:
                context.write_run_metadata(run_id, document_of(run_id))
                confirmed.write(f"wrote {run_id}\n")
            elif context.is_stored(run_id, "records"):
                found = context.get_array(run_id, "records")
                right = np.array_equal(found, rows_of(run_id))
                confirmed.write(f"{'found' if right else 'WRONG'} {run_id}\n")
            else:
                confirmed.write(f"absent {run_id}\n")


def play(
    scene: Scene, *, n_kills: int, n_processes: int = N_PROCESSES, seed: int | None = None
) -> Tally:
    """Let processes work, kill one at random every second, then look at everything.

    It goes on for as long as it takes until each of `TO_HAPPEN` was confirmed; a process is killed
    only after it has confirmed something.
    """
    for name in BACKENDS:
        (scene.folder / name).mkdir()
    rng = random.Random(seed)  # noqa: S311 - who is killed, and who does what
    fork = multiprocessing.get_context("fork")
    n_runs = max(50, n_kills * RUNS_A_KILL)
    tally = Tally()

    def start(number: int) -> Any:
        _confirmed(scene, number).touch()
        choices = random.Random(rng.random())  # noqa: S311 - the same
        process = fork.Process(target=work, args=(scene, number, n_runs, choices))
        process.start()
        return process

    processes = [start(number) for number in range(n_processes)]
    sizes = [0] * n_processes
    while tally.counts["killed"] < n_kills and not tally.wrong:
        time.sleep(KILLED_EVERY_S)
        number = rng.randrange(n_processes)
        _wait_until(lambda number=number: _n_bytes(scene, number) > sizes[number], "stuck", tally)
        if not processes[number].is_alive():
            tally.wrong.append(f"a process ended by itself: {processes[number].exitcode}")
        os.kill(processes[number].pid, signal.SIGKILL)
        processes[number].join()
        tally.counts["killed"] += 1
        sizes[number] = _n_bytes(scene, number)
        processes[number] = start(number)
    _check_progress(scene, tally, n_processes)
    for process in processes:
        process.kill()
        process.join()
    _check_everything(scene, tally)
    return tally


def _confirmed(scene: Scene, number: int) -> Path:
    return scene.folder / f"confirmed-{number}"


def _n_bytes(scene: Scene, number: int) -> int:
    return _confirmed(scene, number).stat().st_size


def _wait_until(is_so: Callable[[], bool], otherwise: str, tally: Tally) -> None:
    until = time.monotonic() + STUCK_AFTER_S
    while not is_so():
        if time.monotonic() > until:
            tally.wrong.append(otherwise)
            return
        time.sleep(0.05)


def _lines(scene: Scene) -> list[tuple[str, str]]:
    """Return all that was confirmed; the last line of a killed process may be cut off."""
    lines = [
        line.split()
        for path in scene.folder.glob("confirmed-*")
        for line in path.read_text().splitlines()
    ]
    return [(line[0], line[1]) for line in lines if len(line) == 2 and len(line[1]) == 6]  # noqa: PLR2004


def _check_progress(scene: Scene, tally: Tally, n_processes: int) -> None:
    """Find out whether anybody waits for ever: each must confirm something more."""
    for number in range(n_processes):
        before = _n_bytes(scene, number)
        _wait_until(
            lambda number=number, before=before: _n_bytes(scene, number) > before,
            f"stuck: {number}",
            tally,
        )
    _wait_until(lambda: {what for what, _ in _lines(scene)} >= TO_HAPPEN, "not all happened", tally)


def _check_everything(scene: Scene, tally: Tally) -> None:
    lines = _lines(scene)
    tally.counts.update(what for what, _ in lines)
    tally.wrong += [f"wrong rows of {run_id}" for what, run_id in lines if what == "WRONG"]
    context = scene.context()
    stored = {run_id for what, run_id in lines if what in ("made", "found")}
    tally.counts["runs"] = len(stored)
    for run_id in sorted(stored):
        if not context.is_stored(run_id, "records"):
            tally.wrong.append(f"lost: {run_id}")
        elif not np.array_equal(context.get_array(run_id, "records"), rows_of(run_id)):
            tally.wrong.append(f"wrong rows of {run_id} at the end")
    documents = {run_id for what, run_id in lines if what == "wrote"}
    tally.counts["documents"] = len(documents)
    kept = {str(each["name"]): each for each in context.scan_runs()}
    for run_id in sorted(documents):
        if kept.get(run_id) != {"name": run_id, **document_of(run_id)}:
            tally.wrong.append(f"document of {run_id}: {kept.get(run_id)}")
    frontend = scene.catalogue()
    tally.counts["mended"] = len(list(frontend.rebuild_catalogue(dry_run=False)))
    tally.wrong += [f"{each.name}: {each.text}" for each in frontend.check_catalogue()]
    doubled = (
        select(PIECES.c.run_id, func.count())
        .join(COPIES, COPIES.c.piece_id == PIECES.c.id)
        .where(COPIES.c.state == "complete")
        .group_by(PIECES.c.run_id)
        .having(func.count() > 1)
    )
    twice = frontend.database.read(lambda connection: list(connection.execute(doubled)))
    tally.wrong += [f"entered twice: {run_id}" for run_id, _ in twice]
    frontend.database.close()


def main() -> int:
    """Play, and print what happened; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="one a second")
    parser.add_argument("--processes", type=int, default=N_PROCESSES)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        scene = Scene(f"sqlite:///{folder}/catalog.db", folder)
        if options.postgresql:
            scene = Scene(stack.enter_context(own_postgres())(), folder, PASSWORD)
        tally = play(scene, n_kills=options.kills, n_processes=options.processes, seed=options.seed)
    for what, number in sorted(tally.counts.items()):
        print(f"{what:8} {number:,}")
    for each in tally.wrong[:20]:
        print(f"WRONG: {each}")
    print(f"wrong    {len(tally.wrong)}")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
