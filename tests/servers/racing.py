"""Processes of their own, which start fast, and a race of many of them that save the same keys."""

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from strax_core import DataExistsError, StorageBackend, metadata_path
from strax_core.testing import RawAccess, everything, sample_chunks, sample_key, save_sample

WRITERS = 16
FORKS = multiprocessing.get_context("forkserver")
# One server forks all of them: so it has imported whatever any of the tests needs.
FORKS.set_forkserver_preload(
    ["strax_s3.backend", "strax_sql.blobs.backend", "strax_sql.frontend", "strax_core.testing"]
)
_meeting: list[Any] = []


def _meet_at(barrier: Any) -> None:
    _meeting[:] = [barrier]


def _save_all(backend: StorageBackend, number: int, rounds: int) -> list[str]:
    """Save one key after the other, each at the same moment as all others; tell how it went."""
    told = []
    for i in range(rounds):
        key = sample_key(f"run_{i}")
        _meeting[0].wait()
        try:
            save_sample(backend, key, sample_chunks(key, mark=number))
        except DataExistsError:
            told.append("exists")
        else:
            told.append("saved")
    return told


def race(backend: StorageBackend, rounds: int) -> list[list[str]]:
    """Let sixteen processes save; return how it went, for each process and key."""
    meeting = (FORKS.Barrier(WRITERS),)
    with ProcessPoolExecutor(WRITERS, FORKS, initializer=_meet_at, initargs=meeting) as pool:
        tasks = [pool.submit(_save_all, backend, number, rounds) for number in range(WRITERS)]
        return [task.result() for task in tasks]


def check_race(backend: StorageBackend, raw: RawAccess, told: list[list[str]]) -> None:
    """One writer of each key won, its data are there, and nothing else."""
    for of_round in zip(*told, strict=True):
        assert Counter(of_round) == {"saved": 1, "exists": WRITERS - 1}
    names = [sample_key(f"run_{i}").name for i in range(len(told[0]))]
    assert everything(raw) == named(backend, *names)
    for i, name in enumerate(names):
        backend.verify(name)
        (winner,) = [number for number, each in enumerate(told) if each[i] == "saved"]
        expected = sample_chunks(sample_key(f"run_{i}"), mark=winner)
        loaded = list(backend.loader(name))
        assert [c.data.tobytes() for c in loaded] == [c.data.tobytes() for c in expected]


def named(backend: StorageBackend, *names: str) -> set[str]:
    """Return what lies there if only complete data do: metadata and the files that they name."""
    wanted = set()
    for name in names:
        wanted.add(metadata_path(name))
        files = [info.filename for info in backend.get_metadata(name).chunks]
        wanted |= {f"{name}/{file}" for file in files if file is not None}
    return wanted
