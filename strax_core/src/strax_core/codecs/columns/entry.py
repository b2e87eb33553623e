"""Parses what a chunk's entry of the metadata tells of its segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strax_core.codecs.codec import Segment
from strax_core.errors import DataCorrupted, NewerFormat
from strax_core.format import ChunkInfo

VERSION = 1
SEGMENTS_MAX = 1024
"""All of them are looked at for each that is read; the codec makes 64 at most."""


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment, and where it lies in the file."""

    first_row: int
    n: int
    offset: int
    stored_bytes: int
    """Of its frames and its index, which is its end."""
    index_bytes: int
    index_checksum: int
    extrema: tuple[int, int] | None

    @property
    def segment(self) -> Segment:
        """The segment as a loader sees it."""
        return Segment(self.first_row, self.n, self.stored_bytes, self.extrema)


def to_info(segments: Sequence[StoredSegment]) -> dict[str, Any]:
    """Return it as the entry keeps it: rows, bytes, bytes of the index, its checksum, times."""
    return {
        "version": VERSION,
        "segments": [
            [
                one.n,
                one.stored_bytes,
                one.index_bytes,
                f"{one.index_checksum:016x}",
                *(one.extrema or (None, None)),
            ]
            for one in segments
        ],
    }


def from_info(info: ChunkInfo) -> list[StoredSegment]:
    """Check and take what the entry says.

    Raises:
        DataCorrupted: it cannot be.
        NewerFormat: it is of a newer version of the codec.
    """
    noted: Mapping[str, Any] = info.codec or {}
    version = noted.get("version")
    if type(version) is not int or version < 1:
        raise DataCorrupted(f"its entry says version {version!r} of the codec `columns`")
    if version > VERSION:
        raise NewerFormat(
            f"it is written in version {version} of the codec `columns`, this reads up to "
            f"{VERSION}; install a newer strax-core"
        )
    listed = noted.get("segments")
    if not isinstance(listed, list) or not listed:
        raise DataCorrupted("its entry lists no segments")
    if len(listed) > SEGMENTS_MAX:
        raise DataCorrupted(f"its entry lists {len(listed)} segments, more than {SEGMENTS_MAX}")
    segments: list[StoredSegment] = []
    row = offset = 0
    for values in listed:
        one = _checked(values, row, offset)
        segments.append(one)
        row += one.n
        offset += one.stored_bytes
    if row != info.n:
        raise DataCorrupted(f"its segments have {row} rows, the chunk has {info.n}")
    if offset != info.filesize:
        told = (
            "its entry does not say" if info.filesize is None else f"the file has {info.filesize}"
        )
        raise DataCorrupted(f"its segments have {offset} bytes, {told}")
    _check_times(segments, info)
    return segments


def _check_times(segments: Sequence[StoredSegment], info: ChunkInfo) -> None:
    """Compare the times of segments with those of the chunk; rows are sorted by `time`."""
    spans = [one.extrema for one in segments if one.extrema is not None]
    if len(spans) < len(segments):
        return
    starts = [start for start, _ in spans]
    latest = max(end for _, end in spans)
    if (
        starts != sorted(starts)
        or any(start > end for start, end in spans)
        or info.min_time not in (None, starts[0])
        or info.max_endtime not in (None, latest)
    ):
        raise DataCorrupted("the times of its segments are not those of the chunk")


def _checked(values: Any, row: int, offset: int) -> StoredSegment:
    try:
        n, stored_bytes, index_bytes, checksum, first, last = values
        sizes = (n, stored_bytes, index_bytes)
        if any(type(size) is not int or size < 1 for size in sizes) or index_bytes > stored_bytes:
            raise ValueError("the sizes cannot be")
        if (type(first), type(last)) not in ((int, int), (type(None), type(None))):
            raise TypeError("the times are no whole numbers")
        extrema = None if first is None else (first, last)
        return StoredSegment(row, n, offset, stored_bytes, index_bytes, int(checksum, 16), extrema)
    except (TypeError, ValueError) as error:
        raise DataCorrupted(f"its entry tells no segment: {str(values)[:100]}: {error}") from error


def found(info: ChunkInfo, segment: Segment) -> StoredSegment:
    """Return the segment as the entry tells it; DataCorrupted if there is no such segment."""
    for one in from_info(info):
        if (one.first_row, one.n) == (segment.first_row, segment.n):
            return one
    raise DataCorrupted(f"it has no segment of {segment.n} rows at row {segment.first_row}")
