"""Reads segments of chunks: chooses them, decodes them, and puts their rows in place."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from strax_core.chunks import Chunk, Rows, check_invariants, time_fields, times_of
from strax_core.codecs import Codec, Out, Segment, Selection
from strax_core.concurrency import Job
from strax_core.errors import ChunkError, DataCorrupted
from strax_core.format import ChunkInfo
from strax_core.loader.report import ReadReport
from strax_core.selection import Scan, dtype_with, taken

AHEAD_BYTES = 32 << 20  # stored: what is being fetched and decoded, or waits to be taken

Decode = Callable[[ChunkInfo, Segment, Selection, Out], int]
"""Fetches a segment, decodes it into the beginning of an array, returns how many rows it gave."""

ErrorContext = Callable[[ChunkInfo], AbstractContextManager[None]]
"""Names the chunk in errors raised inside the block."""


def never_cancelled() -> None:
    """Default check: never cancels."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Threads to read in, counters to update, cancellation check."""

    executor: Executor | None = None
    """Threads to read in; None: all is read here."""
    report: ReadReport = field(default_factory=ReadReport)
    """Counts what is read."""
    check_cancelled: Callable[[], None] = never_cancelled
    """Is called before each piece, in its thread; raises `Cancelled`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment of a chunk that may hold wanted rows."""

    chunk: Chunk
    """Without its rows: the borders, and what else is known of it."""
    info: ChunkInfo
    segment: Segment
    is_edge: bool
    """True if it may hold rows outside the time range."""

    @property
    def share(self) -> float:
        """Of the stored bytes that may be ahead."""
        return self.segment.stored_bytes / AHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Decoded:
    """First row and first/last time of a decoded segment, to check that segments are in order."""

    first_row: int
    times: tuple[int, int] | None = None
    """`time` of the first and the last of them; None: there are none, or they have no times."""


@dataclass(frozen=True, slots=True)
class Part:
    """The wanted rows of a piece, in an array of their own."""

    rows: Rows
    decoded: Decoded


class Reader:
    """Reads the pieces of one piece of data, each in any thread.

    Args:
        codec: knows the segments of a chunk.
        dtype: of the stored rows.
        scan: which rows and columns.
        decode: reads one segment.
        told: names the chunk in errors.
    """

    def __init__(
        self,
        codec: Codec,
        dtype: np.dtype[Any],
        scan: Scan,
        *,
        decode: Decode,
        told: ErrorContext,
    ) -> None:
        self._codec = codec
        self._dtype = dtype
        self._times = time_fields(dtype.names or ())
        self._within = scan.within
        self._decode = decode
        self.told = told
        columns = scan.columns
        self.given_dtype = dtype_with(dtype, columns)
        """Of the rows that come of it."""
        self._inside = Selection(columns)
        if self._within is not None and columns is not None:
            columns = tuple(dict.fromkeys((*columns, *self._times)))
        self._edge = Selection(columns, None if self._within is None else self._within.borders)

    def pieces(self, chunk: Chunk, info: ChunkInfo) -> list[Piece]:
        """Return what must be read of a chunk.

        Raises:
            DataCorrupted: its entry in the metadata cannot be.
        """
        segments = self._codec.segments(info) if info.n else ()
        if self._within is None:
            return [Piece(chunk, info, segment, is_edge=False) for segment in segments]
        of_chunk = (
            info.start if info.min_time is None else info.min_time,
            info.end if info.max_endtime is None else info.max_endtime,
        )
        spans = [(segment, segment.extrema or of_chunk) for segment in segments]
        return [
            Piece(chunk, info, segment, is_edge=not self._within.holds_all(*span))
            for segment, span in spans
            if self._within.may_hold_some(*span)
        ]

    def read_into(self, piece: Piece, out: Out) -> Decoded:
        """Decode a piece, all of whose rows are wanted, into its place."""
        with self.told(piece.info):
            n = self._decode(piece.info, piece.segment, self._inside, out)
            if n != piece.segment.n:
                raise DataCorrupted(f"{n} rows were decoded, not {piece.segment.n}")
            return self._checked(piece, out, n, self.given_dtype.names)

    def read_apart(self, piece: Piece) -> Part:
        """Decode a piece into an array of its own, and take the rows in the time range."""
        selection = self._edge if piece.is_edge else self._inside
        rows: Rows = np.empty(piece.segment.n, dtype_with(self._dtype, selection.columns))
        with self.told(piece.info):
            rows = rows[: self._decode(piece.info, piece.segment, selection, rows)]
            decoded = self._checked(piece, rows, len(rows), rows.dtype.names)
        if self._within is not None and piece.is_edge:
            rows = taken(rows, self._within.mask(*times_of(rows)), self.given_dtype)
        return Part(rows, decoded)

    def _checked(
        self, piece: Piece, columns: Out, n: int, names: Collection[str] | None
    ) -> Decoded:
        """Check rows against the invariants of their chunk, if their times were read."""
        first_row = piece.segment.first_row
        if not n or not set(self._times) <= set(names or ()):
            return Decoded(first_row)
        check_invariants(piece.chunk, columns, first_row)
        time = columns["time"]
        return Decoded(first_row, (int(time[0]), int(time[n - 1])))


