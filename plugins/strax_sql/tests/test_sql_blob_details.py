"""What the contract does not ask of `sqlblob`: parts, indexes, memory, and what is not there."""

import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blob_places import made, server_options, sqlite_options
from postgres_server import Postgres, PostgresServer
from raw_blobs import ADD, MIB, RawBlobs, raw_postgresql, raw_sqlite
from sqlalchemy import event

from strax_core import (
    ConfigError,
    Context,
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    ObjectMissing,
    StorageUnavailable,
)
from strax_core.testing import everything, sample_key, save_sample
from strax_sql.blobs import read
from strax_sql.blobs.backend import SqlBlobBackend
from strax_sql.blobs.frontend import SqlBlobFrontend
from strax_sql.blobs.options import SqlBlobOptions

BODY = bytes(range(256)) * 14_000  # 3.4 MiB
SERVERS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.servers))


@pytest.fixture(params=SERVERS)
def options(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., SqlBlobOptions]:
    """A function that returns what leads to one database."""
    if request.param == "sqlite":
        return lambda **more: sqlite_options(tmp_path / "blobs.db", **more)
    server = request.getfixturevalue("postgres_database")
    return lambda **more: server_options(server, tmp_path, **more)


@pytest.fixture
def backend(options: Callable[..., SqlBlobOptions]) -> SqlBlobBackend:
    return made(options())


@pytest.fixture
def raw(
    request: pytest.FixtureRequest, backend: SqlBlobBackend, tmp_path: Path
) -> Iterator[RawBlobs]:
    if backend.place.startswith("sqlite"):
        with raw_sqlite(tmp_path / "blobs.db") as raw:
            yield raw
    else:
        server: PostgresServer = request.getfixturevalue("postgres_database")
        with raw_postgresql(server) as raw:
            yield raw


