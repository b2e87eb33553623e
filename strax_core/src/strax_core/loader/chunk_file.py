"""One chunk to bytes and back: what loaders and savers share."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from strax_core.codecs import Codec, Into, Out, Request, Segment, Selection, Whole
from strax_core.errors import DataCorrupted
from strax_core.format import ChunkInfo, checksum_matches
from strax_core.loader.report import ReadReport
from strax_core.medium import Buffer, Medium


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """The file of a chunk's rows, and what decodes them."""

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
    if info.checksum is not None and not checksum_matches(info.checksum, [stored]):
        raise DataCorrupted("the file's checksum is not the one in the metadata")
