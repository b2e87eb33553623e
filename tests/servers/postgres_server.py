"""A PostgreSQL of the tests' own, in a folder of its own, never the one of the system."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from processes import START_S, Running, descendants, free_port, kill_all, program

INSTALL = "run tests/servers/install-debian.sh"
UNPRIVILEGED = "postgres"
"""The user of Debian's package: PostgreSQL refuses to run as root."""
SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=64MB",
    # Nothing outlives the tests, so nothing need be on the disk. A commit still waits for the
    # kernel to have it: a server that is killed keeps what it has confirmed.
    "fsync=off",
    "full_page_writes=off",
    "log_min_messages=warning",
)
# The order of texts is one of a language, as on most machines, and not that of bytes.
COLLATION = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en")

TAKE_OUT_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace
            WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
END $$;
CREATE SCHEMA public;
"""


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """How to reach a database."""

    port: int
    user: str
    password: str
    database: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        """Without the password."""
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{self.database}"


class Postgres:
    """A server in a folder; killed and started again, it has the same port and databases.

    Args:
        folder: for its data; if this is root, the unprivileged user can enter it.
        more: further settings, as ``name=value``.
    """

    def __init__(self, folder: Path, more: Sequence[str] = ()) -> None:
        self.folder, self._more = folder, more
        self._running: Running | None = None
        self._empty: list[PostgresServer] = []
        self.server = PostgresServer(
            port=free_port(),
            user="test",
            password=f"canary-{secrets.token_hex(8)}",
            database="postgres",
        )

    def start(self) -> None:
        """Start it, and make its files if it is new; it answers when this returns."""
        if not self._data.exists():
            self._make()
        settings = [
            f"--port={self.server.port}",
            *(f"-c{each}" for each in (*SETTINGS, *self._more)),
        ]
        command = self._unprivileged("postgres", "-D", str(self._data), *settings)
        self._running = Running(command, self.folder / "postgres.log")
        self._running.wait_for(self.server.port)
        give_up = time.monotonic() + START_S
        while not self._is_ready():  # it listens before it has read its files
            if time.monotonic() > give_up:
                pytest.fail(f"PostgreSQL does not answer; see {self._running.log}", pytrace=False)

    def kill(self) -> None:
        """End it at once, with the processes that serve its connections."""
        if self._running is not None:
            notes = self._data / "postmaster.pid"
            processes = descendants(int(notes.read_text().split()[0])) if notes.exists() else []
            self._running.kill()
            kill_all(processes)  # each is a group of its own
            self._running = None

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run a statement; return the values that it answers, by lines and ``|``."""
        server = self.server
        reach = [
            f"--host={server.address[0]}",
            f"--port={server.port}",
            f"--username={server.user}",
        ]
        return _run(
            [_binary("psql"), *reach, "--no-password", f"--dbname={database}", "-qAtXc", statement],
            PGPASSWORD=server.password,
        ).strip()

    def new_database(self) -> PostgresServer:
        """Return an empty database: one that was given back, or one that is made now."""
        if self._empty:
            return self._empty.pop()
        name = f"test_{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name}")
        return replace(self.server, database=name)

    def give_back(self, server: PostgresServer) -> None:
        """Break off the connections to a database, and take out all that it holds.

        So it is as a new one, which takes many times as long to make.
        """
        self.sql(TAKE_OUT_ALL, database=server.database)
        self._empty.append(server)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(self.server.password)
        options = [f"--pwfile={password}", "--auth=scram-sha-256", f"--username={self.server.user}"]
        _run(self._unprivileged("initdb", "-D", str(self._data), *options, *COLLATION, "--no-sync"))

    def _is_ready(self) -> bool:
        host, port = self.server.address
        command = [_binary("pg_isready"), "--quiet", f"--host={host}", f"--port={port}"]
        return subprocess.run(command, check=False).returncode == 0

    def _unprivileged(self, name: str, *arguments: str) -> list[str]:
        command = [_binary(name), *arguments]
        if os.geteuid() != 0:
            return command
        user = ("setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups")
        return [*user, "env", f"--chdir={self.folder}", *command]


def _binary(name: str) -> str:
    # Debian keeps most of them, by version, out of the search path.
    there = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(there, key=lambda path: int(path.parts[-3]), default=None)
    return str(newest) if newest else program(name, INSTALL)


def _run(command: Sequence[str], **variables: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_S,
        env={**os.environ, **variables},
    )
    if done.returncode:
        pytest.fail(f"{Path(command[0]).name}:\n{done.stderr[-3000:]}", pytrace=False)
    return done.stdout


@contextmanager
def postgres(more: Sequence[str] = ()) -> Iterator[Postgres]:
    """Run a PostgreSQL in a temporary folder; those of pytest are closed to other users."""
    with TemporaryDirectory(prefix="postgres-") as folder:
        if os.geteuid() == 0:
            _binary("postgres")  # without its package there is no such user
            shutil.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
        server = Postgres(Path(folder), more)
        try:
            server.start()
            yield server
        finally:
            server.kill()
