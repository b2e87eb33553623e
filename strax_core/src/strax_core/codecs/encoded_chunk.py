"""Encodes a chunk, with its entry of the metadata; and checks entries against rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strax_core.chunks import Chunk, Rows, endtime_of, extrema
from strax_core.codecs.codec import Codec, RunJobs, Segment, bytes_of, run_here
from strax_core.errors import DataCorrupted
from strax_core.format import ChunkInfo, checksum, checksum_matches, packed
from strax_core.medium import Buffer


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """A chunk's entry without a file name yet, and its bytes; savers of one codec share it."""

    info: ChunkInfo
    buffers: Sequence[Buffer]


def encode_chunk(chunk: Chunk, codec: Codec, *, run: RunJobs = run_here) -> EncodedChunk:
    """Compress a chunk and take its checksums; a chunk without rows has no bytes."""
    common: dict[str, Any] = {
        "chunk_i": 0,
        "n": chunk.n,
        "start": chunk.start,
        "end": chunk.end,
        "run_id": chunk.run_id,
        "subruns": chunk.subruns,
    }
    if chunk.n == 0:
        return EncodedChunk(ChunkInfo(nbytes=0, **common), ())
    rows = np.ascontiguousarray(chunk.data, dtype=packed(chunk.dtype))
    encoded = codec.encode(rows, run=run)
    info = ChunkInfo(
        nbytes=rows.nbytes,
        filesize=sum(memoryview(buffer).nbytes for buffer in encoded.buffers),
        checksum=checksum(encoded.buffers),
        checksum_rows=checksum([bytes_of(rows)]),
        codec=encoded.info or None,
        **_times(rows),
        **common,
    )
    return EncodedChunk(info, encoded.buffers)


def check_entry(info: ChunkInfo, rows: Rows, segments: Sequence[Segment]) -> None:
    """Compare what a chunk's entry says of its rows, as far as a load believes it unseen.

    Raises:
        DataCorrupted: their times, those of a segment, or their checksum are other ones.
    """
    if not len(rows):
        return
    for name, found in _times(rows).items():
        if getattr(info, name) not in (None, found):
            raise DataCorrupted(f"{name} is {found}, the metadata say {getattr(info, name)}")
    for segment in segments:
        span = extrema(rows[segment.first_row : segment.first_row + segment.n])
        if segment.extrema not in (None, span):
            raise DataCorrupted(
                f"the rows from {segment.first_row} on are of the times {span}, "
                f"the metadata say {segment.extrema}"
            )
    stored = np.ascontiguousarray(rows, dtype=packed(rows.dtype))
    if info.checksum_rows and not checksum_matches(info.checksum_rows, [bytes_of(stored)]):
        raise DataCorrupted("the checksum of its rows is not the one in the metadata")


def _times(rows: Rows) -> dict[str, Any]:
    """Return what an entry says of the times of rows; there is at least one."""
    min_time, max_endtime = extrema(rows)
    first_endtime, last_endtime = (
        int(endtime_of(rows[at : at + 1])[0]) for at in (0, len(rows) - 1)
    )
    return {
        "first_time": int(rows["time"][0]),
        "first_endtime": first_endtime,
        "last_time": int(rows["time"][-1]),
        "last_endtime": last_endtime,
        "min_time": min_time,
        "max_endtime": max_endtime,
    }
