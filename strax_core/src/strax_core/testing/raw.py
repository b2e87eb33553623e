"""A way to the stored bytes that bypasses the code under test."""

from pathlib import Path
from typing import Protocol

from strax_core.backend import MemoryBackend
from strax_core.format import STAGING


class RawAccess(Protocol):
    """Four plain operations, without the backend's own verbs: here checks get what they expect."""

    def read(self, path: str) -> bytes:
        """Return the bytes of a file; any exception if there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, with the folders above it, replacing an older one."""

    def list(self, folder: str) -> set[str]:
        """Return the names in a folder, one level; no names if it is a file or is not there."""

    def delete(self, path: str) -> None:
        """Remove one file."""


class RawFolder:
    """Raw access to a directory of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)

    def list(self, folder: str) -> set[str]:
        full = self.root / folder
        return {entry.name for entry in full.iterdir()} if full.is_dir() else set()

    def delete(self, path: str) -> None:
        (self.root / path).unlink()


class RawLinks(Protocol):
    """Links in a place, put there without the backend; all lead to one folder outside of it."""

    def link(self, path: str, to: str = "") -> str:
        """Put a link there that leads to something outside; return where, as it says itself."""

    def is_link(self, path: str) -> bool:
        """Say whether there is a link, wherever it leads."""

    def move_outside(self, path: str) -> str:
        """Move a folder of the place out of it, put a link in its place, and say where it leads."""

    def put_outside(self, path: str, data: bytes) -> None:
        """Put a file outside of the place."""

    def outside(self) -> dict[str, bytes]:
        """Return all files outside of the place."""


class FolderLinks:
    """Links in a directory of this machine."""

    def __init__(self, root: Path, outside: Path) -> None:
        self._root = root
        self._outside = outside

    def link(self, path: str, to: str = "") -> str:
        full = self._root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.symlink_to(self._outside / to)
        return str(self._outside / to)

    def is_link(self, path: str) -> bool:
        return (self._root / path).is_symlink()

    def move_outside(self, path: str) -> str:
        (self._root / path).rename(self._outside / path)
        return self.link(path, path)

    def put_outside(self, path: str, data: bytes) -> None:
        RawFolder(self._outside).write(path, data)

    def outside(self) -> dict[str, bytes]:
        raw = RawFolder(self._outside)
        files = [path for path in sorted(self._outside.rglob("*")) if path.is_file()]
        names = [str(path.relative_to(self._outside)) for path in files]
        return {name: raw.read(name) for name in names}


class RawMemory:
    """Raw access to the dictionary of a `MemoryBackend`."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._files = backend._storage.files  # noqa: SLF001 - raw access is the point

    def read(self, path: str) -> bytes:
        return self._files[path][0]

    def write(self, path: str, data: bytes) -> None:
        self._files[path] = (data, 0)

    def list(self, folder: str) -> set[str]:
        start = f"{folder}/" if folder else ""
        below = [path.removeprefix(start) for path in self._files if path.startswith(start)]
        return {path.partition("/")[0] for path in below}

    def delete(self, path: str) -> None:
        del self._files[path]


def everything(raw: RawAccess, folder: str = "") -> set[str]:
    """Return the paths of all files there, and of all empty folders but the writers' own."""
    found: set[str] = set()
    for name in raw.list(folder):
        path = f"{folder}/{name}" if folder else name
        found |= everything(raw, path) or {path}
    return found - {STAGING}
