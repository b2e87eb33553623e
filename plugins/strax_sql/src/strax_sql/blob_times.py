"""The clock of the database, and which files are over their time.

A file is shown as long as any file of its folder is within its own time: so a piece of data goes as
a whole, and never its first chunk before its metadata.
"""

import time

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    exists,
    literal,
    literal_column,
    not_,
    or_,
)
from sqlalchemy.sql.expression import FromClause

from strax_sql.blob_schema import FILES

_SIBLINGS = FILES.alias("siblings")
_POSTGRESQL_NOW = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000000 AS BIGINT)"


def now_ns(connection: Connection) -> ColumnElement[int]:
    """Return the time by the clock of the place, ns since the Unix epoch.

    A file of SQLite has no other clock than that of the machine that opens it.
    """
    if connection.dialect.name == "sqlite":
        return literal(time.time_ns(), BigInteger)
    return literal_column(_POSTGRESQL_NOW, BigInteger)


def is_within(files: FromClause, now: ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether a row is within its own time."""
    return or_(files.c.expires_ns.is_(None), files.c.expires_ns > now)


def is_shown(folder: str, now: ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether a file of this folder is there for those who ask."""
    return or_(FILES.c.expires_ns.is_(None), _has_one_within(literal(folder), now))


def is_over(now: ColumnElement[int], folder: str | None = None) -> ColumnElement[bool]:
    """Return whether a file is over its time, with all in its folder; say which, if it is known."""
    of_folder = FILES.c.folder if folder is None else literal(folder)
    return (FILES.c.expires_ns <= now) & not_(_has_one_within(of_folder, now))


def _has_one_within(folder: ColumnElement[str], now: ColumnElement[int]) -> ColumnElement[bool]:
    # With a folder that is known the database looks once, and by the index.
    siblings = exists().where(_SIBLINGS.c.folder == folder, is_within(_SIBLINGS, now))
    return siblings.correlate(FILES)