class Assembly:
    """One chunk while it is read: what its pieces give is taken in their order.

    Args:
        reader: reads its pieces.
        chunk: it, without its rows.
        info: its entry in the metadata.
    """

    def __init__(self, reader: Reader, chunk: Chunk, info: ChunkInfo) -> None:
        self.chunk = chunk
        self.info = info
        self.pieces = reader.pieces(chunk, info)
        self._reader = reader
        self._is_straight = not any(piece.is_edge for piece in self.pieces)
        self._rows: list[Rows] = []
        self._decoded: list[Decoded] = []

    def jobs(self, read_ahead_bytes: int) -> Iterator[Job["Assembled"]]:
        """Iterate over the jobs that read it; a chunk of which nothing is read has one, too.

        Args:
            read_ahead_bytes: how much may be ahead, uncompressed.
        """
        itemsize = self._reader.given_dtype.itemsize
        if self._is_straight:
            n = sum(piece.segment.n for piece in self.pieces)
            self._rows.append(np.empty(n, self._reader.given_dtype))
        at = 0
        for piece in self.pieces:
            rows_share = piece.segment.n * itemsize / max(1, read_ahead_bytes)
            yield Job(partial(self._read, piece, at), max(piece.share, rows_share))
            at += piece.segment.n
        if not self.pieces:
            yield Job(lambda: Assembled(self, None, is_last=True), 0)

    def take(self, given: "Assembled") -> None:
        """Take what the next job gave."""
        if isinstance(given.part, Part):
            self._decoded.append(given.part.decoded)
            self._rows.append(given.part.rows)
        elif given.part is not None:
            self._decoded.append(given.part)

    def rows(self) -> list[Rows]:
        """Return the wanted rows in some arrays, now that all is taken; they are held no more."""
        self.check(self._decoded)
        rows, self._rows = self._rows, []
        return rows or [np.empty(0, self._reader.given_dtype)]

    def check(self, decoded: Sequence[Decoded]) -> None:
        """Check that the pieces follow one another in time; each is checked by itself.

        Raises:
            DataCorrupted: they do not.
        """
        latest = self.chunk.start
        for each in decoded:
            if each.times is None:
                continue
            if each.times[0] < latest:
                with self._reader.told(self.info):
                    raise ChunkError(
                        f"{self.chunk.name}: row {each.first_row} starts at {each.times[0]}, "
                        f"before one before it at {latest}; sort rows by time"
                    )
            latest = each.times[1]

    def _read(self, piece: Piece, at: int) -> "Assembled":
        part: Part | Decoded
        if self._is_straight:
            part = self._reader.read_into(piece, self._rows[0][at : at + piece.segment.n])
        else:
            part = self._reader.read_apart(piece)
        return Assembled(self, part, is_last=piece is self.pieces[-1])


@dataclass(frozen=True, slots=True)
class Assembled:
    """Rows of a chunk that a job read."""

    assembly: Assembly
    part: Part | Decoded | None
    """`Decoded`: the rows are in their place already; None: there was nothing to read."""
    is_last: bool
