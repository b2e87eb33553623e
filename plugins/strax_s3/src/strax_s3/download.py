"""Downloads bytes: ranges merged and in parallel; a body that breaks off is continued."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from strax_core import DataCorrupted, StorageUnavailable
from strax_s3.client import Bucket
from strax_s3.errors import NO_S3

GAP_BYTES = 256 << 10
"""Bytes between two ranges that are read and thrown away: cheaper than another request."""
PIECES_BYTES = (16 << 20, 1 << 20)
"""A body is taken in pieces: the larger, the less is copied; of one that breaks off, the last piece
is asked for again. So they are smaller once it has broken off; and where each is copied at once,
before it has left the processor's cache."""
TRIES_IF_REPLACED = 5
_SomeComing = TypeVar("_SomeComing", bound="_Coming")
_BEGIN = re.compile(r"bytes (\d+)-")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of an object, and how large all of it is; None: the server did not tell."""

    start: int
    data: bytes
    object_bytes: int | None


def download(bucket: Bucket, key: str, start: int = 0, size: int | None = None) -> Span:
    """Return an object from `start` on, or `size` bytes of it.

    What breaks off is continued. If the object was replaced meanwhile, all is asked for again:
    bytes of two objects are never mixed.

    Raises:
        DataCorrupted: it has no such bytes.
        StorageUnavailable: it was replaced each time; or other bytes came than were asked for.
    """
    return _all_of(lambda: _Coming(bucket, key, start, size)).span


def download_into(bucket: Bucket, key: str, memory: memoryview) -> None:
    """Fill memory with an object of just as many bytes, at least one; else as `download`."""
    coming = _all_of(lambda: _ComingInto(bucket, key, memory))
    _check_size(bucket, key, [coming.span], len(memory))


def _all_of(begin: Callable[[], _SomeComing]) -> _SomeComing:
    for _ in range(TRIES_IF_REPLACED):
        coming = begin()
        if coming.bucket.patiently(coming.go_on, coming.key, progress=coming.how_far):
            return coming
    named = coming.bucket.named(coming.key)
    raise StorageUnavailable(f"{named} is another object whenever it is read on")


class _Coming:
    """Bytes of an object, as far as they have come."""

    def __init__(self, bucket: Bucket, key: str, start: int, size: int | None) -> None:
        self.bucket, self.key = bucket, key
        self._start, self._size = start, size
        self._pieces: list[bytes] = []
        self._piece_bytes = PIECES_BYTES[0]
        self._version: str | None = None
        self._object_bytes: int | None = None
        self._n_bytes = 0

    @property
    def span(self) -> Span:
        """All that has come."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return Span(self._start, data, self._object_bytes)

    def how_far(self) -> int:
        """Return how many bytes have come."""
        return self._n_bytes

    def go_on(self) -> bool:
        """Ask for what is missing; False: it is another object now."""
        answer = self.bucket.client.get_object(
            Bucket=self.bucket.options.bucket, Key=self.key, **self._range()
        )
        # Not `with` the body itself: that gives what lies below, which takes an early end for the
        # end.
        with closing(answer["Body"]) as body:
            if self._version not in (None, answer.get("ETag")):
                return False
            self._version = answer.get("ETag")
            left = self._promised(answer)
            piece_bytes, self._piece_bytes = self._piece_bytes, PIECES_BYTES[1]
            # The last piece is asked for without its size: else boto3 copies it once more.
            while piece := body.read(piece_bytes if piece_bytes < left else None):
                self._take(piece)
                self._n_bytes += len(piece)
                left -= len(piece)
        return True

    def _take(self, piece: bytes) -> None:
        """Keep what comes next."""
        self._pieces.append(piece)

    def _range(self) -> dict[str, str]:
        at = self._start + self._n_bytes
        if self._size is not None:
            return {"Range": f"bytes={at}-{self._start + self._size - 1}"}
        return {"Range": f"bytes={at}-"} if at else {}

    def _promised(self, answer: Any) -> int:
        """Return how many bytes are to come, if they are those that were asked for."""
        if "ContentLength" not in answer or "ETag" not in answer:
            raise StorageUnavailable(f"{self.bucket.named(self.key)} {NO_S3}")
        promised = int(answer["ContentLength"])
        told = str(answer.get("ContentRange", "")).rpartition("/")[2]
        if told.isdecimal():
            self._object_bytes = int(told)
        elif self._size is None and not self._n_bytes:
            self._object_bytes = promised
        if self._size not in (None, self._n_bytes + promised):
            raise DataCorrupted(
                f"{self.bucket.named(self.key)} has {self._object_bytes} bytes; "
                f"{self._size} at {self._start} were asked for"
            )
        begins = _BEGIN.match(answer.get("ContentRange", ""))
        if (0 if begins is None else int(begins[1])) != self._start + self._n_bytes:
            raise StorageUnavailable(
                f"{self.bucket.named(self.key)} came from another byte on than was asked for"
            )
        return promised