def watch(backend: SqlBlobBackend, see: Callable[[str, Any], None]) -> None:
    """Let a function see each statement that the backend sends from now on, and its values."""
    engine = backend._database._ready()

    @event.listens_for(engine, "before_cursor_execute")
    def told(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        see(statement, values)


def test_a_file_lies_in_parts_of_one_mebibyte(backend: SqlBlobBackend, raw: RawBlobs) -> None:
    backend.write("file", [BODY[:1000], memoryview(BODY)[1000:MIB], BODY[MIB:]])
    backend.write("empty", [b""])
    backend.write("just one", [BODY[:MIB]])
    lengths = raw.run(
        "SELECT name, number, length(data) FROM strax_blobs JOIN strax_blob_parts ON id = file_id "
        "ORDER BY name, number"
    )

    assert [tuple(row) for row in lengths] == [
        *(("file", number, MIB) for number in range(3)),
        ("file", 3, len(BODY) - 3 * MIB),
        ("just one", 0, MIB),
    ]


@pytest.mark.parametrize("at_once", [1, 3, 16])
def test_ranges_need_only_their_own_parts(
    backend: SqlBlobBackend, raw: RawBlobs, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(read, "PARTS_AT_ONCE", at_once)
    backend.write("file", [BODY])
    raw.run("DELETE FROM strax_blob_parts WHERE number IN (?, ?)", 0, 2)
    ranges = [(len(BODY) - 5, 5), (MIB, 7), (2 * MIB - 3, 3), (3 * MIB, 0), (0, 0), (MIB, MIB)]

    assert backend.read_ranges("file", ranges) == [BODY[at : at + n] for at, n in ranges]
    for bad in ((2 * MIB - 3, 4), (0, 1), (MIB - 1, 2)):
        with pytest.raises(DataCorrupted, match=r"file: part \d is missing"):
            backend.read_ranges("file", [(MIB, 7), bad])
    with pytest.raises(DataCorrupted, match="part 0 is missing"):
        backend.read("file")


def test_a_part_of_another_size_is_found_out(backend: SqlBlobBackend, raw: RawBlobs) -> None:
    backend.write("file", [BODY])
    for number, data in ((3, b"short"), (1, BODY[: MIB + 1])):
        raw.run("UPDATE strax_blob_parts SET data = ? WHERE number = ?", data, number)
        with pytest.raises(DataCorrupted, match=f"part {number} has {len(data)} bytes"):
            backend.read_ranges("file", [(number * MIB, 1)])


def test_a_small_file_comes_with_one_statement(backend: SqlBlobBackend) -> None:
    backend.write("file", [BODY[:MIB]])
    seen: list[str] = []
    watch(backend, lambda statement, _: seen.append(statement))

    assert backend.read("file") == BODY[:MIB]
    assert backend.read_ranges("file", [(7, 3)]) == [BODY[7:10]]
    assert len(seen) == 2


def test_a_content_that_is_replaced_in_mid_read_is_not_mixed_with_the_next(
    backend: SqlBlobBackend, raw: RawBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PARTS_AT_ONCE", 1)
    backend.write("file", [BODY])
    other = bytes(len(BODY) - 7)
    n_seen: list[str] = []

    def replace(statement: str, _: Any) -> None:
        n_seen.append(statement)
        if len(n_seen) == 3:
            raw.write("file", other)

    watch(backend, replace)

    assert backend.read("file") == other


def test_what_is_read_or_written_does_not_lie_in_memory_twice(
    backend: SqlBlobBackend, raw: RawBlobs
) -> None:
    size = 32 * MIB
    body = memoryview(bytes(size))
    tracemalloc.start()
    try:
        backend.write("file", [body])
        _, at_most = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        few = backend.read_ranges("file", [(at, 10) for at in range(0, size, MIB)])
        _, for_ranges = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert few == [bytes(10)] * 32
    assert at_most < 10 * MIB
    assert for_ranges < 2.5 * read.PARTS_AT_ONCE * MIB
    assert [tuple(row) for row in raw.run("SELECT count(*) FROM strax_blob_parts")] == [(32,)]


def test_listing_takes_as_many_steps_as_there_are_names_however_much_lies_below(
    tmp_path: Path,
) -> None:
    steps = []
    for n_below in (10, 10_000):
        backend = made(sqlite_options(tmp_path / f"{n_below}.db"))
        with raw_sqlite(tmp_path / f"{n_below}.db") as raw:
            files = ((f"run_{i % 5}/", f"file-{i}", 1) for i in range(n_below))
            raw._connection.executemany(ADD, files)
        steps.append(n_steps(backend, lambda backend=backend: [*backend.list("")]))
        assert {entry.name for entry in backend.list("")} == {f"run_{i}" for i in range(5)}

    assert steps[1] <= steps[0] + 5


def n_steps(backend: SqlBlobBackend, action: Callable[[], object]) -> int:
    """Count the steps of SQLite's machine that something takes."""
    with backend._database._ready().connect() as connection:
        driver: sqlite3.Connection = connection.connection.driver_connection
    count: list[None] = []
    driver.set_progress_handler(lambda: count.append(None), 1)
    action()
    driver.set_progress_handler(None, 1)
    return len(count)


def test_many_files_are_deleted_in_one_transaction_and_few_statements(
    backend: SqlBlobBackend, raw: RawBlobs
) -> None:
    for path in ("folder/stays", "folder/7/stays", "other/7"):
        backend.write(path, [b"x"])
    n_statements: list[int] = []
    commits: list[None] = []
    event.listen(backend._database._ready(), "commit", lambda _: commits.append(None))
    seen: list[str] = []
    watch(backend, lambda statement, _: seen.append(statement))
    for n in (20, 400):
        for i in range(20):
            backend.write(f"folder/{i}", [b"x"])
        seen.clear()
        commits.clear()
        backend.delete_files([f"folder/{i}" for i in range(n)])
        n_statements.append(len(seen))
        assert len(commits) == 1
        assert everything(raw) == {"folder/stays", "folder/7/stays", "other/7"}

    assert n_statements[0] == n_statements[1]
    assert n_statements[0] <= 3
    seen.clear()
    backend.delete_files([f"{i % 2}/{i}" for i in range(1400)])
    assert len([each for each in seen if each.startswith("DELETE")]) == 4
    backend.delete_files([])
    assert len(commits) == 2


@pytest.mark.servers
@pytest.mark.parametrize("ttl_s", [None, 3600.0])
@pytest.mark.parametrize(
    "expires_ns",
    [
        "NULL",
        "4611686018427387904",
        "CASE mod(i, 5) WHEN 2 THEN 4611686018427387904 END",
        "CASE WHEN mod(i, 5) < 4 THEN 1 ELSE 4611686018427387904 END",
    ],
)
def test_a_server_finds_all_by_the_index(
    postgres_database: PostgresServer, tmp_path: Path, ttl_s: float | None, expires_ns: str
) -> None:
    backend = made(server_options(postgres_database, tmp_path, ttl_s=ttl_s))
    with raw_postgresql(postgres_database) as raw:
        filled = (
            "INSERT INTO strax_blobs (folder, name, size_bytes, modified_ns, expires_ns) "
            "SELECT 'run_' || mod(i, 5) || '/', 'file-' || i, 0, 0, {} "
            "FROM generate_series(1, 30000) AS i"
        )
        raw.run(filled.format(expires_ns))
        raw.run("ANALYZE")
        seen: list[tuple[str, Any]] = []
        watch(backend, lambda statement, values: seen.append((statement, values)))
        shown = {"run_4"} if "ELSE" in expires_ns else {f"run_{i}" for i in range(5)}
        assert {entry.name for entry in backend.list("")} == shown
        for folder in ("run_1", "run_4"):
            files = [*backend.list(folder, starts_with="file-77")]
            assert bool(files) == (folder in shown)
        with pytest.raises(ObjectMissing):
            backend.read("run_1/missing")
        backend.write("run_3/new", [b"x"])
        backend.delete("run_2")
        backend.delete_files([f"run_3/file-{i}" for i in range(3, 1000, 5)])
        plans = []
        for statement, values in seen:
            if "strax_blobs" in statement:
                told = raw._connection.execute(f"EXPLAIN {statement}", values)
                plans.append("\n".join(line for (line,) in told))

    assert len(plans) >= 10
    assert [plan for plan in plans if "Seq Scan on strax_blobs" in plan] == []


@pytest.mark.servers
def test_contents_come_as_they_are_and_not_as_text(
    postgres_database: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PARTS_AT_ONCE", 2)
    backend = made(server_options(postgres_database, tmp_path))
    backend.write("file", [BODY])
    formats: list[int] = []

    @event.listens_for(backend._database._ready(), "after_cursor_execute")
    def told(_: Any, cursor: Any, *__: Any) -> None:
        formats.append(cursor.pgresult.fformat(cursor.pgresult.nfields - 1))

    assert backend.read("file") == BODY
    assert backend.read_ranges("file", [(5, 7)]) == [BODY[5:12]]
    assert formats == [1, 1, 1]


STRANGE = ("a", "a!", "a-b", "a.b", "a0", "a\ud7ff", "a\ue000", "a\uffff", "a\U0010ffff", "b")


def test_names_that_begin_alike_are_told_apart_whatever_follows(
    backend: SqlBlobBackend, raw: RawBlobs
) -> None:
    for name in STRANGE:
        for folder in ("", "in/"):
            raw.write(f"{folder}{name}/x/y", b"x")
            raw.write(f"{folder}f{name}", b"x")
    for folder in ("", "in"):
        for start in (*STRANGE, "c", "\U0010ffff"):
            told = sorted(entry.name for entry in backend.list(folder, starts_with=start))
            assert told == sorted(name for name in STRANGE if name.startswith(start)), start
            told = sorted(entry.name for entry in backend.list(folder, starts_with=f"f{start}"))
            assert told == sorted(f"f{name}" for name in STRANGE if name.startswith(start)), start
    backend.delete("in/a")

    assert {path for path in everything(raw) if path.startswith("in/a/")} == set()
    assert raw.list("in") == {*STRANGE[1:], *(f"f{name}" for name in STRANGE)}


def test_a_path_may_have_two_thousand_bytes(backend: SqlBlobBackend) -> None:
    longest = "/".join(["ö" * 124 + "x"] * 8)
    assert len(longest.encode()) == 1999
    backend.write(longest, [b"x"])

    assert backend.read(longest) == b"x"
    with pytest.raises(ConfigError, match="longer than a path here may be: 2000"):
        backend.write(f"{longest}yy", [b"x"])


def test_places_with_other_prefixes_do_not_see_each_other(
    options: Callable[..., SqlBlobOptions],
) -> None:
    places = [made(options(prefix=prefix)) for prefix in ("a", "a/b", "/ab/", "")]
    for number, backend in enumerate(places[:3]):
        backend.write("file", [bytes([number])])
    assert [backend.read("file") for backend in places[:3]] == [b"\0", b"\1", b"\2"]
    assert {entry.name for entry in places[0].list("")} == {"file", "b"}
    places[0].delete("file")

    assert {entry.name for entry in places[3].list("")} == {"a", "ab"}
    assert [entry.name for entry in places[1].list("")] == ["file"]
    assert len({backend.place for backend in places}) == 4


def test_the_doctor_finds_all_well_and_leaves_nothing(
    backend: SqlBlobBackend, raw: RawBlobs
) -> None:
    checks = {check.name: check for check in backend.checks(writes=True)}

    assert [check for check in checks.values() if not check.is_good] == []
    assert {"database", "create only what is new"} <= set(checks)
    assert ("journal" in checks) == backend.place.startswith("sqlite")
    assert everything(raw) == set()


def test_a_database_that_is_not_there_is_told_by_the_doctor_and_by_each_verb(
    tmp_path: Path,
) -> None:
    backend = SqlBlobBackend(sqlite_options(tmp_path / "no folder" / "blobs.db"))
    (bad,) = backend.checks(writes=True)
    assert (bad.name, bad.is_good) == ("database", False)
    assert "no folder" in bad.text
    for verb in (
        lambda: backend.read("file"),
        lambda: backend.read_ranges("file", [(0, 1)]),
        lambda: list(backend.list("")),
        lambda: backend.write("file", [b"x"]),
        lambda: backend.delete("file"),
    ):
        with pytest.raises(StorageUnavailable, match="no folder"):
            verb()


def test_a_readonly_place_makes_neither_tables_nor_a_file(
    options: Callable[..., SqlBlobOptions], tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    frontend = SqlBlobFrontend(SqlBlobBackend(options()), readonly=True)
    with pytest.raises(StorageUnavailable):
        frontend.find(sample_key())
    assert {path for path in tmp_path.iterdir() if path not in before} <= {tmp_path / "password"}

    writable = SqlBlobFrontend(SqlBlobBackend(options()))
    with pytest.raises(DataNotAvailable):
        writable.find(sample_key())
    with pytest.raises(DataNotAvailable):
        frontend.find(sample_key())


def test_tables_of_a_newer_version_are_left_alone(
    options: Callable[..., SqlBlobOptions], backend: SqlBlobBackend, raw: RawBlobs
) -> None:
    backend.write("file", [b"x"])
    raw.run("UPDATE strax_schema SET version = 2 WHERE name = 'blobs'")
    newer = SqlBlobBackend(options())
    for verb in (lambda: newer.read("file"), lambda: newer.write("file", [b"y"])):
        with pytest.raises(NewerFormat, match="version 2"):
            verb()

    assert raw.read("file") == b"x"


@pytest.mark.servers
def test_a_database_in_which_letters_are_not_utf_8_is_refused(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    made_as = "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    postgres_server.sql(f"CREATE DATABASE latin {made_as}")
    latin = replace(postgres_server.server, database="latin")
    backend = SqlBlobBackend(server_options(latin, tmp_path))
    with pytest.raises(ConfigError, match="LATIN1; use one made with ENCODING 'UTF8'"):
        backend.read("file")
    (bad,) = backend.checks(writes=True)

    assert "LATIN1" in bad.text


def test_a_database_whose_journal_makes_all_wait_is_told_by_the_doctor(tmp_path: Path) -> None:
    backend = made(sqlite_options(tmp_path / "blobs.db"))
    backend.make_nothing()
    backend._database.close()
    with closing(sqlite3.connect(tmp_path / "blobs.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    (bad,) = [check for check in backend.checks(writes=True) if not check.is_good]

    assert bad.name == "journal"
    assert "a disk of this machine" in bad.text


def test_it_is_named_by_a_url_or_a_table(tmp_path: Path) -> None:
    url = f"sqlblob+sqlite:///{tmp_path}/blobs.db"
    (by_url,) = Context([url]).storage
    save_sample(by_url.backends["main"], sample_key())
    table = {"frontend": "sqlblob", "url": f"sqlite:///{tmp_path}/blobs.db", "ttl_s": 60}
    (by_table,) = Context([table]).storage

    assert isinstance(by_url, SqlBlobFrontend)
    assert by_table.loader(sample_key()).metadata.is_complete
    assert by_table.storage_type == by_url.storage_type == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [({"ttl_s": 0}, "ttl_s"), ({"ttl_s": -1.0}, "ttl_s"), ({"prefix": "../x"}, "path")],
)
def test_options_that_could_only_fail_later_are_refused(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        sqlite_options(tmp_path / "blobs.db", **more)
