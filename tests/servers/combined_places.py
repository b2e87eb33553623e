"""A catalogue on PostgreSQL over three real places, each of which can be harmed.

Its backends are `disk` (a folder of this machine), `hall` (OpenSSH) and `bucket` (Ceph). The two
servers are reached by way of proxies.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from postgres_server import Postgres, PostgresServer
from raw_s3 import RawS3
from s3_places import backend_on as s3_backend_on
from s3_server import S3Server
from sftp_server import SftpServer
from ssh_places import through

from strax_core import Entry, SecretReference, StorageBackend
from strax_core.testing import Proxy, RawAccess, RawFolder, everything
from strax_local import LocalBackend, LocalOptions
from strax_sql import SqlFrontend, SqlOptions
from strax_ssh.backend import SshBackend
from strax_ssh.connection import connection as ssh_connection

NAMES = ("disk", "hall", "bucket")
PAUSE_S = 0.05
"""How long an answer of a place that is slow takes longer."""
TIMEOUT_S, SHORT_TIMEOUT_S = 15.0, 1.0
"""After how long a silent server counts as gone: long enough for a busy machine, or soon."""
RETRY_S = 0.5
"""How long a server that refuses is tried again."""


class Place(Protocol):
    """One of the three."""

    backend: StorageBackend
    raw: RawAccess
    """The stored files, without our code and without the proxy."""

    def take_down(self) -> None:
        """Make it unreachable."""

    def slow_down(self) -> None:
        """Let each answer take `PAUSE_S` longer."""

    def close(self) -> None:
        """Leave it; its files are where they were."""


class SlowDisk(LocalBackend):
    """A local disk whose answers may take long; no test can make a real one slow."""

    pause_s = 0.0

    def read(self, path: str) -> bytes:
        time.sleep(self.pause_s)
        return super().read(path)

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> list[bytes]:
        time.sleep(self.pause_s)
        return super().read_ranges(path, ranges, file_bytes=file_bytes)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        time.sleep(self.pause_s)
        return super().list(folder, starts_with=starts_with)


class OnDisk:
    """A folder of this machine; down means unmounted: it is not there any more."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._unmounted = folder, folder.with_name("unmounted")
        self.backend = SlowDisk(LocalOptions(path=str(folder), fsync=False))
        self.raw: RawAccess = RawFolder(folder)

    def take_down(self) -> None:
        self._folder.rename(self._unmounted)

    def slow_down(self) -> None:
        self.backend.pause_s = PAUSE_S

    def close(self) -> None:
        if self._unmounted.exists():
            self._unmounted.rename(self._folder)


class OnServer:
    """A place behind a proxy; down means that connections break, and new ones are refused."""

    def __init__(self, proxy: Proxy, backend: StorageBackend, raw: RawAccess) -> None:
        self.proxy, self.backend, self.raw = proxy, backend, raw

    def take_down(self) -> None:
        self.proxy.close()

    def slow_down(self) -> None:
        self.proxy.latency_s = PAUSE_S / 2

    def silence(self) -> None:
        """Take all that is sent, and answer nothing any more."""
        self.proxy.is_black_hole = True

    def close(self) -> None:
        if isinstance(self.backend, SshBackend):
            self.backend.close()


