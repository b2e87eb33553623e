"""One chunk to bytes and back: what loaders and savers share."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from strax_core import checksums
from strax_core.chunk_info import ChunkInfo
from strax_core.chunks import Chunk, Rows, endtime_of, extrema
from strax_core.codecs import (
    Codec,
    Into,
    Out,
    Request,
    Run,
    Segment,
    Selection,
    Whole,
    bytes_of,
    run_here,
)
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer, Medium
from strax_core.metadata import packed
from strax_core.read_report import ReadReport


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
    info = ChunkInfo(
        nbytes=rows.nbytes,
        filesize=sum(memoryview(buffer).nbytes for buffer in encoded.buffers),
        checksum=checksums.checksum(encoded.buffers),
        checksum_rows=checksums.checksum([bytes_of(rows)]),
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
    if info.checksum_rows and not checksums.matches(info.checksum_rows, [bytes_of(stored)]):
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


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """Where the rows of a chunk lie, and what decodes them."""

    medium: Medium
    path: str
    info: ChunkInfo
    codec: Codec
    dtype: np.dtype[Any]
    """Of the stored rows."""


def read_segment(
    file: ChunkFile, segment: Segment, selection: Selection, out: Out, report: ReadReport
) -> int:
    """Fetch a segment, check it, and decode it into the beginning of `out`; return the rows.

    Bytes that do not fit are read once more first: they may have been hurt on the way.

    Args:
        file: of the chunk.
        segment: one of its segments.
        selection: which columns and rows of it.
        out: has these columns, and room for all its rows.
        report: counts what is fetched.

    Raises:
        DataCorrupted: it does not fit twice.
        ObjectMissing: there is no such file.
    """
    try:
        return _read_once(file, segment, selection, out, report)
    except DataCorrupted:
        return _read_once(file, segment, selection, out, report)


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


def _read_once(
    file: ChunkFile, segment: Segment, selection: Selection, out: Out, report: ReadReport
) -> int:
    begun = perf_counter()
    fetching_s, fetched_bytes, requests = 0.0, 0, 0
    decoder = file.codec.decode(file.info, segment, selection, out, dtype=file.dtype)
    try:
        request = next(decoder)
        while True:
            asked = perf_counter()
            stored = _fetched(file, request)
            fetching_s += perf_counter() - asked
            fetched_bytes += sum(len(each) for each in stored)
            requests += 1
            request = decoder.send(stored)
            del stored  # or it would be held while the next is fetched
    except StopIteration as end:
        return int(end.value)
    finally:
        decoder.close()
        report.add(
            fetched_bytes=fetched_bytes,
            requests=requests,
            fetching_s=fetching_s,
            decoding_s=perf_counter() - begun - fetching_s,
        )


def _fetched(file: ChunkFile, request: Request) -> Sequence[Buffer]:
    if isinstance(request, Whole):
        stored = _fetched_whole(file)
        _check_stored(stored, file.info)
        return [stored]
    if isinstance(request, Into):
        file.medium.read_into(file.path, request.memory)
        _check_stored(request.memory, file.info)
        return [request.memory]
    return file.medium.read_ranges(file.path, request, file_bytes=file.info.filesize)


def _fetched_whole(file: ChunkFile) -> bytes:
    size = file.info.filesize
    if not size:  # not known
        return file.medium.read(file.path)
    (stored,) = file.medium.read_ranges(file.path, [(0, size)], file_bytes=size)
    return stored


def _check_stored(stored: Buffer, info: ChunkInfo) -> None:
    if info.filesize is not None and len(stored) != info.filesize:
        raise DataCorrupted(f"the file has {len(stored)} bytes, the metadata says {info.filesize}")
    if info.checksum is not None and not checksums.matches(info.checksum, [stored]):
        raise DataCorrupted("the file's checksum is not the one in the metadata")
