"""Getting bytes: ranges merged and in parallel, a body that breaks off is continued."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from strax_core import DataCorrupted
from strax_s3.client import Bucket
from strax_s3.sdk import SDK_ERRORS
from strax_s3.translate_errors import translated

GAP_BYTES = 256 << 10
"""Bytes between two ranges that are read and thrown away: cheaper than another request."""
PIECE_BYTES = 1 << 20
"""A body is taken in such pieces; of one that breaks off, the last is asked for again."""


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
    """
    pieces: list[bytes] = []
    n_got = 0
    version: str | None = None
    give_up = time.monotonic() + bucket.options.retry_for_s
    while True:
        answer = bucket.ask("get_object", key, **_range(start + n_got, size, n_got))
        if version not in (None, answer.get("ETag")):
            pieces, n_got, version = [], 0, None
            answer["Body"].close()
            continue
        version = answer.get("ETag")
        promised = int(answer["ContentLength"])
        object_bytes = _object_bytes(answer, is_whole=size is None and not n_got)
        if size is not None and n_got + promised != size:
            answer["Body"].close()
            raise DataCorrupted(
                f"{bucket.named(key)} has {object_bytes} bytes; {size} at {start} were asked for"
            )
        before = n_got
        try:
            # Not `with` the body itself: that gives what lies below, which takes an early end for
            # the end.
            with closing(answer["Body"]) as body:
                while piece := body.read(PIECE_BYTES):
                    pieces.append(piece)
                    n_got += len(piece)
        except SDK_ERRORS as error:
            if n_got > before:
                give_up = time.monotonic() + bucket.options.retry_for_s
            elif time.monotonic() > give_up:
                raise translated(error, bucket.named(key)) from error
            continue
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return Span(start, data, object_bytes)


def _range(at: int, size: int | None, n_got: int) -> dict[str, str]:
    if size is None:
        return {"Range": f"bytes={at}-"} if n_got else {}
    return {"Range": f"bytes={at}-{at - n_got + size - 1}"}


def _object_bytes(answer: Any, *, is_whole: bool) -> int | None:
    """Return how large all of the object is, if the answer tells."""
    told = str(answer.get("ContentRange", "")).rpartition("/")[2]
    if told.isdecimal():
        return int(told)
    return int(answer["ContentLength"]) if is_whole else None


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
    if object_bytes is not None and (has := _size(bucket, key, got)) != object_bytes:
        raise DataCorrupted(f"{bucket.named(key)} has {has} bytes, not {object_bytes}")
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
