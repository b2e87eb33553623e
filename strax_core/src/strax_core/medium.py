"""The byte verbs of a place: all that loaders and savers know of where bytes lie."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from strax_core.errors import ConfigError

_REFUSED = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]|(?:\A|/)\.{0,2}(?:/|\Z)")
"""Back slashes, control characters, lone surrogates; parts that are empty, ``.`` or ``..``."""
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing; folders have no size of their own."""

    name: str
    is_folder: bool
    size_bytes: int
    modified_ns: int
    """Time of its last write, by the place's own clock, ns since the Unix epoch."""
    is_link: bool = False
    """True if it is a link, made by a person: no writer makes any.

    Only one at the top of a place is looked through, to say whether it leads to a folder."""


class Medium(Protocol):
    """Bytes under paths; a path is relative to the place's root, its parts joined by ``/``.

    `strax_core.StorageBackend` says what each verb guarantees.
    """

    @property
    def place(self) -> str:
        """Name of this place for people; it stands in every error, so no secret is in it."""

    @property
    def may_hold_strax_folders(self) -> bool:
        """True if folders that an old strax wrote may lie here."""

    def read(self, path: str) -> bytes:
        """Return all bytes of a file."""

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> Sequence[bytes]:
        """Return the bytes of each ``(offset, size)`` of a file, which has this size if given."""

    def read_into(self, path: str, memory: memoryview) -> None:
        """Fill memory with all bytes of a file, which has just as many."""

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        """Iterate over one level of a folder."""

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        """Store a file, all or nothing."""

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all in it."""

    def delete_files(self, paths: Sequence[str]) -> None:
        """Remove files, and no folders."""

    def drop_empty(self, folder: str) -> None:
        """Remove a folder if nothing is in it."""

    def rename(self, source: str, target: str) -> None:
        """Move a folder atomically, never replacing."""

    def link_target(self, path: str) -> str | None:
        """Return where a link leads; None if it is none."""

    def behind_link(self, folder: str) -> "Medium | None":
        """Return this place with a folder that is a link resolved; None if it is none."""


def checked_path(path: str) -> str:
    """Return `path` if it stays inside the place; every backend calls this on what it is given.

    Raises:
        ConfigError: absolute, empty, with ``..``, empty parts, back slashes, control characters, or
            lone surrogates, which stand for bytes that are not UTF-8.
    """
    if _REFUSED.search(path):
        raise ConfigError(f"{path!r} is not a path inside a storage place")
    return path
