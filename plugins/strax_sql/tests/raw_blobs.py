"""Raw access to the tables of files: plain SQL on a connection of the driver itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from postgres_server import PostgresServer

MIB = 1 << 20
FIND = "SELECT id FROM strax_blobs WHERE folder = ? AND name = ?"
ADD = "INSERT INTO strax_blobs (folder, name, size_bytes, modified_ns) VALUES (?, ?, ?, 0)"
ADD_PART = "INSERT INTO strax_blob_parts (file_id, number, data) VALUES (?, ?, ?)"
REMOVE = "DELETE FROM strax_blobs WHERE folder = ? AND name = ?"


class RawBlobs:
    """Raw access to the files below a prefix; the tables must be there.

    Args:
        connection: one that commits each statement.
        mark: what stands for a value in a statement.
        prefix: what all names begin with.
    """

    def __init__(self, connection: Any, mark: str, prefix: str = "") -> None:
        self._connection, self._mark = connection, mark
        self._root = f"{prefix}/" if prefix else ""

    def read(self, path: str) -> bytes:
        ((file_id,),) = self.run(FIND, *self._at(path))
        rows = self.run(
            "SELECT data FROM strax_blob_parts WHERE file_id = ? ORDER BY number", file_id
        )
        return b"".join(bytes(data) for (data,) in rows)

    def write(self, path: str, data: bytes) -> None:
        self.run(REMOVE, *self._at(path))
        self.run(ADD, *self._at(path), len(data))
        ((file_id,),) = self.run(FIND, *self._at(path))
        for number, at in enumerate(range(0, len(data), MIB)):
            self.run(ADD_PART, file_id, number, data[at : at + MIB])

    def list(self, folder: str) -> set[str]:
        start = self._root + (f"{folder}/" if folder else "")
        paths = (folder + name for folder, name in self.run("SELECT folder, name FROM strax_blobs"))
        below = [path.removeprefix(start) for path in paths if path.startswith(start)]
        return {path.partition("/")[0] for path in below}

    def delete(self, path: str) -> None:
        self.run(REMOVE, *self._at(path))

    def run(self, statement: str, *values: object) -> Any:
        """Run a statement with ``?`` for its values; return its rows, if it has any."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(statement.replace("?", self._mark), values)
            return cursor.fetchall() if cursor.description else []

    def _at(self, path: str) -> tuple[str, str]:
        folder, slash, name = f"{self._root}{path}".rpartition("/")
        return folder + slash, name


@contextmanager
def raw_sqlite(file: Path, prefix: str = "") -> Iterator[RawBlobs]:
    """Give raw access to a file of SQLite."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=600)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = OFF")
        yield RawBlobs(connection, "?", prefix)


@contextmanager
def raw_postgresql(server: PostgresServer, prefix: str = "") -> Iterator[RawBlobs]:
    """Give raw access to a database of a server."""
    host, port = server.address
    login = {"user": server.user, "password": server.password, "dbname": server.database}
    with psycopg.connect(host=host, port=port, autocommit=True, **login) as connection:
        yield RawBlobs(connection, "%s", prefix)
