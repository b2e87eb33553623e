"""The protocol of codecs: rows to bytes and back, without any reading or writing of their own."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from strax_core.format import ChunkInfo
from strax_core.medium import Buffer

Rows = np.ndarray[Any, np.dtype[Any]]
Out = Rows | Mapping[str, npt.NDArray[Any]]
"""Destination of decoded rows: a structured array, or an array for each column. ``out[name]`` is a
column of either. All have as many rows as the segment."""
Answer = TypeVar("Answer")


class RunJobs(Protocol):
    """Does jobs, some at once perhaps, and returns what they give, in their order."""

    def __call__(self, jobs: Sequence[Callable[[], Answer]], /) -> list[Answer]: ...  # noqa: D102


def run_here(jobs: Sequence[Callable[[], Answer]], /) -> list[Answer]:
    """Do one job after the other."""
    return [job() for job in jobs]


class Whole(Enum):
    """The request for all bytes of a file; the loader compares their checksum."""

    WHOLE = "whole"


WHOLE = Whole.WHOLE


@dataclass(frozen=True, slots=True)
class Into:
    """The request for all bytes of a file, put where the decoder wants them; else as `WHOLE`."""

    memory: memoryview
    """Writable; as many bytes as the file has to have."""


Ranges = Sequence[tuple[int, int]]
Request = Whole | Into | Ranges
"""Request of a decoder: `WHOLE` or `Into`, answered by one buffer, or ranges ``(offset, size)``.
Of a file of another size than the metadata say, nothing is given."""
Decoder = Generator[Request, Sequence[Buffer], int]


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of one chunk, ready to be written one after the other."""

    buffers: Sequence[Buffer]
    info: Mapping[str, Any] = field(default_factory=dict)
    """Notes for `decode`; kept in the chunk's entry of the metadata, so JSON."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a chunk that is wanted."""

    columns: tuple[str, ...] | None = None
    """Names of the fields, None for all."""
    time_range: tuple[int, int] | None = None
    """``(start, end)`` in ns: only rows that touch it are needed, None for all."""

    @property
    def is_all(self) -> bool:
        """True if nothing is left out."""
        return self == ALL


ALL = Selection()


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a chunk's rows whose bytes lie together, so that it is read without the rest."""

    first_row: int
    """Number of its first row in the chunk."""
    n: int
    """Number of rows; at least one."""
    stored_bytes: int
    """About how many bytes of the file; what may be read at once is bounded by it."""
    extrema: tuple[int, int] | None = None
    """Earliest `time` and latest end of its rows, in ns; None: not known."""


class Codec(Protocol):
    """Compresses the rows of a chunk.

    - Works in many threads at once, and in other processes.
    - Never reads or writes by itself: so every medium serves every codec.
    """

    @property
    def name(self) -> str:
        """Name in the metadata's ``compressor``."""

    def encode(self, rows: Rows, *, run: RunJobs = run_here) -> Encoded:
        """Compress rows: structured, shape ``(n,)``, contiguous, not padded, n > 0.

        Args:
            rows: of one chunk.
            run: what does the parts of the work that can be done at once.
        """

    def segments(self, info: ChunkInfo) -> Sequence[Segment]:
        """Return the segments of a chunk that has rows, in their order; together they are all rows.

        They follow from its entry in the metadata, so nothing has to be read.

        Raises:
            DataCorrupted: what the entry says cannot be.
        """

    def decode(
        self,
        info: ChunkInfo,
        segment: Segment,
        selection: Selection,
        out: Out,
        *,
        dtype: np.dtype[Any],
    ) -> Decoder:
        """Fill the beginning of `out` with a segment's selected rows; return how many they are.

        A generator: it yields what it wants to read, is sent the bytes, and returns at the end.
        More rows may be given than touch the time range: whole blocks, say. Whatever is read in
        part must carry checksums of its own, which this checks.

        Args:
            info: the chunk's entry in the metadata; already found to fit the dtype.
            segment: one of its `segments`.
            selection: which part of the segment is wanted.
            out: to fill, with ``segment.n`` rows, of the selected columns.
            dtype: the dtype of the stored rows.

        Raises:
            DataCorrupted: the bytes do not decode to what the entry says.
        """


class WholeFileCodec:
    """A codec that compresses all rows as one block: a subclass gives the two functions."""

    name: str

    def compress(self, rows: memoryview) -> Buffer:
        """Compress the bytes of all rows."""
        raise NotImplementedError(f"{type(self).__name__} must override WholeFileCodec.compress")

    def decompress_into(self, stored: Buffer, out: memoryview) -> None:
        """Fill `out` to the last byte; DataCorrupted if there are fewer or more."""
        raise NotImplementedError(
            f"{type(self).__name__} must override WholeFileCodec.decompress_into"
        )

    def encode(self, rows: Rows, *, run: RunJobs = run_here) -> Encoded:
        """Compress rows as one block."""
        return Encoded(run([lambda: self.compress(bytes_of(rows))]))

    def segments(self, info: ChunkInfo) -> Sequence[Segment]:
        """Return the one there is."""
        stored_bytes = info.nbytes if info.filesize is None else info.filesize
        return (Segment(0, info.n, stored_bytes),)

    def decode(
        self,
        info: ChunkInfo,  # noqa: ARG002 - a codec may need it
        segment: Segment,
        selection: Selection,
        out: Out,
        *,
        dtype: np.dtype[Any],
    ) -> Decoder:
        """Decompress straight into `out` if it takes all columns of rows, else beside it."""
        if (
            isinstance(out, np.ndarray)
            and selection.columns is None
            and out.flags.c_contiguous
            and out.dtype == dtype
        ):
            yield from self.filling(bytes_of(out))
        else:
            rows: Rows = np.empty(segment.n, dtype)
            yield from self.filling(bytes_of(rows))
            for name in dtype.names or () if selection.columns is None else selection.columns:
                out[name][...] = rows[name]
        return segment.n

    def filling(self, out: memoryview) -> Generator[Request, Sequence[Buffer], None]:
        """Ask for the bytes, and fill `out` with those of the rows."""
        (stored,) = yield WHOLE
        self.decompress_into(stored, out)


def bytes_of(rows: Rows) -> memoryview:
    """Return the bytes of contiguous rows, without a copy; writable if the rows are."""
    return memoryview(rows.view(np.uint8))  # type: ignore[arg-type]
