"""Removes expired files, which no listing shows."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, delete, select

from strax_sql.blobs.clock import is_over, now_ns
from strax_sql.blobs.paths import begins_with
from strax_sql.blobs.schema import FILES
from strax_sql.blobs.write import see_what_others_have_done


def over_their_time(connection: Connection, root: str, before_ns: int) -> list[str]:
    """Return the folders below a root with files that are over their time.

    Args:
        connection: to the database.
        root: what their names begin with.
        before_ns: what was written later is left alone.
    """
    folders = select(FILES.c.folder).distinct().where(*_which(connection, root, before_ns))
    return sorted(folder.removesuffix("/") for folder in connection.scalars(folders))


def drop(connection: Connection, root: str, before_ns: int) -> list[str]:
    """Remove these files; return their folders."""
    see_what_others_have_done(connection)
    doomed = delete(FILES).where(*_which(connection, root, before_ns)).returning(FILES.c.folder)
    return sorted({folder.removesuffix("/") for folder in connection.scalars(doomed)})


def _which(connection: Connection, root: str, before_ns: int) -> Iterator[ColumnElement[bool]]:
    yield begins_with(FILES.c.folder, root)
    yield FILES.c.modified_ns <= before_ns
    yield is_over(now_ns(connection))
