"""Brings stored chunks into a saver: their files as they are, or their rows; then reads it back.

Nothing is committed before all that was written has been read again and found to be the source's.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from threading import Event

import numpy as np

from strax_core.backend import MemoryBackend
from strax_core.chunks import Chunk, Rechunker, Rows, extrema
from strax_core.codecs import EncodedChunk, bytes_of
from strax_core.concurrency import Budget, Cancelled, InFlight
from strax_core.errors import DataCorrupted
from strax_core.format import (
    ChunkInfo,
    Metadata,
    RunningChecksum,
    checksum,
    checksum_matches,
    packed,
)
from strax_core.loader import Loader
from strax_core.saver import Saver


class Unreadable(Exception):  # noqa: N818 - it never leaves the modules that copy
    """It was the source that failed, not the place that takes the copy."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Threads and memory that a copy may use, and its cancellation."""

    executor: Executor
    buffer_bytes: int
    """About how many bytes it may hold at once."""
    stop: Event | None = None
    """Set when the copy is cancelled."""

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if it is to stop."""
        if self.stop is not None and self.stop.is_set():
            raise Cancelled("the copy was cancelled")


def may_move_files(source: Metadata) -> bool:
    """Say whether the files of a piece of data are what a saver of ours would write.

    Of padded rows it would not: their padding is not stored.
    """
    return packed(source.dtype) == source.dtype


def move_files(source: Loader, saver: Saver, options: TransferOptions) -> None:
    """Bring the files of all chunks into a saver as they are, several at a time.

    Each is checked against size and checksum. strax keeps no checksums: its chunks are decoded
    once, and their checksums taken from what was found to be good.

    Raises:
        Unreadable: a file could not be read, or does not fit.
        StorageError: the place did not take it.
    """

    def move(info: ChunkInfo, chunk_i: int) -> None:
        saver.save_stored(_as_stored(source, info), chunk_i)

    infos = source.metadata.chunks
    _for_each(infos, (partial(move, info, i) for i, info in enumerate(infos)), options)
    saver.before_commit = partial(_check_files, saver, options)


def store_rows(
    chunks: Iterable[Chunk],
    source: Metadata,
    saver: Saver,
    options: TransferOptions,
    *,
    chunk_size_bytes: int | None,
) -> None:
    """Bring rows into a saver, which encodes them anew; rechunked, if a size is given.

    Raises:
        Unreadable: the rows are not those that the source's metadata tell of.
        StorageError: the place did not take them.
    """
    rows = _RowsRead(source)
    writes = InFlight(Budget(options.buffer_bytes))
    rechunker = None if chunk_size_bytes is None else Rechunker(chunk_size_bytes)
    numbers = count()

    def write(pieces: list[Chunk]) -> None:
        while pieces:
            n_bytes = pieces[0].nbytes
            writes.make_room(n_bytes)
            # Not by way of a variable, which would keep the rows until the next are read.
            writes.add(options.executor.submit(saver.save, pieces.pop(0), next(numbers)), n_bytes)

    try:
        for chunk in chunks:
            options.check_cancelled()
            rows.add(chunk)
            if rechunker is None:
                write([chunk])
            else:
                held_bytes = rechunker.pending_bytes
                write(rechunker.receive(chunk))
                writes.budget.held_bytes += rechunker.pending_bytes - held_bytes
            del chunk
        write([] if rechunker is None else rechunker.flush())
        writes.drain()
    finally:
        writes.cancel()
    saver.before_commit = partial(_check_rows, saver, rows, options)


def _for_each(
    infos: Iterable[ChunkInfo], jobs: Iterator[Callable[[], object]], options: TransferOptions
) -> None:
    """Do a job for the file of each chunk, as many at once as may be held."""
    at_work = InFlight(Budget(options.buffer_bytes))
    try:
        for info, job in zip(infos, jobs, strict=True):
            options.check_cancelled()
            n_bytes = info.nbytes if info.filesize is None else info.filesize
            at_work.make_room(n_bytes)
            at_work.add(options.executor.submit(job), n_bytes)
        at_work.drain()
    finally:
        at_work.cancel()


def _as_stored(source: Loader, info: ChunkInfo) -> EncodedChunk:
    """Read a chunk's file; its entry keeps everything but the name."""
    if not info.n:
        return EncodedChunk(replace(info, filename=None), ())
    try:
        stored = source.read_stored(info)
        if info.checksum is None:
            info = _with_checksums(source.metadata, info, stored)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(error) from error
    return EncodedChunk(replace(info, filename=None, filesize=len(stored)), (stored,))


