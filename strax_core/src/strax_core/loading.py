"""Loads a piece of data from the nearest copy that can be read; in mid-load from the next one."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from strax_core.asking import Found, of_same_type
from strax_core.chunk_info import ChunkInfo
from strax_core.chunks import Chunk, Rows
from strax_core.errors import ConfigError, DataNotAvailable, StorageError, StorageUnavailable
from strax_core.loader import Watch
from strax_core.metadata import Metadata

Find = Callable[[], Iterator[Found]]
"""Finds all copies anew, nearest first; raises as `Places.find_all`."""
ATTEMPTS = 3  # of a load that finds its data replaced or removed meanwhile


def load_rows(find: Find, *, executor: Executor | None, watch: Watch = iter) -> Rows:
    """Return all rows, from the next copy if one cannot be read.

    Raises:
        DataNotAvailable: nothing is stored.
        StorageError: no copy could be read, or no place could answer.
    """
    failures: list[Exception] = []
    for _ in range(ATTEMPTS):
        failures = []
        for found in find():
            try:
                return found.loader().read_all(executor=executor, watch=watch)
            except Exception as error:  # noqa: BLE001 - another place may serve it
                found.report_failure(error)
                failures.append(_typed(error, found))
        if not _has_changed(failures):
            break
    raise all_told(failures)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How chunks are read: which of them, and in what."""

    executor: Executor | None
    read_ahead_bytes: int
    chunks_of: Callable[[Metadata], Sequence[ChunkInfo]]
    """The chunks wanted, by the metadata of the copy."""
    by_number: bool = False
    """Chunks are wanted by their numbers, so only a copy cut alike can go on."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A chunk of a copy, of which the beginning may have been handed out already."""

    info: ChunkInfo
    n_until_its_end: int
    """How many rows all chunks of the copy have, up to the end of this one."""
    n_given: int
    """How many rows of this chunk were handed out; only by number is a row of zero duration on a
    border told from one that was not."""
    from_ns: int | None
    """Up to when others were handed out; None: nothing was."""

    def rest_of(self, chunk: Chunk) -> Chunk:
        """Return what of this chunk is still to be handed out."""
        if self.from_ns is None or (chunk.start >= self.from_ns and not self.n_given):
            return chunk
        rest = chunk.split(max(self.from_ns, chunk.start))[1]
        return replace(rest, data=chunk.data[self.n_given :])


@dataclass(kw_only=True)
class _HandedOut:
    """How far a load has come."""

    begun: Metadata | None = None
    """Of the copy that was read last; None: nothing was handed out."""
    end_ns: int | None = None
    n_rows: int = 0
    """How many rows all data have up to there, also those that nobody wanted."""

    def going_on(self, find: Find, reading: Reading) -> Iterator[Found]:
        """Iterate over the copies that may go on, as far as it is when each is asked for."""
        try:
            for found in find():
                if self.begun is None or is_same_making(
                    self.begun, found.metadata, cut_alike=reading.by_number
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


def load_chunks(find: Find, reading: Reading) -> Generator[Chunk, None, None]:
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
        for found in done.going_on(find, reading):
            parts = done.parts_of(found.metadata, reading.chunks_of(found.metadata))
            with closing(_given(found, parts, reading)) as given:
                for part in parts:
                    try:
                        chunk = [part.rest_of(next(given))]
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
    raise all_told(failures)


def _given(found: Found, parts: Sequence[_Part], reading: Reading) -> Generator[Chunk, None, None]:
    yield from found.loader().chunks(
        [part.info for part in parts],
        executor=reading.executor,
        read_ahead_bytes=reading.read_ahead_bytes,
    )


def is_same_making(begun: Metadata, other: Metadata, *, cut_alike: bool) -> bool:
    """Say whether a copy may go on where another failed: it holds the same rows, to the end.

    Args:
        begun: of the copy that failed.
        other: of the one that is to go on.
        cut_alike: whether it must have the same chunks.
    """
    if other.chunks[-1].end < begun.chunks[-1].end:
        return False  # it is still being written
    if begun.data_id is None or other.data_id is None:
        # strax keeps no id: the same lineage, borders and numbers of rows must do.
        return begun.lineage == other.lineage and _borders(begun) == _borders(other)
    return begun.data_id == other.data_id and (not cut_alike or _borders(begun) == _borders(other))


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


def all_told(failures: Sequence[Exception]) -> Exception:
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


def stacked(parts: list[Rows], dtype: np.dtype[Any] | None = None) -> Rows:
    """Return the rows of all parts in one array; each part is let go once copied.

    So about as much memory is needed as the rows take. A single part is returned as it is, unless
    a dtype is given.

    Args:
        parts: arrays of one dtype; the list is emptied.
        dtype: theirs; needed if there may be no part.

    Raises:
        ConfigError: the parts have different dtypes.
    """
    if dtype is None:
        if len(parts) == 1:
            return parts.pop()
        dtype = parts[0].dtype
    for part in parts:
        if part.dtype != dtype:
            raise ConfigError(f"rows of {part.dtype} and of {dtype} cannot stand in one array")
    rows: Rows = np.empty(sum(len(part) for part in parts), dtype=dtype)
    # As plain bytes, field by field is several times slower.
    as_bytes = np.dtype((np.void, rows.dtype.itemsize))
    at = 0
    for part in _taken(parts):
        rows[at : at + len(part)].view(as_bytes)[:] = np.ascontiguousarray(part).view(as_bytes)
        at += len(part)
    return rows


def _taken(parts: list[Rows]) -> Iterator[Rows]:
    parts.reverse()
    while parts:
        yield parts.pop()
