"""Checks of a database by `strax doctor`, whatever lies in it."""

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, literal, select, text

from strax_core import Check, ConfigError
from strax_sql.database.engine import Database

CLOCK_TOLERANCE_S = 60.0
_N_ASKED = 7


def reach_checks(database: Database) -> Iterator[Check]:
    """Iterate over what must be well before anything else can be, until something is not."""
    asked = [("database", _version), ("latency", _latency)]
    asked.append(("journal", _journal) if database.options.is_sqlite else ("clock", _clock))
    for name, question in asked:
        yield (check := _check(database, name, question))
        if not check.is_good:
            return


def _check(database: Database, name: str, question: Callable[[Connection], str]) -> Check:
    return Check.of(name, lambda: database.read(question))


def _version(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    return f"PostgreSQL {connection.scalar(text('SHOW server_version'))}"


def _latency(connection: Connection) -> str:
    times_s = []
    for _ in range(_N_ASKED):
        began_s = time.perf_counter()
        connection.execute(select(literal(1)))
        times_s.append(time.perf_counter() - began_s)
    return f"an answer takes {statistics.median(times_s) * 1e3:.2f} ms"


def _clock(connection: Connection) -> str:
    # Whether a writer is dead is judged by when it began, by its own clock.
    theirs_s = connection.scalar(text("SELECT EXTRACT(EPOCH FROM clock_timestamp())"))
    off_s = time.time() - float(theirs_s or 0)
    if abs(off_s) > CLOCK_TOLERANCE_S:
        raise ConfigError(f"this machine is {off_s:+.0f} s off the server's clock: set it")
    return f"within {CLOCK_TOLERANCE_S:g} s of the server's"


def _journal(connection: Connection) -> str:
    mode = connection.scalar(text("PRAGMA journal_mode"))
    if not connection.scalar(text("SELECT count(*) FROM sqlite_master")):
        return "an empty file; it is set with the first write"
    if mode != "wal":
        raise ConfigError(
            f"it is {mode!r} and not 'wal', so readers and writers wait for one another: keep the "
            "file on a disk of this machine"
        )
    return "readers and writers do not wait for one another (wal)"
