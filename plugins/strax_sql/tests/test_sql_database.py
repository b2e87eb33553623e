"""The database itself: tables and their version, processes, threads, files that are none."""

import multiprocessing
import os
import pickle
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sql_places import KEY, OpenCatalogue, rows, save, states
from sqlalchemy import Connection, exc, inspect, text

from strax_core import (
    AccessDenied,
    Context,
    DataNotAvailable,
    DirectoryFrontend,
    MemoryBackend,
    NewerFormat,
    ReadOnlyError,
    StorageUnavailable,
)
from strax_core.testing import sample_key, save_sample
from strax_sql.catalogue.schema import SCHEMA
from strax_sql.database.engine import Database
from strax_sql.errors import translated
from strax_sql.frontend import SqlFrontend
from strax_sql.options import DatabaseOptions, SqlOptions


def file_of(frontend: SqlFrontend) -> Path:
    return Path(frontend.options.place.removeprefix("sqlite:///"))


def count(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM counted")).scalar_one()


@pytest.fixture
def counted(url: str) -> Any:
    """A database with a table of numbers."""
    database = Database(DatabaseOptions(url=url, timeout_s=30), creates=True)
    database.write(lambda connection: connection.execute(text("CREATE TABLE counted (n INTEGER)")))
    yield database
    database.close()


def add(database: Database, number: int) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO counted VALUES (:n)"), {"n": number})

    database.write(work)


def test_tables_of_a_newer_version_are_refused_and_left_alone(
    catalogue: SqlFrontend, open_catalogue: OpenCatalogue
) -> None:
    save(catalogue)
    catalogue.database.write(
        lambda connection: connection.execute(text("UPDATE strax_schema SET version = 2"))
    )
    before = file_of(catalogue).read_bytes()

    for frontend in (open_catalogue(), open_catalogue(readonly=True)):
        with pytest.raises(NewerFormat, match="version 2"):
            frontend.find(KEY)
    with pytest.raises(NewerFormat):
        save(open_catalogue(), sample_key("run_2"))
    assert file_of(catalogue).read_bytes() == before


def test_the_version_stands_in_the_database(catalogue: SqlFrontend) -> None:
    save(catalogue)
    with closing(sqlite3.connect(file_of(catalogue))) as database:
        versions = database.execute("SELECT name, version FROM strax_schema").fetchall()
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()

    assert versions == [("catalogue", 1)]
    assert mode == "wal"


def test_a_place_to_look_only_makes_no_database(open_catalogue: OpenCatalogue) -> None:
    frontend = open_catalogue(readonly=True)
    with pytest.raises(StorageUnavailable, match="is not there"):
        frontend.find(KEY)

    assert not file_of(frontend).exists()


def test_a_folder_that_is_not_there_is_no_empty_catalogue(tmp_path: Path) -> None:
    options = SqlOptions(
        url=f"sqlite:///{tmp_path}/not_mounted/catalog.db", backends={"disk": MemoryBackend()}
    )

    with pytest.raises(StorageUnavailable, match="is not there"):
        SqlFrontend(options).find(KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_unavailable_not_empty(
    open_catalogue: OpenCatalogue,
) -> None:
    frontend = open_catalogue()
    file_of(frontend).write_bytes(b"no database at all, " * 100)

    with pytest.raises(StorageUnavailable, match="no database"):
        frontend.find(KEY)


def test_a_database_that_is_down_leaves_other_places_in_use(
    open_catalogue: OpenCatalogue,
) -> None:
    down = open_catalogue()
    file_of(down).write_bytes(b"no database at all, " * 100)
    other = DirectoryFrontend(MemoryBackend(), name="other")
    save_sample(other.backends["main"], KEY)
    context = Context([down, other])

    assert context._places.find(KEY).place == "other"
    with pytest.raises(StorageUnavailable):
        Context([down])._places.find(KEY)
    with pytest.raises(DataNotAvailable):
        context._places.find(sample_key("run_2"))


def test_threads_write_one_after_the_other(counted: Database) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: add(counted, number), range(200)))

    assert counted.read(count) == 200


