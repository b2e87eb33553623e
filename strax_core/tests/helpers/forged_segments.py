"""Segments of the codec `columns` as an attacker makes them: anything, with checksums that fit.

`opened` takes apart what the codec made; change it, and `forged` makes a file of it again.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash

from strax_core.format.chunk_info import ChunkInfo

HEADER = "<4sHHIIQQ"
BLOCK = np.dtype([("min_time", "<i8"), ("max_endtime", "<i8")])
FIELD = np.dtype([("width", "u1"), ("filters", "u1"), ("unused", "<u2"), ("reference", "<i4")])
FRAME = np.dtype([("stored_bytes", "<u4"), ("checksum", "<u8")])
Records = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Frame:
    """A field of a block: the mask, if it is masked, and planes, each as stored."""

    base: int
    n_values: int
    n_planes: int
    parts: list[bytes]

    def stored(self) -> bytes:
        sizes = struct.pack(f"<{len(self.parts)}I", *map(len, self.parts))
        return struct.pack("<qII", self.base, self.n_values, self.n_planes) + b"".join(
            (sizes, *self.parts)
        )


@dataclass
class Segment:
    """All that a segment says, by field and block."""

    layout: int
    n: int
    block_rows: int
    blocks: Records
    fields: Records
    frames: list[list[Frame | bytes]]
    n_blocks: int | None = None
    """What its index says; None: how many there are."""

    def stored(self) -> tuple[bytes, int, int]:
        """Return its bytes, the bytes of the index among them, and the checksum of that."""
        flat = [
            frame if isinstance(frame, bytes) else frame.stored()
            for of_field in self.frames
            for frame in of_field
        ]
        frames = np.array([(len(one), xxhash.xxh3_64_intdigest(one)) for one in flat], FRAME)
        n_blocks = len(self.blocks) if self.n_blocks is None else self.n_blocks
        numbers = (b"SCOL", 1, self.layout, len(self.fields), n_blocks, self.n, self.block_rows)
        parts = (
            struct.pack(HEADER, *numbers),
            *(x.tobytes() for x in (self.blocks, self.fields, frames)),
        )
        size = sum(map(len, parts)) + 8
        index = b"".join((*parts, struct.pack("<I4s", size, b"SCOL")))
        return b"".join((*flat, index)), len(index), xxhash.xxh3_64_intdigest(index)


def opened(data: bytes, index_bytes: int) -> Segment:
    """Take a segment apart."""
    index = data[-index_bytes:]
    _, _, layout, n_fields, n_blocks, n, block_rows = struct.unpack_from(HEADER, index)
    at = struct.calcsize(HEADER)
    blocks = np.frombuffer(index, BLOCK, n_blocks, at).copy()
    at += blocks.nbytes
    fields = np.frombuffer(index, FIELD, n_fields, at).copy()
    at += fields.nbytes
    sizes = np.frombuffer(index, FRAME, n_fields * n_blocks, at)["stored_bytes"].tolist()
    ends = [0, *np.cumsum(sizes).tolist()]
    stored = [data[first:end] for first, end in pairwise(ends)]
    frames: list[list[Frame | bytes]] = [
        [
            _frame(one, is_masked=bool(fields["filters"][i] & 1))
            for one in stored[i * n_blocks : (i + 1) * n_blocks]
        ]
        for i in range(n_fields)
    ]
    return Segment(layout, n, block_rows, blocks, fields, frames)


def _frame(stored: bytes, *, is_masked: bool) -> Frame:
    base, n_values, n_planes = struct.unpack_from("<qII", stored)
    sizes = struct.unpack_from(f"<{n_planes + is_masked}I", stored, 16)
    ends = [0, *np.cumsum(sizes).tolist()]
    at = 16 + 4 * len(sizes)
    parts = [stored[at + first : at + end] for first, end in pairwise(ends)]
    return Frame(base, n_values, n_planes, parts)


def forged(segment: Segment, dtype: np.dtype[Any], n: int) -> tuple[ChunkInfo, bytes]:
    """Return the entry and the file of a chunk that is this segment."""
    data, index_bytes, checksum = segment.stored()
    told = [n, len(data), index_bytes, f"{checksum:016x}", None, None]
    info = ChunkInfo(
        chunk_i=0,
        n=n,
        start=0,
        end=1,
        run_id="run",
        nbytes=n * dtype.itemsize,
        filesize=len(data),
        codec={"version": 1, "segments": [told]},
    )
    return info, data
