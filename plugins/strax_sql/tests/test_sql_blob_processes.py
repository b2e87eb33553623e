"""Many processes that save one key at once: one wins, and nothing is left over."""

from pathlib import Path

import pytest
from blob_places import server_options, sqlite_options
from postgres_server import PostgresServer
from racing import check_race, race
from raw_blobs import raw_postgresql, raw_sqlite

from strax_sql.blobs.backend import SqlBlobBackend

ROUNDS = 10
# Sixteen interpreters take a while, also without a server.
pytestmark = [pytest.mark.servers, pytest.mark.long]


def test_of_sixteen_processes_one_wins_in_a_file_of_sqlite(tmp_path: Path) -> None:
    backend = SqlBlobBackend(sqlite_options(tmp_path / "blobs.db"))  # who comes first makes it
    told = race(backend, ROUNDS)
    with raw_sqlite(tmp_path / "blobs.db") as raw:
        check_race(backend, raw, told)


def test_of_sixteen_processes_one_wins_on_a_server(
    postgres_database: PostgresServer, tmp_path: Path
) -> None:
    backend = SqlBlobBackend(server_options(postgres_database, tmp_path))
    told = race(backend, ROUNDS)
    with raw_postgresql(postgres_database) as raw:
        check_race(backend, raw, told)
