"""Two small data plugins, places in memory, and ways to spoil what lies there."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from strax_core.backend.memory import MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.context.context import Context
from strax_core.data_plugins.option import Option
from strax_core.data_plugins.plugin import Plugin
from strax_core.errors import StorageUnavailable
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.frontend import StorageFrontend
from strax_core.medium import Entry

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<f8")])
N_CHUNKS, WIDTH, N_ROWS = 4, 1000, 5
RECORDS = np.arange(N_CHUNKS * N_ROWS, dtype=float)
"""The values of `x`, as they should be."""


class Records(Plugin):
    dtype = ROW
    rechunk_on_save = False
    offset = Option(default=0.0)

    def chunks(self) -> Iterator[Chunk]:
        for i in range(N_CHUNKS):
            rows = np.zeros(N_ROWS, ROW)
            rows["time"] = WIDTH * i + 100 * np.arange(N_ROWS)
            rows["endtime"] = rows["time"] + 10
            rows["x"] = np.arange(N_ROWS * i, N_ROWS * (i + 1)) + self.offset
            yield self.chunk(start=WIDTH * i, end=WIDTH * (i + 1), data=rows)


class Peaks(Plugin):
    depends_on = "records"
    dtype = ROW
    rechunk_on_save = False
    gain = Option(default=1.0)

    def compute(self, records: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows = records.copy()
        rows["x"] *= self.gain
        return rows


class Down(MemoryBackend):
    """Raises what it is told to, whatever it is asked; None: it is well."""

    error: Exception | None = None

    def read(self, path: str) -> bytes:
        if self.error is not None:
            raise self.error
        return super().read(path)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        if self.error is not None:
            raise self.error
        return super().list(folder, starts_with=starts_with)


def place(name: str = "here", **options: Any) -> DirectoryFrontend:
    return DirectoryFrontend(Down(), name=name, **options)


def take_down(frontend: DirectoryFrontend, error: Exception | None = None) -> None:
    backend_of(frontend).error = error or StorageUnavailable("the cable is out")


def context(*places: StorageFrontend, **options: Any) -> Context:
    options.setdefault("plugins", [Records, Peaks])
    return Context(storage=list(places), **options)


def backend_of(frontend: StorageFrontend) -> Down:
    (backend,) = frontend.backends.values()
    assert isinstance(backend, Down)
    return backend


def folder_of(frontend: StorageFrontend, data_type: str) -> str:
    (folder,) = (e.name for e in backend_of(frontend).list("") if f"-{data_type}-" in e.name)
    return folder


def chunk_path(frontend: StorageFrontend, data_type: str, chunk_i: int) -> str:
    folder = folder_of(frontend, data_type)
    document = json.loads(backend_of(frontend).read(metadata_path(frontend, data_type)))
    return f"{folder}/{document['chunks'][chunk_i]['filename']}"


def metadata_path(frontend: StorageFrontend, data_type: str) -> str:
    folder = folder_of(frontend, data_type)
    return f"{folder}/{folder.split('-', 1)[1]}-metadata.json"


def flip(frontend: StorageFrontend, data_type: str, chunk_i: int = 0) -> None:
    """Change one byte of a chunk."""
    backend, path = backend_of(frontend), chunk_path(frontend, data_type, chunk_i)
    raw = bytearray(backend.read(path))
    raw[len(raw) // 2] ^= 1
    backend.write(path, [bytes(raw)])


def edit_metadata(frontend: StorageFrontend, data_type: str, **fields: Any) -> None:
    """Change fields of stored metadata; None takes one away."""
    backend, path = backend_of(frontend), metadata_path(frontend, data_type)
    document = {**json.loads(backend.read(path)), **fields}
    kept = {name: value for name, value in document.items() if value is not None}
    backend.write(path, [json.dumps(kept).encode()])


def files(frontend: StorageFrontend) -> set[str]:
    """All paths, but for those in the staging place."""
    backend = backend_of(frontend)
    return {path for path in backend._storage.files if not path.startswith(".staging/")}


def staged(frontend: StorageFrontend) -> set[str]:
    backend = backend_of(frontend)
    return {path for path in backend._storage.files if path.startswith(".staging/")}
