"""What a codec is: rows to bytes and back, without any reading or writing of its own."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np

from strax_core.chunk_info import ChunkInfo
from strax_core.medium import Buffer

Rows = np.ndarray[Any, np.dtype[Any]]


class Whole(Enum):
    """The request for all bytes of a file; the loader checks their checksum before it answers."""

    WHOLE = "whole"


WHOLE = Whole.WHOLE
Ranges = Sequence[tuple[int, int]]
Request = Whole | Ranges
"""What a decoder asks for: `WHOLE`, answered by one buffer, or ranges ``(offset, size)``."""
Decoder = Generator[Request, Sequence[Buffer], int]


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of one chunk, ready to be written one after the other."""

    buffers: Sequence[Buffer]
    info: Mapping[str, Any] = field(default_factory=dict)
    """What `decode` wants to know again; kept in the chunk's entry of the metadata, so JSON."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a chunk is wanted."""

    columns: tuple[str, ...] | None = None
    """Names of the fields, None for all."""
    time_range: tuple[int, int] | None = None
    """``(start, end)`` in ns: only rows that touch it are needed, None for all."""

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == ALL


ALL = Selection()


class Codec(Protocol):
    """Compresses the rows of a chunk.

    - Works in many threads at once, and in other processes.
    - Never reads or writes by itself: so every medium serves every codec.
    """

    @property
    def name(self) -> str:
        """What the metadata's ``compressor`` says."""

    def encode(self, rows: Rows) -> Encoded:
        """Compress rows: structured, shape ``(n,)``, contiguous, not padded, n > 0."""

    def decode(
        self, info: ChunkInfo, selection: Selection, out: Rows, *, dtype: np.dtype[Any]
    ) -> Decoder:
        """Fill the beginning of `out` with the selected rows; return how many they are.

        A generator: it yields what it wants to read, is sent the bytes, and returns at the end.
        More rows may be given than touch the time range: whole blocks, say. Whatever is read in
        part must carry checksums of its own, which this checks.

        Args:
            info: the chunk's entry in the metadata; already found to fit the dtype.
            selection: which part is wanted.
            out: array to fill, shape ``(info.n,)``, of the selected columns.
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

    def encode(self, rows: Rows) -> Encoded:
        """Compress rows as one block."""
        return Encoded([self.compress(bytes_of(rows))])

    def decode(
        self, info: ChunkInfo, selection: Selection, out: Rows, *, dtype: np.dtype[Any]
    ) -> Decoder:
        """Decompress straight into `out` if it takes all columns, else beside it."""
        (stored,) = yield WHOLE
        if selection.columns is None and out.flags.c_contiguous and out.dtype == dtype:
            self.decompress_into(stored, bytes_of(out))
        else:
            rows: Rows = np.empty(info.n, dtype)
            self.decompress_into(stored, bytes_of(rows))
            out[...] = rows if selection.columns is None else rows[list(selection.columns)]
        return info.n


def bytes_of(rows: Rows) -> memoryview:
    """Return the bytes of contiguous rows, without a copy; writable if the rows are."""
    return memoryview(rows.view(np.uint8))  # type: ignore[arg-type]