class _ComingInto(_Coming):
    """All bytes of an object, which are put into memory as they come."""

    def __init__(self, bucket: Bucket, key: str, memory: memoryview) -> None:
        super().__init__(bucket, key, 0, len(memory))
        self._piece_bytes = PIECES_BYTES[1]
        self._memory = np.frombuffer(memory, np.uint8)

    def _take(self, piece: bytes) -> None:
        # By numpy, which lets other threads go on meanwhile.
        to = self._memory[self._n_bytes : self._n_bytes + len(piece)]
        to[:] = np.frombuffer(piece, np.uint8)


def download_ranges(
    bucket: Bucket,
    key: str,
    ranges: Sequence[tuple[int, int]],
    object_bytes: int | None = None,
) -> list[bytes]:
    """Return the bytes of each ``(offset, size)``; near ones in one request, others in parallel.

    Raises:
        DataCorrupted: it has no such bytes; or it has not `object_bytes` in all, if they are given.
    """
    if not ranges:
        return []
    for offset, size in ranges:
        if offset < 0 or size < 0:
            raise DataCorrupted(f"{bucket.named(key)}: {size} bytes at {offset} cannot be")
    spans = _merged(ranges)
    if len(spans) > 1:
        with ThreadPoolExecutor(min(len(spans), bucket.options.concurrency)) as threads:
            got = list(threads.map(lambda span: download(bucket, key, *span), spans))
    else:
        got = [download(bucket, key, *span) for span in spans]
    _check_empty_ones(bucket, key, ranges, got)
    if object_bytes is not None:
        _check_size(bucket, key, got, object_bytes)
    return [_cut(got, offset, size) for offset, size in ranges]


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the requests: start and size, in order."""
    spans: list[tuple[int, int]] = []
    for offset, size in sorted(one for one in ranges if one[1]):
        if spans and offset <= spans[-1][0] + spans[-1][1] + GAP_BYTES:
            start, before = spans[-1]
            spans[-1] = (start, max(before, offset + size - start))
        else:
            spans.append((offset, size))
    return spans


def _check_empty_ones(
    bucket: Bucket, key: str, ranges: Sequence[tuple[int, int]], got: Sequence[Span]
) -> None:
    """A range of no bytes is not asked for; but it, too, must not lie beyond the end."""
    last = max((offset for offset, size in ranges if not size), default=0)
    if got and last <= max(span.start + len(span.data) for span in got):
        return
    end = _size(bucket, key, got)
    if last > end:
        raise DataCorrupted(f"{bucket.named(key)} has {end} bytes; 0 at {last} were asked for")


def _check_size(bucket: Bucket, key: str, got: Sequence[Span], object_bytes: int) -> None:
    if (has := _size(bucket, key, got)) != object_bytes:
        raise DataCorrupted(f"{bucket.named(key)} has {has} bytes, not {object_bytes}")


def _size(bucket: Bucket, key: str, got: Sequence[Span]) -> int:
    """Return how large all of the object is: as an answer told, else by asking."""
    known = [span.object_bytes for span in got if span.object_bytes is not None]
    return known[0] if known else int(bucket.ask("head_object", key)["ContentLength"])


def _cut(got: Sequence[Span], offset: int, size: int) -> bytes:
    if not size:
        return b""
    for span in got:
        if span.start <= offset and offset + size <= span.start + len(span.data):
            at = offset - span.start
            return span.data if size == len(span.data) else span.data[at : at + size]
    raise DataCorrupted(f"{size} bytes at {offset} were not answered")
