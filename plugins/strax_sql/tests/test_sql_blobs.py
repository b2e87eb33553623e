"""The contract of the backend `sqlblob`, and of its frontend."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blob_places import made, server_options, sqlite_options
from postgres_server import PostgresServer
from raw_blobs import raw_postgresql, raw_sqlite

from strax_core.testing import BackendContract, FaultyBackend, FrontendContract, RawAccess
from strax_sql.blobs.backend import SqlBlobBackend
from strax_sql.blobs.frontend import SqlBlobFrontend


class OnSqlite:
    @pytest.fixture
    def backend(self, tmp_path: Path) -> SqlBlobBackend:
        return made(sqlite_options(tmp_path / "blobs.db"))

    @pytest.fixture
    def raw(self, backend: SqlBlobBackend, tmp_path: Path) -> Iterator[RawAccess]:
        assert backend  # it made the tables
        with raw_sqlite(tmp_path / "blobs.db") as raw:
            yield raw


CHECKS = BackendContract.__bases__


class TestSqlBlobsOnSqlite(OnSqlite, *CHECKS[::2]):  # type: ignore[misc]
    """Half of the contract, and below the other: two processes share it."""


class TestRestOfSqlBlobsOnSqlite(OnSqlite, *CHECKS[1::2]):  # type: ignore[misc]
    pass


class TestSqlBlobFrontend(OnSqlite, FrontendContract):
    requests_for_many = 2

    @pytest.fixture
    def watched(self, backend: SqlBlobBackend) -> FaultyBackend:
        return FaultyBackend(backend)

    @pytest.fixture
    def open_frontend(self, watched: FaultyBackend) -> Callable[..., SqlBlobFrontend]:
        return lambda **options: SqlBlobFrontend(watched, **options)

    @pytest.fixture
    def requests(self, watched: FaultyBackend) -> Callable[[], int]:
        return lambda: len(watched.calls)


class OnPostgres:
    """Below a prefix, in a database of each test's own."""

    @pytest.fixture
    def prefix(self) -> str:
        return "a place/of its own"

    @pytest.fixture
    def backend(
        self, postgres_database: PostgresServer, prefix: str, tmp_path: Path
    ) -> SqlBlobBackend:
        return made(server_options(postgres_database, tmp_path, prefix=prefix))

    @pytest.fixture
    def raw(
        self, backend: SqlBlobBackend, postgres_database: PostgresServer, prefix: str
    ) -> Iterator[RawAccess]:
        assert backend  # it made the tables
        with raw_postgresql(postgres_database, prefix) as raw:
            yield raw

    @pytest.fixture
    def secret(self, postgres_database: PostgresServer) -> str:
        return postgres_database.password


@pytest.mark.servers
class TestSqlBlobsOnPostgres(OnPostgres, *CHECKS[::2]):  # type: ignore[misc]
    pass


@pytest.mark.servers
class TestRestOfSqlBlobsOnPostgres(OnPostgres, *CHECKS[1::2]):  # type: ignore[misc]
    pass
