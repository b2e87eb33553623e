"""A place in this process's memory: for tests, small data, and as the shortest backend to read."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NoReturn

from strax_core.backend.backend import StorageBackend
from strax_core.errors import ConfigError, ObjectExists, ObjectMissing
from strax_core.medium import Buffer, Entry, checked_path
from strax_core.saver import ConditionalSaver, RenamingSaver, Saver


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """Name of a memory: the same name gives the same data, as long as the process lives."""

    place: str = field(default="", metadata={"help": "name of the memory; empty: one of its own"})

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        """Take ``memory://NAME`` apart."""
        return {"place": url.removeprefix("memory://")}


@dataclass
class _Storage:
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryBackend(StorageBackend):
    """Bytes in a dictionary. It does not pickle: another process has another memory."""

    saver_class: ClassVar[type[Saver] | None] = RenamingSaver
    default_storage_type = 0
    _shared: ClassVar[dict[str, _Storage]] = {}
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, options: MemoryOptions | None = None) -> None:
        self._name = options.place if options else ""
        if self._name:
            with self._shared_lock:
                self._storage = self._shared.setdefault(self._name, _Storage())
        else:
            self._storage = _Storage()

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            f"{self.place} lies in the memory of one process and cannot go to another"
        )

    @property
    def place(self) -> str:
        return f"memory://{self._name}"

    def read(self, path: str) -> bytes:
        try:
            return self._storage.files[checked_path(path)][0]
        except KeyError as error:
            raise ObjectMissing(f"{self.place}/{path} is not there") from error

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        start = f"{checked_path(folder)}/" if folder else ""
        with self._storage.lock:
            files = [
                (path[len(start) :], data, modified_ns)
                for path, (data, modified_ns) in self._storage.files.items()
                if path.startswith(start + starts_with)
            ]
        folders: dict[str, int] = {}
        for rest, data, modified_ns in files:
            name, is_below, _ = rest.partition("/")
            if is_below:
                folders[name] = max(folders.get(name, 0), modified_ns)
            else:
                yield Entry(name, is_folder=False, size_bytes=len(data), modified_ns=modified_ns)
        for name, modified_ns in folders.items():
            yield Entry(name, is_folder=True, size_bytes=0, modified_ns=modified_ns)

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        data = b"".join(buffers)
        with self._storage.lock:
            if create_only and path in self._storage.files:
                raise ObjectExists(f"{self.place}/{path} is there already")
            self._storage.files[checked_path(path)] = (data, time.time_ns())

    def delete(self, path: str) -> None:
        with self._storage.lock:
            self._storage.files.pop(checked_path(path), None)
            for below in [name for name in self._storage.files if name.startswith(f"{path}/")]:
                del self._storage.files[below]

    def delete_files(self, paths: Sequence[str]) -> None:
        with self._storage.lock:
            for path in paths:
                self._storage.files.pop(checked_path(path), None)

    def drop_empty(self, folder: str) -> None:
        checked_path(folder)  # there are no folders

    def rename(self, source: str, target: str) -> None:
        source, target = f"{checked_path(source)}/", f"{checked_path(target)}/"
        with self._storage.lock:
            files = self._storage.files
            moved = [name for name in files if name.startswith(source)]
            if not moved:
                raise ObjectMissing(f"{self.place}/{source} is not there")
            if any(name.startswith(target) for name in files) or target[:-1] in files:
                raise ObjectExists(f"{self.place}/{target} is there already")
            for name in moved:
                files[target + name[len(source) :]] = files.pop(name)


class ConditionalMemoryBackend(MemoryBackend):
    """The same, committing as an object store does: to test that core serves both."""

    saver_class = ConditionalSaver
