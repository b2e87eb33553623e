"""The clock of the database, and conditions that tell expired files.

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
    select,
)
from sqlalchemy.sql.expression import FromClause

from strax_sql.blobs.schema import FILES

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
    return or_(FILES.c.expires_ns.is_(None), _one_of_these_is_within(folder, now))


def is_over(now: ColumnElement[int], folder: str | None = None) -> ColumnElement[bool]:
    """Return whether a file is over its time, with all in its folder; say which, if it is known."""
    if folder is not None:
        has_one_within = _one_of_these_is_within(folder, now)
    else:
        siblings = exists().where(_SIBLINGS.c.folder == FILES.c.folder, is_within(_SIBLINGS, now))
        has_one_within = siblings.correlate(FILES)
    return (FILES.c.expires_ns <= now) & not_(has_one_within)


def _one_of_these_is_within(folder: str, now: ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether any file of a folder is within its time; the database looks once."""
    siblings = select(_SIBLINGS.c.name).where(
        _SIBLINGS.c.folder == folder, is_within(_SIBLINGS, now)
    )
    # In order: else PostgreSQL may read the table from its start, hoping to meet one soon.
    return siblings.order_by(_SIBLINGS.c.name).limit(1).scalar_subquery().is_not(None)
