"""The end of a segment: how its fields were filtered, and where the frames of each block lie."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from strax_core.codecs.columns.leaves import Leaf
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer

MAGIC = b"SCOL"
VERSION = 1
FIELDS, ROWS = 0, 1
"""Layouts: a frame for each field, or one for the rows as they are."""
MASKED, DELTA, ZIGZAG = 1, 2, 4
"""Filters of a field. Masked: zeros are left out."""
NO_REFERENCE = -1
ROWS_MAX = 1 << 40
HEADER = struct.Struct("<4sHHIIQQ")  # magic, version, layout, fields, blocks, rows, rows a block
TRAILER = struct.Struct("<I4s")  # bytes of the index, magic
FRAME_BYTES_MIN = 16  # base, values, planes
BLOCK = np.dtype([("min_time", "<i8"), ("max_endtime", "<i8")])
FIELD = np.dtype([("width", "u1"), ("filters", "u1"), ("unused", "<u2"), ("reference", "<i4")])
FRAME = np.dtype([("stored_bytes", "<u4"), ("checksum", "<u8")])
FOREVER = (-(1 << 63), (1 << 63) - 1)
Records = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Index:
    """An index that was found to be possible."""

    layout: int
    block_rows: int
    blocks: Records
    fields: Records
    frames: Records
    """By field and block."""
    offsets: npt.NDArray[np.int64]
    """Position of each frame in the segment."""


def checksum_of(stored: Buffer) -> int:
    """Return the checksum of a frame or an index."""
    return xxhash.xxh3_64_intdigest(stored)


def to_bytes(
    layout: int, n_rows: int, block_rows: int, *, blocks: Records, fields: Records, frames: Records
) -> bytes:
    """Return an index as it is stored."""
    size = HEADER.size + blocks.nbytes + fields.nbytes + frames.nbytes + TRAILER.size
    header = HEADER.pack(MAGIC, VERSION, layout, len(fields), len(blocks), n_rows, block_rows)
    parts = (blocks.tobytes(), fields.tobytes(), frames.tobytes(), TRAILER.pack(size, MAGIC))
    return b"".join((header, *parts))


def parsed(stored: Buffer, leaves: tuple[Leaf, ...], *, n_rows: int, frames_bytes: int) -> Index:
    """Check and take an index, of which the checksum was right.

    Raises:
        DataCorrupted: it is none, or does not fit the dtype or the metadata.
    """
    if len(stored) < HEADER.size + TRAILER.size:
        raise DataCorrupted(f"the index has only {len(stored)} bytes")
    magic, version, layout, n_fields, n_blocks, n, block_rows = HEADER.unpack_from(stored)
    if (magic, version) != (MAGIC, VERSION) or layout not in (FIELDS, ROWS):
        raise DataCorrupted(f"no index of version {VERSION}: {magic!r}, {version}, {layout}")
    expected_fields = len(leaves) if layout == FIELDS else 1
    if n != n_rows or n_fields != expected_fields or not 1 <= block_rows < ROWS_MAX:
        raise DataCorrupted(
            f"the index is of {n} rows with {n_fields} fields, not of {n_rows} with "
            f"{expected_fields}"
        )
    sizes = [n_blocks * BLOCK.itemsize, n_fields * FIELD.itemsize]
    sizes += [n_fields * n_blocks * FRAME.itemsize]
    if n_blocks != -(-n_rows // block_rows) or len(stored) != (
        HEADER.size + sum(sizes) + TRAILER.size
    ):
        raise DataCorrupted(f"an index of {n_blocks} blocks does not fit its size or the rows")
    at = HEADER.size
    blocks: Records = np.frombuffer(stored, BLOCK, n_blocks, at)
    at += sizes[0]
    fields: Records = np.frombuffer(stored, FIELD, n_fields, at)
    at += sizes[1]
    frames: Records = np.frombuffer(stored, FRAME, n_fields * n_blocks, at)
    if layout == ROWS and n_blocks != 1:
        raise DataCorrupted(f"rows as they are lie in one block, not in {n_blocks}")
    least = int(frames["stored_bytes"].min())
    if least < FRAME_BYTES_MIN:
        raise DataCorrupted(f"a frame of {least} bytes cannot be")
    ends = np.cumsum(frames["stored_bytes"], dtype=np.int64)
    if ends[-1] != frames_bytes:
        raise DataCorrupted(f"the frames have {ends[-1]} bytes in all, not {frames_bytes}")
    shape = (n_fields, n_blocks)
    index = Index(
        layout,
        block_rows,
        blocks,
        fields,
        frames.reshape(shape),
        (ends - frames["stored_bytes"]).reshape(shape),
    )
    _check_fields(fields, leaves, layout=layout)
    return index


def _check_fields(fields: Records, leaves: tuple[Leaf, ...], *, layout: int) -> None:
    """Check that each field has a filter that its dtype allows."""
    for i, (width, filters, _, reference) in enumerate(fields.tolist()):
        leaf_width = leaves[i].width if layout == FIELDS else 1
        is_known = width in (1, leaf_width) and not filters & ~(MASKED | DELTA | ZIGZAG)
        if width == 1:
            is_known = is_known and not filters and reference == NO_REFERENCE
        if reference != NO_REFERENCE:
            is_known = (
                is_known
                and not filters & MASKED
                and 0 <= reference < i
                and leaves[reference].is_scalar_integer
                and fields["width"][reference] > 1
                and fields["reference"][reference] == NO_REFERENCE
            )
        if not is_known:
            raise DataCorrupted(f"the index tells no known filter of field {i}")
