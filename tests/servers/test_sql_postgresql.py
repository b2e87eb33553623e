"""The catalogue on PostgreSQL: the contract, many processes, a server that goes and comes."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from postgres_server import Postgres, PostgresServer

from strax_core import (
    AccessDenied,
    Context,
    DirectoryFrontend,
    MemoryBackend,
    SecretReference,
    StorageBackend,
    StorageUnavailable,
)
from strax_core.testing import FrontendContract, sample_chunks, sample_key, sample_metadata
from strax_sql import SqlFrontend, SqlOptions
from strax_sql.catalogue import writes

pytestmark = pytest.mark.servers
PASSWORD = "CATALOG_PASSWORD"  # noqa: S105 - the name of a variable
KEY = sample_key()


def catalogue_on(
    server: PostgresServer, backends: dict[str, StorageBackend], **options: Any
) -> SqlFrontend:
    chosen = SqlOptions(
        url=server.url, password=SecretReference(env=PASSWORD), backends=backends, timeout_s=5
    )
    return SqlFrontend(chosen, **options)


class TestSqlFrontendOnPostgresql(FrontendContract):
    @pytest.fixture
    def open_frontend(
        self, postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[..., SqlFrontend]]:
        monkeypatch.setenv(PASSWORD, postgres_database.password)
        places: dict[str, StorageBackend] = {"near": MemoryBackend(), "far": MemoryBackend()}
        opened: list[SqlFrontend] = []

        def one(**options: Any) -> SqlFrontend:
            opened.append(catalogue_on(postgres_database, places, **options))
            return opened[-1]

        yield one
        for each in opened:
            each.database.close()

    @pytest.fixture
    def secret(self, postgres_database: PostgresServer) -> str:
        return postgres_database.password


def save(frontend: SqlFrontend, run_id: str) -> None:
    key = sample_key(run_id)
    frontend.saver(key, sample_metadata(key)).save_from(sample_chunks(key))


def test_a_server_that_goes_and_comes_leaves_other_places_in_use(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, own_postgres.server.password)
    catalogue = catalogue_on(own_postgres.server, {"disk": MemoryBackend()}, name="catalog")
    other = DirectoryFrontend(MemoryBackend(), name="other")
    save(catalogue, "run_1")
    other.saver(KEY, sample_metadata(KEY)).save_from(sample_chunks(KEY))
    context = Context([catalogue, other])
    assert context._places.find(KEY).place == "catalog"

    own_postgres.kill()
    assert context._places.find(KEY).place == "other"
    with pytest.raises(StorageUnavailable):
        catalogue.find(KEY)
    own_postgres.start()
    assert context._places.find(KEY).place == "catalog"
    catalogue.database.close()


def test_a_wrong_password_is_refused_and_told_nowhere(
    postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "wrong-canary")
    catalogue = catalogue_on(postgres_database, {"disk": MemoryBackend()})
    with pytest.raises(AccessDenied) as caught:
        catalogue.find(KEY)

    assert "wrong-canary" not in str(caught.value)
    catalogue.database.close()


def test_what_another_takes_out_in_between_is_entered_again(
    postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, postgres_database.password)
    places: dict[str, StorageBackend] = {"disk": MemoryBackend(), "hall": MemoryBackend()}
    catalogue, other = (catalogue_on(postgres_database, places) for _ in range(2))
    save(catalogue, "run_1")
    honest = writes._rows
    n_tries: list[None] = []

    def rows(*arguments: Any) -> Any:
        found = honest(*arguments)
        n_tries.append(None)
        if len(n_tries) == 1:  # the piece of data was found, and now goes with its only copy
            other.remove(sample_key("run_1"))
        return found

    entry = writes.Entry.of(KEY, "hall", KEY.name, {"state": "complete"})
    with monkeypatch.context() as patch:
        patch.setattr(writes, "_rows", rows)
        catalogue.database.write(lambda connection: writes.register(connection, [entry]))
    (found,) = catalogue.find_several([KEY])
    for each in (catalogue, other):
        each.database.close()

    assert len(n_tries) == 2
    assert found is not None
    assert found.backend == "hall"


def test_settings_in_the_url_are_kept(
    postgres_server: Postgres, postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, postgres_database.password)
    name = postgres_database.database
    postgres_server.sql("CREATE SCHEMA mine", database=name)
    query = "?options=-csearch_path%3Dmine&application_name=analysis"
    chosen = SqlOptions(
        url=f"{postgres_database.url}{query}",
        password=SecretReference(env=PASSWORD),
        backends={"disk": MemoryBackend()},
        timeout_s=5,
    )
    catalogue = SqlFrontend(chosen)
    save(catalogue, "run_1")
    shown = "SHOW lock_timeout", "SHOW search_path", "SHOW application_name"
    settings = catalogue.database.read(
        lambda connection: [connection.exec_driver_sql(each).scalar() for each in shown]
    )
    catalogue.database.close()

    assert settings == ["5s", "mine", "analysis"]
    assert postgres_server.sql("SELECT count(*) FROM mine.strax_pieces", database=name) == "1"


def test_many_threads_in_one_table_are_all_done(
    postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, postgres_database.password)
    catalogue = catalogue_on(postgres_database, {"disk": MemoryBackend()})
    threads = [
        threading.Thread(target=save, args=(catalogue, f"run_{number}")) for number in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = catalogue.find_several([sample_key(f"run_{number}") for number in range(40)])
    assert [each is not None and each.listed for each in found] == [True] * 32 + [False] * 8
    catalogue.database.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_many_processes_register_and_find_though_one_is_killed_every_second(
    catalogue_crowd: ModuleType,
    postgres_database: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setenv(PASSWORD, postgres_database.password)
    scene = catalogue_crowd.Scene(postgres_database.url, tmp_path, PASSWORD)
    tally = catalogue_crowd.play(scene, n_kills=5, n_processes=8, seed=4 + seed)

    assert tally.wrong == []
    assert tally.counts["killed"] == 5
    assert tally.counts["made"] > 0
    assert tally.counts["found"] > 0
    assert tally.counts["wrote"] > 0
