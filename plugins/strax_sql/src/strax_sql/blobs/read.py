"""Reads ranges of a file: only the parts that they need, and a few parts at a time."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, and_, select

from strax_core import DataCorrupted, ObjectMissing
from strax_sql.blobs.clock import is_shown, now_ns
from strax_sql.blobs.paths import At
from strax_sql.blobs.schema import FILES, PART_BYTES, PARTS
from strax_sql.database import AS_BYTES

PARTS_AT_ONCE = 16
"""As many are asked for in one statement, and lie in memory besides what was wanted."""
_NUMBER_MAX = 2**31 - 1
Ranges = Sequence[tuple[int, int]]


class PartsMissing(DataCorrupted):
    """A file has not all of its parts."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file, and those of its first parts that were asked for."""

    label: str
    file_id: int
    size_bytes: int
    parts: dict[int, bytes]


def read_ranges(
    connection: Connection, at: At, ranges: Ranges | None, file_bytes: int | None = None
) -> list[bytes]:
    """Return the bytes of each range, in the order asked; of the whole file if it is None.

    What is small comes with one statement. A content that is replaced in mid-read is never mixed
    with the next one: the reading begins anew.

    Raises:
        ObjectMissing: there is no such file.
        DataCorrupted: a range reaches beyond its end, it has another size, or parts are missing.
    """
    numbers = list(islice(_numbers(ranges), PARTS_AT_ONCE))
    opened = _open(connection, at, numbers)
    while True:
        try:
            return _read(connection, opened, ranges, file_bytes)
        except PartsMissing:
            again = _open(connection, at, numbers)
            if again.file_id == opened.file_id:
                raise
            opened = again


def _numbers(ranges: Ranges | None) -> Iterator[int]:
    """Iterate over the numbers of the parts that ranges need, from the lowest up, each once."""
    if ranges is None:
        yield from range(PARTS_AT_ONCE)
        return
    last = -1
    for offset, size in sorted(ranges):
        if offset >= 0 and size > 0:
            for number in range(max(offset // PART_BYTES, last + 1), _end(offset, size)):
                if number > _NUMBER_MAX:
                    return
                yield number
                last = number


def _end(offset: int, size: int) -> int:
    """Return the number after that of the last part of a range."""
    return (offset + size + PART_BYTES - 1) // PART_BYTES


def _open(connection: Connection, at: At, numbers: Sequence[int]) -> _Opened:
    """Ask for a file and its first parts at once."""
    wanted = and_(PARTS.c.file_id == FILES.c.id, PARTS.c.number.in_(numbers))
    query = (
        select(FILES.c.id, FILES.c.size_bytes, PARTS.c.number, PARTS.c.data)
        .select_from(FILES.outerjoin(PARTS, wanted))
        .where(at.row, is_shown(at.folder, now_ns(connection)))
        .execution_options(**AS_BYTES)
    )
    rows = connection.execute(query).all()
    if not rows:
        raise ObjectMissing(f"{at.label} is not there")
    parts = {row.number: row.data for row in rows if row.number is not None}
    return _Opened(at.label, rows[0].id, rows[0].size_bytes, parts)


def _read(
    connection: Connection, opened: _Opened, ranges: Ranges | None, file_bytes: int | None
) -> list[bytes]:
    ranges = [(0, opened.size_bytes)] if ranges is None else ranges
    _check(opened, ranges, file_bytes)
    cuts = defaultdict(list)
    for index, (offset, size) in enumerate(ranges):
        for number in range(offset // PART_BYTES, _end(offset, size) if size else 0):
            start = number * PART_BYTES
            cuts[number].append((index, max(0, offset - start), offset + size - start))
    pieces: list[list[bytes]] = [[] for _ in ranges]
    for number, data in _parts(connection, opened, sorted(cuts)):
        if len(data) != min(PART_BYTES, opened.size_bytes - number * PART_BYTES):
            raise PartsMissing(f"{opened.label}: part {number} has {len(data)} bytes")
        for index, start, stop in cuts[number]:
            pieces[index].append(data[start:stop])
    return [b"".join(each) for each in pieces]


def _check(opened: _Opened, ranges: Ranges, file_bytes: int | None) -> None:
    has = f"{opened.label} has {opened.size_bytes} bytes"
    if file_bytes not in (None, opened.size_bytes):
        raise DataCorrupted(f"{has}, not {file_bytes}")
    for offset, size in ranges:
        if offset < 0 or size < 0 or offset + size > opened.size_bytes:
            raise DataCorrupted(f"{has}; {size} at {offset} were asked for")


def _parts(
    connection: Connection, opened: _Opened, numbers: Sequence[int]
) -> Iterator[tuple[int, bytes]]:
    """Iterate over parts in this order, a few at a time."""
    for first in range(0, len(numbers), PARTS_AT_ONCE):
        batch = numbers[first : first + PARTS_AT_ONCE]
        parts = {number: opened.parts.pop(number) for number in batch if number in opened.parts}
        if missing := [number for number in batch if number not in parts]:
            query = select(PARTS.c.number, PARTS.c.data).where(
                PARTS.c.file_id == opened.file_id, PARTS.c.number.in_(missing)
            )
            rows = connection.execute(query.execution_options(**AS_BYTES))
            parts.update((row.number, row.data) for row in rows)
        for number in batch:
            if number not in parts:
                raise PartsMissing(f"{opened.label}: part {number} is missing")
            yield number, parts[number]
