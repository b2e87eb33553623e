"""One chunk to bytes and back: what loaders and savers share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strax_core import checksums
from strax_core.chunk_info import ChunkInfo
from strax_core.chunks import Chunk, Rows, endtime_of, extrema
from strax_core.codecs import ALL, WHOLE, Codec, Decoder, Run, bytes_of, run_here
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer, Medium
from strax_core.metadata import packed


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """A chunk's entry without a file name yet, and its bytes; savers of one codec share it."""

    info: ChunkInfo
    buffers: Sequence[Buffer]


def encode_chunk(chunk: Chunk, codec: Codec, *, run: Run = run_here) -> EncodedChunk:
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
    min_time, max_endtime = extrema(rows)
    first_endtime, last_endtime = (
        int(endtime_of(rows[at : at + 1])[0]) for at in (0, len(rows) - 1)
    )
    info = ChunkInfo(
        nbytes=rows.nbytes,
        filesize=sum(memoryview(buffer).nbytes for buffer in encoded.buffers),
        first_time=int(rows["time"][0]),
        first_endtime=first_endtime,
        last_time=int(rows["time"][-1]),
        last_endtime=last_endtime,
        min_time=min_time,
        max_endtime=max_endtime,
        checksum=checksums.checksum(encoded.buffers),
        checksum_rows=checksums.checksum([bytes_of(rows)]),
        codec=encoded.info or None,
        **common,
    )
    return EncodedChunk(info, encoded.buffers)


def read_rows(
    medium: Medium,
    path: str,
    info: ChunkInfo,
    codec: Codec,
    out: Rows,
) -> None:
    """Read a chunk's file, check its size and checksum, and decode all of it into `out`.

    A file that does not fit is read once more first: the bytes may have been hurt on the way.

    Raises:
        DataCorrupted: it does not fit twice.
        ObjectMissing: there is no such file.
    """
    try:
        _read_rows_once(medium, path, info, codec, out)
    except DataCorrupted:
        _read_rows_once(medium, path, info, codec, out)


def read_stored(medium: Medium, path: str, info: ChunkInfo) -> bytes:
    """Return a chunk's file as it is stored, after comparing its size and checksum.

    Raises:
        DataCorrupted: it does not fit twice.
        ObjectMissing: there is no such file.
    """
    stored = medium.read(path)
    try:
        _check_stored(stored, info)
    except DataCorrupted:
        stored = medium.read(path)
        _check_stored(stored, info)
    return stored


def _read_rows_once(medium: Medium, path: str, info: ChunkInfo, codec: Codec, out: Rows) -> None:
    for segment in codec.segments(info):
        part = out[segment.first_row : segment.first_row + segment.n]
        n = _read_segment(
            medium, path, info, codec.decode(info, segment, ALL, part, dtype=out.dtype)
        )
        if n != segment.n:
            raise DataCorrupted(f"{n} rows were decoded, not {segment.n}")


def _read_segment(medium: Medium, path: str, info: ChunkInfo, decoder: Decoder) -> int:
    try:
        request = next(decoder)
        while True:
            if request is WHOLE:
                stored = medium.read(path)
                _check_stored(stored, info)
                request = decoder.send([stored])
            else:
                request = decoder.send(medium.read_ranges(path, request))
    except StopIteration as end:
        return int(end.value)
    finally:
        decoder.close()


def _check_stored(stored: bytes, info: ChunkInfo) -> None:
    if info.filesize is not None and len(stored) != info.filesize:
        raise DataCorrupted(f"the file has {len(stored)} bytes, the metadata says {info.filesize}")
    if info.checksum is not None and not checksums.matches(info.checksum, [stored]):
        raise DataCorrupted("the file's checksum is not the one in the metadata")
