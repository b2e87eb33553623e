"""Paths: where a file stands in the tables, and what lies below a folder."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_

from strax_core import ConfigError, checked_path
from strax_sql.blobs.schema import FILES

PATH_BYTES_MAX = 2000
"""An entry of an index of PostgreSQL holds 2704 bytes at most."""
_SURROGATES = range(0xD800, 0xE000)
_LAST = 0x10FFFF


@dataclass(frozen=True, slots=True)
class At:
    """A file: a folder, with a ``/`` at its end or empty, and a name in it."""

    folder: str
    name: str
    label: str
    """Name of it in errors."""

    @classmethod
    def of(cls, place: str, root: str, path: str) -> "At":
        """Return where a path below the root of a place stands.

        Raises:
            ConfigError: it leaves the place, or is too long.
        """
        full = f"{root}{checked_path(path)}"
        if len(full.encode()) > PATH_BYTES_MAX:
            raise ConfigError(f"{path[:50]}… is longer than a path here may be: {PATH_BYTES_MAX}")
        folder, slash, name = full.rpartition("/")
        return cls(folder + slash, name, f"{place}/{path}")

    @property
    def inside(self) -> str:
        """The folder of what lies in it, if it is a folder."""
        return f"{self.folder}{self.name}/"

    @property
    def row(self) -> ColumnElement[bool]:
        """Condition that a row is this file's."""
        return and_(FILES.c.folder == self.folder, FILES.c.name == self.name)


def begins_with(column: ColumnElement[str], start: str) -> ColumnElement[bool]:
    """Return whether a text begins so, as a stretch of its index."""
    end = _end_of(start)
    return column >= start if end is None else and_(column >= start, column < end)


def _end_of(start: str) -> str | None:
    """Return the first text after all that begin so, in the order of bytes; None if none is."""
    for at in range(len(start) - 1, -1, -1):
        following = ord(start[at]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _LAST:
            return f"{start[:at]}{chr(following)}"
    return None
