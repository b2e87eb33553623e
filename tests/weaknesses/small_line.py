"""Two small data plugins on the local disk: records of ten chunks, and peaks made of them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from strax_core import Buffer, Chunk, Context, Option, Plugin, StorageFull
from strax_local import LocalBackend, LocalFrontend, LocalOptions

RUN = "run_7"
N_CHUNKS = 10
N_ROWS = 10  # of a chunk
SPAN_NS = 1000  # of a chunk
ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<f8")])
RECORDS = list(range(N_CHUNKS * N_ROWS))
"""The values of x in all records."""
PEAKS = [2 * x for x in RECORDS]
"""The values of x in all peaks, with the default gain."""

CORRECTED = [x + 0.5 for x in RECORDS]
"""The values of x in corrected records."""


class Records(Plugin):
    """A source; x counts the rows of the run."""

    __version__ = "1"
    dtype = ROW
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for i in range(N_CHUNKS):
            rows = np.zeros(N_ROWS, ROW)
            rows["time"] = i * SPAN_NS + np.arange(N_ROWS) * 100
            rows["endtime"] = rows["time"] + 50
            rows["x"] = i * N_ROWS + np.arange(N_ROWS)
            yield self.chunk(start=i * SPAN_NS, end=(i + 1) * SPAN_NS, data=rows)


class Peaks(Plugin):
    """Records with x multiplied by a gain."""

    __version__ = "1"
    depends_on = "records"
    data_kind = "peaks"
    dtype = ROW
    rechunk_on_save = False
    gain = Option(default=2.0, type=float)

    def compute(self, records: np.ndarray) -> np.ndarray:
        rows = records.copy()
        rows["x"] *= self.gain
        return rows


class NeverAgain(Records):
    """The same records, which must be loaded: making them fails."""

    provides = "records"

    def chunks(self) -> Iterator[Chunk]:
        raise AssertionError("this is stored, and need not be made")


NeverAgain.__name__ = "Records"  # it stands in the lineage


class Corrected(Records):
    """The same key, other rows: someone mended the source and forgot the version."""

    provides = "records"

    def chunks(self) -> Iterator[Chunk]:
        for chunk in super().chunks():
            rows = chunk.data.copy()
            rows["x"] += 0.5
            yield self.chunk(start=chunk.start, end=chunk.end, data=rows)


Corrected.__name__ = "Records"  # it stands in the lineage


class FullDisk(LocalBackend):
    """A directory whose disk is full once the files of these names come."""

    names: Sequence[str] = ()

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        if path.endswith(tuple(self.names)):
            raise StorageFull(f"{self.place}/{path} did not fit: the disk is full")
        super().write(path, buffers, create_only=create_only)


def local(folder: Path, **options: Any) -> LocalFrontend:
    """Return a place in a folder of this disk; no waiting for the disk."""
    backend = LocalBackend(LocalOptions(path=str(folder), fsync=False))
    return LocalFrontend(backend, name=folder.name, **options)


def full_disk(folder: Path, *names: str, **options: Any) -> LocalFrontend:
    """Return such a place whose disk takes no file whose name ends like these."""
    backend = FullDisk(LocalOptions(path=str(folder), fsync=False))
    backend.names = names
    return LocalFrontend(backend, name=folder.name, **options)


def context(*places: Any, plugins: Sequence[type[Plugin]] = (), **options: Any) -> Context:
    """Return a context on these places or folders; other data plugins replace those above."""
    storage = [local(place) if isinstance(place, Path) else place for place in places]
    return Context(storage, plugins=[Records, Peaks, *plugins], **options)


def loading(*places: Any, **options: Any) -> Context:
    """Return a context that can load records but not make them."""
    return context(*places, plugins=[NeverAgain], **options)


def values(rows: np.ndarray) -> list[float]:
    """Return the x of rows."""
    return rows["x"].tolist()


def folder_of(ctx: Context, data_type: str, place: Path) -> Path:
    """Return the folder that holds a piece of data, or would."""
    return place / str(ctx.key_for(RUN, data_type))


def chunk_files(ctx: Context, data_type: str, place: Path) -> list[Path]:
    """Return the files of the chunks, in order."""
    folder = folder_of(ctx, data_type, place)
    return sorted(path for path in folder.iterdir() if path.suffix != ".json")


def files_in(place: Path) -> dict[str, bytes]:
    """Return all files of a place with their bytes, those of writers at work too."""
    found = {}
    for path in sorted(place.rglob("*")):
        with suppress(FileNotFoundError, IsADirectoryError):  # a writer may take it away meanwhile
            found[str(path.relative_to(place))] = path.read_bytes()
    return found


def left_by_writers(place: Path) -> list[str]:
    """Return what writers left in their staging, without notes of failures."""
    return [
        name for name in files_in(place) if name.startswith(".staging/") and "/failed-" not in name
    ]
