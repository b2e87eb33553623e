"""One chunk to bytes and back: what loaders and savers share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strax_core import checksums
from strax_core.chunk_info import ChunkInfo
from strax_core.chunks import Chunk, Rows, endtime_of, extrema
from strax_core.codecs import ALL, WHOLE, Codec, bytes_of
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer, Medium
from strax_core.metadata import packed


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """A chunk's entry without a file name yet, and its bytes; savers of one codec share it."""

    info: ChunkInfo
    buffers: Sequence[Buffer]


def encode_chunk(chunk: Chunk, codec: Codec) -> EncodedChunk:
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
    encoded = codec.encode(rows)
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


def _read_rows_once(medium: Medium, path: str, info: ChunkInfo, codec: Codec, out: Rows) -> None:
    decoder = codec.decode(info, ALL, out, dtype=out.dtype)
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
        if end.value != info.n:
            raise DataCorrupted(f"{end.value} rows were decoded, not {info.n}") from None
    finally:
        decoder.close()


def _check_stored(stored: bytes, info: ChunkInfo) -> None:
    if info.filesize is not None and len(stored) != info.filesize:
        raise DataCorrupted(f"the file has {len(stored)} bytes, the metadata says {info.filesize}")
    if info.checksum is not None and not checksums.matches(info.checksum, [stored]):
        raise DataCorrupted("the file's checksum is not the one in the metadata")