def _with_checksums(metadata: Metadata, info: ChunkInfo, stored: bytes) -> ChunkInfo:
    """Decode bytes that nothing vouches for, check all invariants, and take checksums."""
    memory = MemoryBackend()
    memory.write(f"held/{info.filename}", [stored])
    alone = {**metadata, "chunks": [info.as_json()], "start": info.start, "end": info.end}
    chunk = Loader(memory, "held", Metadata(alone, place=metadata.place)).read_chunk(info)
    _RowsRead(Metadata(alone, place=metadata.place)).add(chunk)
    min_time, max_endtime = extrema(chunk.data)
    return replace(
        info,
        checksum=checksum([stored]),
        checksum_rows=checksum([bytes_of(chunk.data)]),
        min_time=min_time,
        max_endtime=max_endtime,
    )


def _check_files(saver: Saver, options: TransferOptions, written: Metadata) -> None:
    """Read back every file; its checksum is the source's.

    Raises:
        DataCorrupted: one is not what was written.
    """
    loader = _written(saver, written)
    infos = [info for info in written.chunks if info.n]
    _for_each(infos, (partial(loader.read_stored, info) for info in infos), options)


def _check_rows(
    saver: Saver, source: "_RowsRead", options: TransferOptions, written: Metadata
) -> None:
    """Read back all rows; in their order they are the source's, wherever they are cut.

    Raises:
        DataCorrupted: they are not.
    """
    found = _RowsRead(written)
    loader = _written(saver, written)
    for chunk in loader.chunks(executor=options.executor, read_ahead_bytes=options.buffer_bytes):
        try:
            found.add(chunk)
        except Unreadable as error:
            raise error.cause from error
        del chunk
    if found != source:
        raise DataCorrupted(
            f"{written.place}: what was written is not what was read, {found} instead of {source}; "
            "nothing was committed, so try again"
        )


def _written(saver: Saver, metadata: Metadata) -> Loader:
    """Return what loads the data of a saver that has not committed yet."""
    return Loader(saver.medium, saver.folder, metadata)


class _RowsRead:
    """The rows of a piece of data as they are read: how many, of which time, their checksum.

    Args:
        metadata: of what is read; a chunk that is cut as they say has the checksum that they say.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._expected: dict[tuple[int, int, int], str | None] = {}
        for info in metadata.chunks:
            cut = _cut(info)  # two that are cut alike are not told apart
            self._expected[cut] = None if cut in self._expected else info.checksum_rows
        self._all = RunningChecksum()
        self._n = 0
        self._span: tuple[int, int] | None = None

    def add(self, chunk: Chunk) -> None:
        """Take note of the next chunk.

        Raises:
            Unreadable: these are not the rows that were stored.
        """
        rows: Rows = np.ascontiguousarray(chunk.data, dtype=packed(chunk.dtype))
        expected = self._expected.get(_cut(chunk))
        if expected is not None and not checksum_matches(expected, [bytes_of(rows)]):
            raise Unreadable(
                DataCorrupted(
                    f"{self._metadata.place}: run {chunk.run_id}, {chunk.data_type}, the chunk "
                    f"from {chunk.start} to {chunk.end}: these are not the rows that were stored"
                )
            )
        if chunk.n:
            self._all.add(bytes_of(rows))
        self._n += chunk.n
        self._span = (chunk.start if self._span is None else self._span[0], chunk.end)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _RowsRead) and str(self) == str(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return f"{self._n} rows of {self._span}, {self._all.so_far}"


def _cut(chunk: Chunk | ChunkInfo) -> tuple[int, int, int]:
    return chunk.start, chunk.end, chunk.n
