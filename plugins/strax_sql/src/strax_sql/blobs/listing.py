"""Lists one level of a folder, by the index: as many steps as there are names, however deep it is.

A folder is there as long as a file lies below it; so its name is found by looking for the first
file below, and the next one by looking for the first file behind all that begins so.
"""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, func, select

from strax_core import Entry
from strax_sql.blobs.clock import is_shown, is_within, now_ns
from strax_sql.blobs.paths import begins_with
from strax_sql.blobs.schema import FILES

_POSITION = {"postgresql": func.strpos, "sqlite": func.instr}
_AFTER_SLASH = chr(ord("/") + 1)


def entries_of(connection: Connection, folder: str, starts_with: str) -> Iterator[Entry]:
    """Iterate over the files of a folder, then over the folders in it."""
    now = now_ns(connection)
    of_folder = and_(FILES.c.folder == folder, begins_with(FILES.c.name, starts_with))
    files = select(FILES.c.name, FILES.c.size_bytes, FILES.c.modified_ns)
    for row in connection.execute(files.where(of_folder, is_shown(folder, now))).all():
        yield Entry(
            row.name, is_folder=False, size_bytes=row.size_bytes, modified_ns=row.modified_ns
        )
    # Folders have no time of their own: now, by the place's clock.
    for name, modified_ns in _folders(connection, folder, starts_with, now):
        yield Entry(name, is_folder=True, size_bytes=0, modified_ns=modified_ns)


def _folders(
    connection: Connection, folder: str, starts_with: str, now: ColumnElement[int]
) -> Iterator[tuple[str, int]]:
    first = FILES.c.folder > folder, begins_with(FILES.c.folder, folder + starts_with)
    found = select(_first_folder(*first, now=now).label("below")).cte("found", recursive=True)
    # Of "folder/name/…", all that begins with "folder/name/": the next one comes after it.
    rest = func.substr(found.c.below, len(folder) + 1)
    n_letters = len(folder) + _POSITION[connection.dialect.name](rest, "/") - 1
    end = func.substr(found.c.below, 1, n_letters).concat(_AFTER_SLASH)
    following = FILES.c.folder >= end, begins_with(FILES.c.folder, folder + starts_with)
    step = select(_first_folder(*following, now=now)).where(found.c.below.is_not(None))
    found = found.union_all(step)
    query = select(found.c.below, now).where(found.c.below.is_not(None))
    for below, modified_ns in connection.execute(query).all():
        yield below[len(folder) :].partition("/")[0], modified_ns


def _first_folder(*conditions: ColumnElement[bool], now: ColumnElement[int]) -> ScalarSelect[str]:
    """Return the first folder of a stretch that has a file within its time."""
    query = select(FILES.c.folder).where(*conditions, is_within(FILES, now))
    return query.order_by(FILES.c.folder).limit(1).scalar_subquery()
