"""A backend that only reads passes the contract of those."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from strax_core import Entry, MemoryBackend, StorageBackend
from strax_core.testing import RawMemory, ReadingContract


class Published(StorageBackend):
    """The three things that a backend must have to read, and nothing else."""

    place = "published"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._memory = MemoryBackend()
        for path, data in files.items():
            RawMemory(self._memory).write(path, data)

    def read(self, path: str) -> bytes:
        return self._memory.read(path)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        return self._memory.list(folder, starts_with=starts_with)


class TestPublished(ReadingContract):
    pickles = False

    @pytest.fixture
    def put_files(self) -> Callable[[Mapping[str, bytes]], StorageBackend]:
        return Published