class Combined:
    """The three places and the database; `catalogue` opens a catalogue on them."""

    def __init__(self, storage: "Storage", places: dict[str, Place], proxy: Proxy) -> None:
        self.places = places
        self.proxy = proxy
        """In front of the database."""
        self._storage = storage
        self._opened: list[SqlFrontend] = []
        self._undamaged: dict[tuple[str, str], bytes] = {}

    def catalogue(self, nearest: str = NAMES[0]) -> SqlFrontend:
        """Open the catalogue as a client to which this place is the nearest."""
        order = sorted(NAMES, key=lambda name: name != nearest)
        database = self._storage.database
        options = SqlOptions(
            url=database.url.replace(f":{database.port}/", f":{self.proxy.port}/"),
            password=SecretReference(file=str(self._storage.folder / "password")),
            backends={name: self.places[name].backend for name in order},
        )
        self._opened.append(SqlFrontend(options, name="catalog"))
        return self._opened[-1]

    def sql(self, statement: str) -> list[str]:
        """Ask the database itself; return a line for each row."""
        storage = self._storage
        return storage.server.sql(statement, database=storage.database.database).splitlines()

    def marks(self) -> dict[str, str]:
        """Return what the database holds of each copy, by backend: its state and failure."""
        lines = self.sql("SELECT backend, state, failure FROM strax_copies")
        return dict(line.split("|", 1) for line in lines)

    def damage(self, name: str) -> None:
        """Change a byte in the middle of each stored chunk, where it lies."""
        raw = self.places[name].raw
        for path in everything(raw):
            if not path.endswith(".json"):
                data = raw.read(path)
                self._undamaged[name, path] = data
                middle = len(data) // 2
                raw.write(path, data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :])

    def repair(self) -> None:
        """Put the bytes back that were damaged."""
        for (name, path), data in self._undamaged.items():
            self.places[name].raw.write(path, data)
        self._undamaged.clear()

    def close(self) -> None:
        """Leave the places and the database as they were found."""
        self.repair()
        for place in self.places.values():
            place.close()
        for each in self._opened:
            each.database.close()


@dataclass(frozen=True, kw_only=True)
class Storage:
    """What the places keep from test to test: folders, a prefix in a bucket, a database."""

    folder: Path
    prefix: str
    server: Postgres
    database: PostgresServer
    sftp: SftpServer
    s3: S3Server

    @contextmanager
    def opened(self, silent: str = "") -> Iterator[Combined]:
        """Reach all places, as if for the first time; let it be noticed soon if one is silent."""
        timeouts = {name: SHORT_TIMEOUT_S if name == silent else TIMEOUT_S for name in NAMES}
        with (
            Proxy(self.sftp.address) as to_hall,
            Proxy(self.s3.address) as to_bucket,
            Proxy(self.database.address) as to_database,
            pytest.MonkeyPatch.context() as patch,
        ):
            # Else it tries for ten seconds to reach a server that was there before.
            patch.setattr(ssh_connection, "RECONNECT_S", RETRY_S)
            patch.setattr(ssh_connection, "TRIES", 1)
            hall = through(
                *(to_hall, self.sftp, self.folder / "hall", self.folder / "known"),
                connect_timeout_s=timeouts["hall"],
                io_timeout_s=timeouts["hall"],
            )
            bucket = s3_backend_on(
                *(self.s3, self.prefix, self.folder),
                endpoint_url=f"http://127.0.0.1:{to_bucket.port}",
                timeout_s=timeouts["bucket"],
                retry_for_s=RETRY_S,
            )
            places: dict[str, Place] = {
                "disk": OnDisk(self.folder / "disk"),
                "hall": OnServer(to_hall, hall, RawFolder(self.folder / "hall")),
                "bucket": OnServer(to_bucket, bucket, RawS3(self.s3, self.prefix)),
            }
            combined = Combined(self, places, to_database)
            try:
                yield combined
            finally:
                combined.close()


@pytest.fixture(scope="module")
def storage(
    postgres_server: Postgres,
    openssh: SftpServer,
    ceph_server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Storage]:
    """Three empty places and an empty database."""
    folder = tmp_path_factory.mktemp("combined")
    for name in ("disk", "hall"):
        (folder / name).mkdir()
    database = postgres_server.new_database()
    (folder / "password").write_text(database.password)
    yield Storage(
        folder=folder,
        prefix=f"test/{folder.name}-{secrets.token_hex(6)}",
        server=postgres_server,
        database=database,
        sftp=openssh,
        s3=ceph_server,
    )
    postgres_server.give_back(database)