def test_a_transaction_that_fails_leaves_nothing(counted: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO counted VALUES (1)"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        counted.write(work)
    assert counted.read(count) == 0


def test_who_waits_too_long_for_another_writer_says_so(url: str, counted: Database) -> None:
    hasty = Database(DatabaseOptions(url=url, timeout_s=0.05, retry_for_s=0.1), creates=True)
    held, done = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        connection.execute(text("INSERT INTO counted VALUES (1)"))
        held.set()
        done.wait(600)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(counted.write, hold)
        held.wait(600)
        with pytest.raises(StorageUnavailable, match="busy"):
            add(hasty, 2)
        assert hasty.read(count) == 0  # a reader waits for nobody
        done.set()
        holding.result()
    add(hasty, 2)
    assert hasty.read(count) == 2
    hasty.close()


def in_another_process(database: Database, number: int) -> None:
    add(database, number)
    os._exit(0 if database.read(count) >= 1 else 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_has_connections_of_its_own(counted: Database, method: Any) -> None:
    add(counted, 1)
    children = [
        multiprocessing.get_context(method).Process(target=in_another_process, args=(counted, i))
        for i in range(3)
    ]
    for child in children:
        child.start()
    add(counted, 2)
    for child in children:
        child.join(600)

    assert [child.exitcode for child in children] == [0, 0, 0]
    assert counted.read(count) == 5


def test_a_database_pickles_without_connections(counted: Database) -> None:
    add(counted, 1)
    other = pickle.loads(pickle.dumps(counted))  # noqa: S301

    assert other._engine is None
    assert other.read(count) == 1
    other.close()


def test_after_closing_new_connections_are_opened(catalogue: SqlFrontend) -> None:
    save(catalogue)
    catalogue.database.close()

    assert states(catalogue) == {"disk": "complete"}
    catalogue.database.close()
    catalogue.database.close()


def test_a_file_that_was_lost_is_made_anew_after_closing(catalogue: SqlFrontend) -> None:
    save(catalogue)
    catalogue.database.close()
    file_of(catalogue).unlink()

    with pytest.raises(DataNotAvailable):
        catalogue.find(KEY)


def test_threads_find_out_at_once_that_a_database_is_down(url: str) -> None:
    together = threading.Barrier(4)

    def fails(_: Connection, *, creates: bool) -> None:
        together.wait(600)  # for ever, if each waited for the one before
        raise StorageUnavailable(f"no answer {creates}")

    database = Database(DatabaseOptions(url=url), creates=True, prepare=fails)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(database.read, count) for _ in range(4)]

    assert [str(each.exception()) for each in asked] == ["no answer True"] * 4
    database.close()


def test_many_open_a_new_catalogue_at_once(open_catalogue: OpenCatalogue) -> None:
    frontends = [open_catalogue() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: save(frontends[i], sample_key(f"run_{i}")), range(8)))

    assert len(rows(frontends[0])) == 8


def test_a_schema_is_brought_up_to_date_step_by_step(url: str) -> None:
    def step(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE strax_runs ADD COLUMN colour TEXT"))

    second = replace(SCHEMA, version=2, migrations=(step,))
    for schema in (SCHEMA, second, second):
        database = Database(
            DatabaseOptions(url=url),
            creates=True,
            prepare=schema.prepare,
        )
        columns = database.read(
            lambda connection: [
                column["name"] for column in inspect(connection).get_columns("strax_runs")
            ]
        )
        database.close()

    assert "colour" in columns


def test_what_a_server_says_is_told_in_our_words() -> None:
    def meaning(code: str) -> type[Exception]:
        original = Exception("secret text")
        original.sqlstate = code  # type: ignore[attr-defined]
        error = translated(exc.OperationalError("SELECT", {}, original), "the catalogue")
        assert "secret" not in str(error)
        return type(error)

    assert meaning("28P01") is AccessDenied
    assert meaning("42501") is AccessDenied
    assert meaning("40001") is StorageUnavailable
    assert meaning("25006") is ReadOnlyError
    assert meaning("57P01") is StorageUnavailable
    assert meaning("XX000") is StorageUnavailable
