"""Whole files over a session: several requests on their way, the answer of each one looked at."""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from strax_core import Buffer, DataCorrupted
from strax_ssh.options import IN_FLIGHT_MAX
from strax_ssh.packets import (
    Kind,
    Open,
    SftpError,
    Status,
    packed_path,
    packed_text,
)
from strax_ssh.session import Request, Session, expect

READS_MIN = 4  # more makes nothing faster where answers come at once
WRITES_MIN = 8  # what OpenSSH's channel takes before it is read
LINE_BYTES_S = 400e6  # requests on their way should fill a line as fast as this


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read of a file."""

    where: str
    """What people call the file."""
    ranges: Sequence[tuple[int, int]] | None
    """``(offset, size)`` each; None: the whole file."""
    file_bytes: int | None = None
    """How large it has to be; None: of any size."""

    def checked(self, size_bytes: int) -> Sequence[tuple[int, int]]:
        """Return the ranges of a file of this size; `DataCorrupted` if it does not fit."""
        if self.file_bytes not in (None, size_bytes):
            raise DataCorrupted(f"{self.where} has {size_bytes} bytes, not {self.file_bytes}")
        if self.ranges is None:
            return [(0, size_bytes)]
        for offset, size in self.ranges:
            if not 0 <= offset <= offset + size <= size_bytes:
                raise DataCorrupted(
                    f"{self.where} has {size_bytes} bytes; {size} at {offset} were asked for"
                )
        return self.ranges


class Transfer:
    """Reads and writes files over one session.

    Args:
        session: where to.
        in_flight: how many requests of one file are on their way; None: by the round trip.
    """

    def __init__(self, session: Session, in_flight: int | None) -> None:
        self._session = session
        on_line = session.round_trip_s * LINE_BYTES_S / session.read_bytes
        self._reads, self._writes = (
            in_flight or min(int(least + on_line), IN_FLIGHT_MAX)
            for least in (READS_MIN, WRITES_MIN)
        )

    def read(self, path: str, wanted: Wanted) -> list[bytes]:
        """Return the bytes of each range.

        Raises:
            SftpError: the server refused.
            DataCorrupted: a range reaches beyond the end, or the file has another size.
        """
        session = self._session
        handle = self._open(path, Open.READ)
        try:
            first = [(0, session.read_bytes)] if wanted.ranges is None else []
            asked = [(Kind.FSTAT, (handle,), 0), *(_read(handle, *each) for each in first)]
            if not session.has_room(session.read_bytes):
                session.wait_for_room(session.read_bytes)
            about, *early = session.send_all(asked)
            attributes = expect(session.answer(about), Kind.ATTRS).attributes()
            if attributes.is_folder:
                raise SftpError(Status.NO_SUCH_FILE, "it is a folder, not a file")
            return self._read_ranges(handle, wanted.checked(attributes.size_bytes), early)
        finally:
            session.send_later(Kind.CLOSE, handle)  # nothing is lost if it is refused

    def _open(self, path: str, how: Open) -> bytes:
        """Return a handle, with its length in front, as it came and as it is sent."""
        return self._session.ask(Kind.OPEN, packed_path(path), struct.pack(">II", how, 0))

    def _read_ranges(
        self, handle: bytes, ranges: Sequence[tuple[int, int]], early: Sequence[Request]
    ) -> list[bytes]:
        session = self._session
        answers = [BytesIO() for _ in ranges]
        pieces = _pieces(ranges, session.read_bytes)
        on_way: deque[tuple[int, int, int, Request]] = deque()
        for request in early:
            on_way += [(*piece, request) for piece in [next(pieces, None)] if piece]
        while True:
            self._ask_for_more(handle, pieces, on_way)
            if not on_way:
                return [answer.getvalue() for answer in answers]
            number, offset, size, request = on_way.popleft()
            while True:
                got = _data(session, request, offset)
                for part in got:
                    answers[number].write(part)
                n_bytes = sum(map(len, got))
                if n_bytes >= size:
                    break
                # A server may send less than was asked for; then the rest is asked for again.
                offset, size = offset + n_bytes, size - n_bytes
                (request,) = session.send_all([_read(handle, offset, size)])

    def _ask_for_more(
        self,
        handle: bytes,
        pieces: Iterator[tuple[int, int, int]],
        on_way: deque[tuple[int, int, int, Request]],
    ) -> None:
        """Fill the window: with small pieces as many as allowed, with large ones as many bytes."""
        session = self._session
        window_bytes = self._reads * session.read_bytes
        new: list[tuple[int, int, int]] = []
        n_bytes = sum(size for _, _, size, _ in on_way)
        n_new = 0
        while len(on_way) + len(new) < IN_FLIGHT_MAX and n_bytes + n_new < window_bytes:
            if not session.has_room(n_new + session.read_bytes):
                if on_way or new:
                    break
                session.wait_for_room(session.read_bytes)
            piece = next(pieces, None)
            if piece is None:
                break
            new.append(piece)
            n_new += piece[2]
        if new:
            requests = session.send_all([_read(handle, *piece[1:]) for piece in new])
            on_way += [(*piece, each) for piece, each in zip(new, requests, strict=True)]

    def write(self, path: str, buffers: Sequence[Buffer], *, fsync: bool) -> None:
        """Make a file of these buffers; every answer is looked at.

        Args:
            path: where; what is there is replaced, while others may read it.
            buffers: its bytes.
            fsync: wait until the disk has them, where the server offers that.

        Raises:
            SftpError: the server refused any part of it.
        """
        session = self._session
        handle = self._open(path, Open.WRITE)
        is_closed = False
        try:
            on_way: deque[Request] = deque()
            offset = 0
            for block in _blocks(buffers, session.write_bytes):
                n_bytes = sum(map(len, block))
                where = struct.pack(">QI", offset, n_bytes)
                on_way.append(session.send(Kind.WRITE, handle, where, *block))
                offset += n_bytes
                if len(on_way) >= self._writes:
                    session.answer(on_way.popleft())
            last: list[tuple[Kind, Sequence[bytes], int]] = [(Kind.CLOSE, (handle,), 0)]
            if fsync and "fsync@openssh.com" in session.extensions:
                last.insert(0, (Kind.EXTENDED, (packed_text(b"fsync@openssh.com"), handle), 0))
            on_way += session.send_all(last)
            is_closed = True
            for request in on_way:
                session.answer(request)
        finally:
            if not is_closed:
                session.send_later(Kind.CLOSE, handle)


def _read(handle: bytes, offset: int, size: int) -> tuple[Kind, tuple[bytes, bytes], int]:
    return Kind.READ, (handle, struct.pack(">QI", offset, size)), size


def _data(session: Session, request: Request, offset: int) -> Sequence[memoryview]:
    """Wait for data; the end of the file is no data."""
    try:
        session.answer(request)
    except SftpError as error:
        if error.code == Status.EOF:
            raise DataCorrupted(f"the file ends at or before {offset}") from error
        raise
    if request.kind != Kind.DATA or not request.data:
        raise SftpError(Status.BAD_MESSAGE, "an answer without data")
    return request.data


def _pieces(ranges: Sequence[tuple[int, int]], n_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Cut ranges into requests: which range, offset, size."""
    for number, (start, size) in enumerate(ranges):
        for offset in range(start, start + size, n_bytes):
            yield number, offset, min(n_bytes, start + size - offset)


def _blocks(buffers: Sequence[Buffer], n_bytes: int) -> Iterator[list[memoryview]]:
    """Cut and join buffers to blocks of this size; the last one may be smaller."""
    block: list[memoryview] = []
    room = n_bytes
    for buffer in buffers:
        view = memoryview(buffer)
        view = view.cast("B") if view.nbytes else view[:0]
        while view.nbytes:
            block.append(view[:room])
            view = view[room:]
            room -= len(block[-1])
            if not room:
                yield block
                block, room = [], n_bytes
    if block:
        yield block
