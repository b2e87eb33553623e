"""Loads a piece of data from the nearest copy that can be read; in mid-load from the next one."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from strax_core.chunks import (
    Chunk,
    Rows,
    columns_of,
    stacked,
    stacked_columns,
    time_fields,
    times_of,
)
from strax_core.codecs import Out
from strax_core.concurrency import Cancelled
from strax_core.errors import DataNotAvailable, StorageError, StorageUnavailable
from strax_core.format import ChunkInfo, Metadata
from strax_core.loader import Loader, ReadOptions, Watch
from strax_core.places.found import Found
from strax_core.places.search import of_same_type
from strax_core.selection import WHOLE_ROWS, Scan, dtype_with, taken

Find = Callable[[], Iterator[Found]]
"""Finds all copies anew, nearest first; raises as `Places.find_all`."""

ATTEMPTS = 3  # of a load that finds its data replaced or removed meanwhile


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """The chunks to load, and how."""

    options: ReadOptions
    read_ahead_bytes: int
    chunks_of: Callable[[Metadata], Sequence[ChunkInfo]]
    """The chunks wanted, by the metadata of the copy."""
    by_number: bool = False
    """Chunks are wanted by their numbers, so only a copy cut alike can go on."""
    scan: Scan = WHOLE_ROWS
    """Rows and columns of these chunks."""

    def note_stored(self, metadata: Metadata) -> None:
        """Count the size of what is read, once for each piece of data."""
        self.options.report.add(stored_bytes=sum(info.filesize or 0 for info in metadata.chunks))


@dataclass(frozen=True, slots=True)
class _Part:
    """A chunk of a copy, of which the beginning may have been handed out already."""

    info: ChunkInfo
    n_until_its_end: int
    """How many rows all chunks of the copy have, up to the end of this one."""
    n_given: int
    """Rows already handed out. A count, because rows of zero duration on a border share their
    time."""
    from_ns: int | None
    """Up to when others were handed out; None: nothing was."""

    @property
    def is_begun(self) -> bool:
        """Whether a part of it was handed out already."""
        return self.from_ns is not None and (self.info.start < self.from_ns or self.n_given > 0)

    def rest_of(self, chunk: Chunk, scan: Scan) -> Chunk:
        """Return what of this chunk, which is begun, is still to be handed out.

        Args:
            chunk: with all its rows, and the time fields.
            scan: what is wanted of it.
        """
        rest = chunk.split(max(self.from_ns or 0, chunk.start))[1]
        rows = chunk.data[self.n_given :]
        mask = None if scan.within is None else scan.within.mask(*times_of(rows))
        return rest.with_rows(taken(rows, mask, dtype_with(rows.dtype, scan.columns)))


@dataclass(kw_only=True)
class _HandedOut:
    """How far a load has come."""

    begun: Metadata | None = None
    """Of the copy that was read last; None: nothing was handed out."""
    end_ns: int | None = None
    n_rows: int = 0
    """How many rows all data have up to there, also those that nobody wanted."""

    def going_on(self, find: Find, request: LoadRequest) -> Iterator[Found]:
        """Iterate over the copies that may go on, as far as it is when each is asked for."""
        try:
            for found in find():
                if self.begun is None or is_replica(
                    self.begun, found.metadata, same_chunking=request.by_number
                ):
                    yield found
        except StorageError:
            if self.begun is None:
                raise  # else the failure that made us look for others says more

    def parts_of(self, metadata: Metadata, wanted: Sequence[ChunkInfo]) -> list[_Part]:
        """Return what a copy has still to give, of the chunks wanted."""
        counts = accumulate(info.n for info in metadata.chunks)
        until_end = {
            info.chunk_i: count for info, count in zip(metadata.chunks, counts, strict=True)
        }
        return [
            _Part(info, n_rows, max(0, self.n_rows - (n_rows - info.n)), self.end_ns)
            for info in wanted
            for n_rows in [until_end[info.chunk_i]]
            if self.end_ns is None or info.end > self.end_ns or n_rows > self.n_rows
        ]

    def note(self, metadata: Metadata, part: _Part, chunk: Chunk) -> None:
        """Take note of a chunk that is about to be handed out."""
        self.begun, self.end_ns, self.n_rows = metadata, chunk.end, part.n_until_its_end


def load_rows(
    find: Find, request: LoadRequest, *, as_columns: bool = False, watch: Watch = iter
) -> Out:
    """Return the wanted rows in one array, from the next copy if one cannot be read.

    Args:
        find: finds the copies.
        request: what is wanted of them.
        as_columns: give an array for each column.
        watch: is given the entries of the chunks as they are read, and passes them on.

    Raises:
        DataNotAvailable: nothing is stored.
        StorageError: no copy could be read, or no place could answer.
    """
    failures: list[Exception] = []
    for _ in range(ATTEMPTS):
        failures = []
        for found in find():
            infos = request.chunks_of(found.metadata)
            try:
                rows = found.loader().read(
                    infos, request.scan, request.options, as_columns=as_columns, watch=watch
                )
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001 - another place may serve it
                found.report_failure(error)
                failures.append(_typed(error, found))
            else:
                request.note_stored(found.metadata)
                return rows
        if not _has_changed(failures):
            break
    raise merged_failures(failures)


def load_chunks(find: Find, request: LoadRequest) -> Generator[Chunk, None, None]:
    """Iterate over the chunks of the nearest copy; if it fails, the next one goes on.

    It goes on by time, at the end of the last chunk handed out, and only with a copy of the same
    making: rows made twice may differ. Nothing is handed out twice, and nothing is left out.

    Raises:
        StorageError: no copy could be read to the end; or nothing is stored.
    """
    done = _HandedOut()
    failures: list[Exception] = []
    for _ in range(ATTEMPTS):
        failed_now: list[Exception] = []
        for found in done.going_on(find, request):
            if done.begun is None and not failures and not failed_now:
                request.note_stored(found.metadata)
            parts = done.parts_of(found.metadata, request.chunks_of(found.metadata))
            with closing(_given(found, parts, request)) as given:
                for part in parts:
                    try:
                        chunk = [next(given)]
                    except Exception as error:  # noqa: BLE001 - another place may serve it
                        found.report_failure(error)
                        failed_now.append(_typed(error, found))
                        break
                    done.note(found.metadata, part, chunk[0])
                    yield chunk.pop()  # not by way of a variable, which would keep the rows
                else:
                    return
        failures = failed_now or failures
        if not _has_changed(failed_now):
            break
    raise merged_failures(failures)


def _given(
    found: Found, parts: Sequence[_Part], request: LoadRequest
) -> Generator[Chunk, None, None]:
    """Iterate over what is wanted of each part."""
    loader = found.loader()
    begun = [part for part in parts if part.is_begun]
    # Of a chunk that was handed out in part the rows are counted, so all of them are needed.
    columns = request.scan.columns
    times = time_fields(loader.metadata.dtype.names or ())
    counted = Scan(None if columns is None else tuple(dict.fromkeys((*columns, *times))))
    for part, chunk in zip(begun, _chunks(loader, begun, request, counted), strict=True):
        yield part.rest_of(chunk, request.scan)
    yield from _chunks(loader, parts[len(begun) :], request, request.scan)


def _chunks(
    loader: Loader, parts: Sequence[_Part], request: LoadRequest, scan: Scan
) -> Generator[Chunk, None, None]:
    return loader.chunks(
        [part.info for part in parts],
        scan=scan,
        executor=request.options.executor,
        read_ahead_bytes=request.read_ahead_bytes,
        report=request.options.report,
    )


def is_replica(begun: Metadata, other: Metadata, *, same_chunking: bool) -> bool:
    """Say whether a copy may go on where another failed: it holds the same rows, to the end.

    Args:
        begun: of the copy that failed.
        other: of the one that is to go on.
        same_chunking: whether it must have the same chunks.
    """
    if other.chunks[-1].end < begun.chunks[-1].end:
        return False  # it is still being written
    if begun.data_id is None or other.data_id is None:
        # strax keeps no id: the same lineage, borders and numbers of rows must do.
        return begun.lineage == other.lineage and _borders(begun) == _borders(other)
    return begun.data_id == other.data_id and (
        not same_chunking or _borders(begun) == _borders(other)
    )


def _borders(metadata: Metadata) -> list[tuple[int, int, int]]:
    return [(info.start, info.end, info.n) for info in metadata.chunks]


def _typed(error: Exception, found: Found) -> Exception:
    """Return an error of a kind that callers know; what a storage plugin left untranslated."""
    if isinstance(error, StorageError | MemoryError):
        return error
    return of_same_type(error, f"{found.key} could not be read from {found.place}: {error!r}")


def _has_changed(failures: Iterable[Exception]) -> bool:
    """Say whether data were replaced or removed meanwhile, so that it is worth to look again."""
    return any(isinstance(error, DataNotAvailable) for error in failures)


def merged_failures(failures: Sequence[Exception]) -> Exception:
    """Return the error to raise if no copy could be read; of several, it tells all."""
    if len(failures) < 2:  # noqa: PLR2004 - nothing to put together
        return failures[0] if failures else DataNotAvailable("no copy to load from")
    # What is worth a retry says so by its type.
    first = next((each for each in failures if isinstance(each, StorageUnavailable)), failures[0])
    told = "; ".join(str(each) or type(each).__name__ for each in failures)
    return of_same_type(first, f"no copy could be read: {told}")


def joined(chunks: Iterable[Chunk], dtype: np.dtype[Any]) -> Rows:
    """Return the rows of all chunks in an array of their own."""
    return stacked([chunk.data for chunk in chunks], dtype)


def joined_columns(chunks: Iterable[Chunk], dtype: np.dtype[Any]) -> dict[str, Rows]:
    """Return an array of its own for each column of the rows of all chunks."""
    parts = [columns_of(chunk.data) for chunk in chunks]
    return stacked_columns(parts or [columns_of(np.empty(0, dtype))])
