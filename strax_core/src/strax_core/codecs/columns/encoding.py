"""Rows to segments: filtered field by field, compressed block by block."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from strax_core.codecs.codec import Encoded, Rows, RunJobs
from strax_core.codecs.columns import index as ix
from strax_core.codecs.columns.blocks import Filter, encode_block, encode_rows
from strax_core.codecs.columns.choosing import chosen
from strax_core.codecs.columns.entry import StoredSegment, to_info
from strax_core.codecs.columns.leaves import leaves_of, times_of
from strax_core.medium import Buffer

Times = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of segments and blocks, by which a chunk is cut."""

    segment_bytes: int
    block_bytes: int
    small_bytes: int
    """Rows of a chunk with no more bytes than this are compressed as they are, in one frame."""
    segments_max: int


def encode(rows: Rows, sizes: Sizes, *, level: int, run: RunJobs) -> Encoded:
    """Compress rows; the same bytes whatever `run` does."""
    n_rows, row_bytes = len(rows), rows.dtype.itemsize
    if rows.nbytes <= sizes.small_bytes:
        layout = ix.ROWS
        filters: Sequence[Filter] = [Filter(1)]
        block_rows = segment_rows = n_rows
        jobs = [partial(encode_rows, rows, level)]
    else:
        layout = ix.FIELDS
        leaves = leaves_of(rows.dtype)
        filters = chosen(rows, leaves, level)
        block_rows = min(n_rows, max(1, sizes.block_bytes // row_bytes))
        segment_rows = max(
            sizes.segment_bytes // row_bytes, -(-n_rows // sizes.segments_max), block_rows
        )
        segment_rows = segment_rows // block_rows * block_rows
        if -(-n_rows // segment_rows) > sizes.segments_max:
            segment_rows += block_rows
        jobs = [
            partial(encode_block, rows[row : row + block_rows], leaves, filters, level)
            for row in range(0, n_rows, block_rows)
        ]
    blocks = run(jobs)
    extrema = _extrema(times_of(rows), n_rows, block_rows)
    fields = np.array([one.record for one in filters], ix.FIELD)
    buffers: list[Buffer] = []
    segments: list[StoredSegment] = []
    n_blocks = segment_rows // block_rows
    for first in range(0, len(blocks), n_blocks):
        within = blocks[first : first + n_blocks]
        row = first * block_rows
        n = min(segment_rows, n_rows - row)
        frames = np.stack([block.records for block in within], axis=1)
        times = extrema[first : first + n_blocks]
        index = ix.to_bytes(layout, n, block_rows, blocks=times, fields=fields, frames=frames)
        for i in range(len(filters)):
            buffers += (block.frames[i] for block in within)
        buffers.append(index)
        span = int(times["min_time"].min()), int(times["max_endtime"].max())
        segments.append(
            StoredSegment(
                row,
                n,
                0,
                int(frames["stored_bytes"].sum()) + len(index),
                len(index),
                ix.checksum_of(index),
                None if span == ix.FOREVER else span,
            )
        )
    return Encoded(buffers, to_info(segments))


def _extrema(times: Times, n_rows: int, block_rows: int) -> ix.Records:
    starts = np.arange(0, n_rows, block_rows)
    extrema: ix.Records = np.empty(len(starts), ix.BLOCK)
    if times is None:
        extrema["min_time"], extrema["max_endtime"] = ix.FOREVER
    else:
        extrema["min_time"] = np.minimum.reduceat(times[0], starts)
        extrema["max_endtime"] = np.maximum.reduceat(times[1], starts)
    return extrema
