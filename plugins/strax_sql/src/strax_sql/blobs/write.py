"""Writes and deletes files, each in the transaction of the connection that is given."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sqlalchemy import Connection, delete, insert, text
from sqlalchemy.dialects import postgresql, sqlite

from strax_core import Buffer, ObjectExists
from strax_sql.blobs.clock import is_over, now_ns
from strax_sql.blobs.paths import At, begins_with
from strax_sql.blobs.schema import FILES, PART_BYTES, PARTS

NAMES_AT_ONCE = 500  # a statement of SQLite may be bound to take no more than 999 values


def write_file(
    connection: Connection,
    at: At,
    buffers: Sequence[Buffer],
    *,
    create_only: bool,
    ttl_ns: int | None,
) -> None:
    """Store a file, in parts; besides the buffers, two parts lie in memory at a time.

    Raises:
        ObjectExists: `create_only`, and it is there.
    """
    see_what_others_have_done(connection)
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    size_bytes = sum(view.nbytes for view in views)
    over = FILES.c.folder == at.folder, is_over(now_ns(connection), at.folder)
    connection.execute(delete(FILES).where(*over))  # else the new file would bring them back
    file_id = _new_id(connection, at, size_bytes, ttl_ns)
    while file_id is None:
        if create_only:
            raise ObjectExists(f"{at.label} is there already")
        connection.execute(delete(FILES).where(at.row))
        file_id = _new_id(connection, at, size_bytes, ttl_ns)
    for number, data in enumerate(parts_of(views)):
        connection.execute(insert(PARTS), {"file_id": file_id, "number": number, "data": data})


def delete_all(connection: Connection, at: At) -> None:
    """Remove a file, or all in a folder."""
    see_what_others_have_done(connection)
    connection.execute(delete(FILES).where(at.row))
    connection.execute(delete(FILES).where(begins_with(FILES.c.folder, at.inside)))


def delete_files(connection: Connection, files: Iterable[At]) -> None:
    """Remove files that are no folders; those that are not there are fine."""
    see_what_others_have_done(connection)
    # In the order of their names, so that two who remove the same do not wait for each other.
    in_order = sorted(files, key=lambda at: (at.folder, at.name))
    for folder, some in groupby(in_order, key=lambda at: at.folder):
        names = [at.name for at in some]
        for start in range(0, len(names), NAMES_AT_ONCE):
            these = FILES.c.name.in_(names[start : start + NAMES_AT_ONCE])
            connection.execute(delete(FILES).where(FILES.c.folder == folder, these))


def see_what_others_have_done(connection: Connection) -> None:
    """Let each statement see what was committed before it.

    The unique key is all that must hold between writers. In the stricter way that a catalogue
    needs, those who write different files would come in each other's way.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))


def parts_of(views: Sequence[memoryview]) -> Iterator[bytes]:
    """Cut buffers, taken as one, in parts; all have the same size, but the last may have less."""
    part = bytearray()
    for view in views:
        at = 0
        while at < view.nbytes:
            piece = view[at : at + PART_BYTES - len(part)]
            part += piece
            at += piece.nbytes
            if len(part) == PART_BYTES:
                yield bytes(part)
                part.clear()
    if part:
        yield bytes(part)


def _new_id(connection: Connection, at: At, size_bytes: int, ttl_ns: int | None) -> int | None:
    """Take the path for a new content; None if it is taken.

    Another writer who is about to take it is waited for.
    """
    now = now_ns(connection)
    row = {
        "folder": at.folder,
        "name": at.name,
        "size_bytes": size_bytes,
        "modified_ns": now,
        "expires_ns": None if ttl_ns is None else now + ttl_ns,
    }
    # Each has this clause in a form of its own, which reads alike.
    is_sqlite = connection.dialect.name == "sqlite"
    taking = sqlite.insert(FILES) if is_sqlite else postgresql.insert(FILES)
    unless_taken = taking.values(row).on_conflict_do_nothing(index_elements=["folder", "name"])
    file_id: int | None = connection.execute(unless_taken.returning(FILES.c.id)).scalar()
    return file_id
