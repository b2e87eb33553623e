"""A full, busy or damaged database; a server that dies, and connections that break."""

import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blob_places import made, server_options, sqlite_options
from postgres_server import Postgres, PostgresServer
from raw_blobs import MIB, RawBlobs, raw_postgresql, raw_sqlite
from sqlalchemy import event

from strax_core import (
    AccessDenied,
    DataNotAvailable,
    ObjectExists,
    ObjectMissing,
    SecretReference,
    StorageFull,
    StorageUnavailable,
    metadata_path,
)
from strax_core.testing import (
    End,
    LinkFault,
    Proxy,
    Way,
    clean,
    everything,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_sql.blobs.backend import SqlBlobBackend

MOUNT, UNMOUNT = "/usr/bin/mount", "/usr/bin/umount"
KEY = sample_key()
BODY = bytes(range(256)) * 14_000  # 3.4 MiB


def named(backend: SqlBlobBackend) -> set[str]:
    """Return what lies there if only complete data do."""
    files = [info.filename for info in backend.get_metadata(KEY.name).chunks]
    return {metadata_path(KEY.name), *(f"{KEY.name}/{name}" for name in files if name is not None)}


def test_a_full_database_is_storage_full_and_leaves_nothing(tmp_path: Path) -> None:
    backend = made(sqlite_options(tmp_path / "blobs.db"))
    with backend._database._ready().connect() as connection:
        driver: sqlite3.Connection = connection.connection.driver_connection
    ((n_pages,),) = driver.execute("PRAGMA page_count")
    driver.execute(f"PRAGMA max_page_count = {n_pages + 300}").fetchall()
    for create_only in (False, True):
        with pytest.raises(StorageFull, match=r"blobs\.db is full"):
            backend.write("file", [BODY], create_only=create_only)
    backend.write("small", [b"x"])
    driver.execute(f"PRAGMA max_page_count = {n_pages + 3000}").fetchall()
    backend.write("file", [BODY])

    assert backend.read("file") == BODY
    with raw_sqlite(tmp_path / "blobs.db") as raw:
        assert everything(raw) == {"file", "small"}
        assert [tuple(row) for row in raw.run("SELECT count(*) FROM strax_blob_parts")] == [(5,)]


def test_who_writes_waits_for_another_but_not_for_ever_and_readers_do_not(tmp_path: Path) -> None:
    file = tmp_path / "blobs.db"
    backend = made(sqlite_options(file, timeout_s=0.05, retry_for_s=0.05))
    patient = SqlBlobBackend(sqlite_options(file))
    backend.write("file", [b"old"])
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        for verb in (lambda: backend.write("file", [b"new"]), lambda: backend.delete("file")):
            with pytest.raises(StorageUnavailable, match="busy"):
                verb()
        assert backend.read("file") == b"old"
        assert [entry.name for entry in backend.list("")] == ["file"]
        ends = threading.Timer(0.1, lambda: other.execute("ROLLBACK"))
        ends.start()
        patient.write("file", [b"new"])
        ends.join()

    assert backend.read("file") == b"new"


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "blobs.db"
    file.write_bytes(b"this is no database at all" * 1000)
    backend = SqlBlobBackend(sqlite_options(file))
    for verb in (
        lambda: backend.read("file"),
        lambda: list(backend.list("")),
        lambda: backend.write("file", [b"x"]),
    ):
        with pytest.raises(StorageUnavailable, match="no database that can be read"):
            verb()


@pytest.fixture
def proxy(postgres_database: PostgresServer) -> Iterator[Proxy]:
    with Proxy(postgres_database.address) as proxy:
        yield proxy


@pytest.fixture
def through(postgres_database: PostgresServer, tmp_path: Path) -> Callable[..., SqlBlobBackend]:
    """A function that opens a backend behind a proxy."""

    def through(proxy: Proxy, **options: Any) -> SqlBlobBackend:
        url = postgres_database.url.replace(f":{postgres_database.port}/", f":{proxy.port}/")
        return made(server_options(postgres_database, tmp_path, url=url, **options))

    return through


@pytest.fixture
def raw(postgres_database: PostgresServer) -> Iterator[RawBlobs]:
    with raw_postgresql(postgres_database) as raw:
        yield raw


@contextmanager
def at_commit(backend: SqlBlobBackend, number: int, do: Callable[[], None]) -> Iterator[list[None]]:
    """Do something just before the commit of this number is sent; give a list, one item each."""
    engine, seen = backend._database._ready(), list[None]()

    def told(_: Any) -> None:
        if len(seen) == number:
            do()
        seen.append(None)

    event.listen(engine, "commit", told)
    yield seen
    event.remove(engine, "commit", told)


@pytest.mark.servers
@pytest.mark.parametrize("n_bytes", [0, 1000, MIB, 3 * MIB])
def test_a_write_that_breaks_off_is_done_again_whole_or_is_unknown(
    proxy: Proxy, through: Callable[..., SqlBlobBackend], raw: RawBlobs, n_bytes: int
) -> None:
    backend = through(proxy)
    proxy.fault = LinkFault(way=Way.TO_SERVER, after_bytes=n_bytes)
    backend.write("file", [BODY[:1000], BODY[1000:]])
    assert proxy.n_hit == 1
    proxy.fault = LinkFault(way=Way.TO_SERVER, after_bytes=n_bytes)
    with pytest.raises(StorageUnavailable):
        backend.write("once", [BODY], create_only=True)
    assert everything(raw) == {"file"}
    backend.write("once", [BODY], create_only=True)

    assert raw.read("file") == raw.read("once") == BODY


@pytest.mark.servers
@pytest.mark.parametrize("n_bytes", [0, 1000, MIB])
def test_a_read_that_breaks_off_is_done_again(
    proxy: Proxy, through: Callable[..., SqlBlobBackend], raw: RawBlobs, n_bytes: int
) -> None:
    backend = through(proxy)
    raw.write("file", BODY)
    for action, expected in (
        (lambda: backend.read("file"), BODY),
        (lambda: backend.read_ranges("file", [(5, MIB), (3 * MIB, 9)])[1], BODY[3 * MIB :][:9]),
    ):
        proxy.fault = LinkFault(way=Way.TO_CLIENT, after_bytes=n_bytes)
        assert action() == expected
        assert proxy.n_hit == 1


@pytest.mark.servers
def test_connections_that_broke_while_nobody_asked_are_not_noticed(
    proxy: Proxy, through: Callable[..., SqlBlobBackend]
) -> None:
    backend = through(proxy)
    backend.write("file", [b"x"])
    proxy.reset_all()
    assert backend.read("file") == b"x"
    proxy.reset_all()
    backend.write("file", [b"y"])
    proxy.reset_all()

    assert [entry.name for entry in backend.list("")] == ["file"]
    assert backend.read("file") == b"y"


@pytest.mark.servers
def test_a_save_whose_commits_lose_their_answers_is_done_and_no_conflict(
    proxy: Proxy, through: Callable[..., SqlBlobBackend], raw: RawBlobs
) -> None:
    backend = through(proxy)
    number, n_commits = 0, 1
    while number < n_commits:

        def lose() -> None:
            proxy.fault = LinkFault(way=Way.TO_CLIENT)

        proxy.fault = None
        with at_commit(backend, number, lose) as seen:
            save_sample(backend, KEY)
        assert proxy.n_hit == 1
        n_commits = max(n_commits, len(seen) - 1)
        backend.verify(KEY.name)
        assert everything(raw) == named(backend)
        backend.remove(KEY.name)
        assert everything(raw) == set()
        number += 1

    assert number >= 5  # the ticket, two chunks, the metadata, tidying up


@pytest.mark.servers
def test_a_lost_answer_to_a_create_only_write_is_unknown_and_never_a_conflict(
    proxy: Proxy, through: Callable[..., SqlBlobBackend]
) -> None:
    backend = through(proxy)

    def lose() -> None:
        proxy.fault = LinkFault(way=Way.TO_CLIENT)

    with at_commit(backend, 0, lose), pytest.raises(StorageUnavailable):
        backend.write("file", [b"x"], create_only=True)
    with pytest.raises(ObjectExists):  # asked anew, it is certain
        backend.write("file", [b"x"], create_only=True)


@pytest.mark.servers
def test_a_server_that_is_killed_and_started_again_is_used_again(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    server = own_postgres.new_database()
    backend = made(server_options(server, tmp_path))
    backend.write("file", [b"x"])
    saver = backend.saver(KEY.name, sample_metadata(KEY))
    first, *rest = sample_chunks(KEY)
    saver.save(first, 0)
    own_postgres.kill()
    for verb in (
        lambda: backend.read("file"),
        lambda: list(backend.list("")),
        lambda: backend.write("file", [b"y"]),
        lambda: backend.delete("file"),
    ):
        with pytest.raises(StorageUnavailable, match="does not answer: is the server up"):
            verb()
    own_postgres.start()
    for chunk_i, chunk in enumerate(rest, 1):
        saver.save(chunk, chunk_i)
    saver.commit()
    backend.verify(KEY.name)

    assert backend.read("file") == b"x"
    with raw_postgresql(server) as raw:
        assert everything(raw) == {"file", *named(backend)}


@pytest.mark.servers
@pytest.mark.parametrize("is_new", [True, False])
def test_a_server_that_dies_in_the_middle_of_a_write_leaves_things_as_they_were(
    own_postgres: Postgres, tmp_path: Path, *, is_new: bool
) -> None:
    server = own_postgres.new_database()
    backend = made(server_options(server, tmp_path))
    if not is_new:
        backend.write("file", [b"old"])
    with at_commit(backend, 0, own_postgres.kill), pytest.raises(StorageUnavailable):
        backend.write("file", [BODY])
    own_postgres.start()

    if is_new:
        with pytest.raises(ObjectMissing):
            backend.read("file")
    else:
        assert backend.read("file") == b"old"
    with raw_postgresql(server) as raw:
        n_parts = 0 if is_new else 1
        assert [tuple(row) for row in raw.run("SELECT count(*) FROM strax_blob_parts")] == [
            (n_parts,)
        ]


@pytest.mark.servers
def test_a_save_that_a_dying_server_ends_leaves_nothing_after_cleaning(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    server = own_postgres.new_database()
    backend = made(server_options(server, tmp_path))
    with pytest.raises(StorageUnavailable), backend.saver(KEY.name, sample_metadata(KEY)) as saver:  # noqa: PT012 - `with` is tested
        saver.save(sample_chunks(KEY)[0], 0)
        own_postgres.kill()
        saver.save(sample_chunks(KEY)[2], 1)
    own_postgres.start()
    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)
    clean(backend, grace_s=0, dry_run=False)

    with raw_postgresql(server) as raw:
        assert everything(raw) == set()


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[None]:
    """Mount a small disk at a folder that is made; whose it is, is the one above it."""
    folder.mkdir()
    owner = folder.parent.stat()
    size = f"size={n_bytes},mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    subprocess.run([MOUNT, "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run([UNMOUNT, "--lazy", str(folder)], check=True)  # a server has it open


@pytest.mark.servers
def test_a_disk_of_the_server_that_is_full_is_storage_full_and_leaves_nothing(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    folder = own_postgres.folder / "small"
    with small_disk(folder, 8 * MIB):
        own_postgres.sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
        own_postgres.sql("ALTER ROLE test SET default_tablespace = small")
        server = own_postgres.new_database()
        backend = made(server_options(server, tmp_path))
        large = [np.random.default_rng(1).bytes(16 * MIB)]
        for create_only in (False, True):
            with pytest.raises(StorageFull, match="is full"):
                backend.write("file", large, create_only=create_only)
        with raw_postgresql(server) as raw:
            assert everything(raw) == set()
        more = f"remount,size={64 * MIB}"
        subprocess.run([MOUNT, "-o", more, str(folder)], check=True)
        backend.write("file", large)

        assert backend.read("file") == large[0]


@pytest.mark.servers
@pytest.mark.parametrize("end", [End.SILENCE, End.BLACK_HOLE])
@pytest.mark.parametrize("way", Way)
def test_a_server_that_falls_silent_ends_in_a_typed_error(
    proxy: Proxy, through: Callable[..., SqlBlobBackend], raw: RawBlobs, end: End, way: Way
) -> None:
    backend = through(proxy, timeout_s=1.0, retry_for_s=1.0)
    raw.write("file", BODY)
    proxy.fault = LinkFault(way=way, after_bytes=100_000, end=end, times=None)
    verb: dict[Way, Callable[[], object]] = {
        Way.TO_CLIENT: lambda: backend.read("file"),
        Way.TO_SERVER: lambda: backend.write("other", [BODY], create_only=True),
    }
    n_before = proxy.n_connections
    with pytest.raises(StorageUnavailable):
        verb[way]()
    assert proxy.n_connections - n_before <= 3  # each waits for `timeout_s`, at most
    proxy.is_black_hole, proxy.fault = False, None

    assert backend.read("file") == BODY
    assert everything(raw) == {"file"}


@pytest.mark.servers
def test_a_wrong_password_and_a_missing_database_are_told_apart(
    postgres_database: PostgresServer, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("canary-wrong")
    wrong = SecretReference(file=str(tmp_path / "wrong"))
    backend = SqlBlobBackend(server_options(postgres_database, tmp_path, password=wrong))
    with pytest.raises(AccessDenied, match="refused") as caught:
        backend.read("file")
    assert "canary" not in str(caught.value)
    url = postgres_database.url + "-not-there"
    backend = SqlBlobBackend(server_options(postgres_database, tmp_path, url=url))
    with pytest.raises(StorageUnavailable, match="make the database"):
        backend.read("file")
