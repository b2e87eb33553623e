"""What `strax doctor` asks of a database, besides what it asks of every place."""

import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection, text

from strax_core import Check, ConfigError
from strax_sql.engine import Database


def reach_checks(database: Database) -> Iterator[Check]:
    """Iterate over what must be well before anything else can be, until something is not."""
    yield (reached := Check.of("database", lambda: database.read(_version)))
    if reached.is_good and database.options.is_sqlite:
        yield Check.of("journal", lambda: database.read(_journal))


def _version(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}; the tables are there"
    version = connection.scalar(text("SHOW server_version"))
    return f"PostgreSQL {version} answers; the tables are there"


def _journal(connection: Connection) -> str:
    mode = connection.scalar(text("PRAGMA journal_mode"))
    if mode != "wal":
        raise ConfigError(
            f"it is {mode!r} and not 'wal', so readers and writers wait for one another: keep the "
            "file on a disk of this machine"
        )
    return "readers and writers do not wait for one another (wal)"
