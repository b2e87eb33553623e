"""Many processes that save one key at once: one wins, and nothing is left over."""

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blob_places import server_options, sqlite_options
from postgres_server import PostgresServer
from raw_blobs import raw_postgresql, raw_sqlite

from strax_core import DataExistsError, metadata_path
from strax_core.testing import RawAccess, everything, sample_chunks, sample_key, save_sample
from strax_sql.blob_backend import SqlBlobBackend

WRITERS, ROUNDS = 16, 10
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["strax_sql.blob_backend", "strax_core.testing"])
_meeting: list[Any] = []
pytestmark = pytest.mark.servers  # sixteen interpreters take a while, also without one


def meet_at(barrier: Any) -> None:
    _meeting[:] = [barrier]


def save_all(backend: SqlBlobBackend, number: int) -> list[str]:
    """Save one key after the other, each at the same moment as all others; tell how it went."""
    told = []
    for i in range(ROUNDS):
        key = sample_key(f"run_{i}")
        _meeting[0].wait()
        try:
            save_sample(backend, key, sample_chunks(key, mark=number))
        except DataExistsError:
            told.append("exists")
        else:
            told.append("saved")
    return told


def test_of_sixteen_processes_one_wins_in_a_file_of_sqlite(tmp_path: Path) -> None:
    backend = SqlBlobBackend(sqlite_options(tmp_path / "blobs.db"))  # who comes first makes it
    told = race(backend)
    with raw_sqlite(tmp_path / "blobs.db") as raw:
        check(backend, raw, told)


def test_of_sixteen_processes_one_wins_on_a_server(
    postgres_database: PostgresServer, tmp_path: Path
) -> None:
    backend = SqlBlobBackend(server_options(postgres_database, tmp_path))
    told = race(backend)
    with raw_postgresql(postgres_database) as raw:
        check(backend, raw, told)


def race(backend: SqlBlobBackend) -> list[list[str]]:
    """Let all save; return how it went, for each process and key."""
    meeting = (FORKS.Barrier(WRITERS),)
    with ProcessPoolExecutor(WRITERS, FORKS, initializer=meet_at, initargs=meeting) as pool:
        tasks = [pool.submit(save_all, backend, number) for number in range(WRITERS)]
        return [task.result() for task in tasks]


def check(backend: SqlBlobBackend, raw: RawAccess, told: list[list[str]]) -> None:
    """One writer of each key won, its data are there, and nothing else."""
    for of_round in zip(*told, strict=True):
        assert Counter(of_round) == {"saved": 1, "exists": WRITERS - 1}
    wanted = set()
    for i in range(ROUNDS):
        key = sample_key(f"run_{i}")
        (winner,) = [number for number, each in enumerate(told) if each[i] == "saved"]
        expected = [chunk.data.tobytes() for chunk in sample_chunks(key, mark=winner)]
        assert [chunk.data.tobytes() for chunk in backend.loader(key.name)] == expected
        backend.verify(key.name)
        files = [info.filename for info in backend.get_metadata(key.name).chunks]
        wanted |= {metadata_path(key.name)}
        wanted |= {f"{key.name}/{file}" for file in files if file is not None}
    assert everything(raw) == wanted
