"""Reads and writes whole files over a session: many requests under way, each answer checked."""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO

from strax_core import Buffer, DataCorrupted
from strax_ssh.options import IN_FLIGHT_MAX
from strax_ssh.sftp.packets import Kind, Open, SftpError, Status, packed_path, packed_text
from strax_ssh.sftp.session import Request, Session

READS_MIN = 4  # more makes nothing faster where answers come at once
WRITES_MIN = 8  # what OpenSSH's channel takes before it is read
LINE_BYTES_S = 400e6  # requests on their way should fill a line as fast as this
SMALL_BYTES = 256 << 10  # files that may be read together
SMALL_RANGES = 16  # so that the requests for all of them fit on the line before an answer is taken
NEAR_S = 2e-3
"""Round trip up to which files go one after another. OpenSSH takes 2 MiB of a channel before it has
to answer: farther away, several are needed to fill a line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parts to be read of a file."""

    where: str
    """Name of the file for people."""
    ranges: Sequence[tuple[int, int]] | None
    """``(offset, size)`` each; None: the whole file."""
    file_bytes: int | None = None
    """Size that it has to have; None: any."""

    @property
    def is_small(self) -> bool:
        """True if it is known to be a part of a small file."""
        size = self.file_bytes
        if self.ranges is None or size is None or size > SMALL_BYTES:
            return False
        fit = all(0 <= offset <= offset + n <= size for offset, n in self.ranges)
        return fit and len(self.ranges) <= SMALL_RANGES

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
        self._turn = session.turn if session.round_trip_s < NEAR_S else nullcontext()

    def begin(self, path: str) -> Request:
        """Ask to open a file, and do not wait for the answer."""
        return self._session.send(Kind.OPEN, packed_path(path), struct.pack(">II", Open.READ, 0))

    def read(self, opening: Request, wanted: Wanted) -> list[bytes]:
        """Return the bytes of each range.

        Args:
            opening: what `begin` gave.
            wanted: the ranges.

        Raises:
            SftpError: the server refused.
            DataCorrupted: a range reaches beyond the end, or the file has another size.
        """
        session = self._session
        handle = packed_text(session.answer(opening, Kind.HANDLE).text())
        try:
            about = session.send(Kind.FSTAT, handle)
            # Of a file of unknown size, the first bytes are asked for together with the size.
            start = memoryview(bytearray(session.read_bytes if wanted.ranges is None else 0))
            first = self._ask(handle, 0, start) if start else None
            attributes = session.answer(about, Kind.ATTRS).attributes()
            if attributes.is_folder:
                raise SftpError(Status.NO_SUCH_FILE, "it is a folder, not a file")
            ranges = wanted.checked(attributes.size_bytes)
            # Filled in place, and given away without a copy once nothing else looks into them.
            files = [BytesIO(bytes(size)) for _, size in ranges]
            rooms = [file.getbuffer() for file in files]
            n_first = 0
            if first is not None and attributes.size_bytes:
                n_first = min(self._got(first, 0), attributes.size_bytes)
                rooms[0][:n_first] = start[:n_first]
                rooms, ranges = [rooms[0][n_first:]], [(n_first, 0)]
            self._fill(handle, pieces(ranges, rooms, session.read_bytes))
            rooms.clear()
            return [file.getvalue() for file in files]
        finally:
            session.send(Kind.CLOSE, handle)  # nothing is lost if it is refused

    def _ask(self, handle: bytes, offset: int, room: memoryview) -> Request:
        where = struct.pack(">QI", offset, len(room))
        return self._session.send(Kind.READ, handle, where, into=room)

    def _got(self, request: Request, offset: int) -> int:
        """Wait for data; return how many bytes came."""
        try:
            self._session.answer(request, Kind.DATA)
        except SftpError as error:
            if error.code == Status.EOF:
                raise DataCorrupted(f"the file ends at or before {offset}") from error
            raise
        return request.n_bytes

    def _fill(self, handle: bytes, pieces: Iterator[tuple[int, memoryview]]) -> None:
        """Read each piece; of small ones as many at once as is allowed, of large ones as needed."""
        window_bytes = self._reads * self._session.read_bytes
        on_way: deque[tuple[int, memoryview, Request]] = deque()
        n_bytes = 0

        def ask() -> None:
            nonlocal n_bytes
            while len(on_way) < IN_FLIGHT_MAX and n_bytes < window_bytes:
                offset, room = next(pieces, (0, None))
                if room is None:
                    return
                on_way.append((offset, room, self._ask(handle, offset, room)))
                n_bytes += len(room)

        ask()
        if not on_way:
            return
        self._session.flush()  # so that data come while another file is still taken in
        with self._turn:
            while on_way:
                offset, room, request = on_way.popleft()
                n_bytes -= len(room)
                # A server may send less than was asked for; then the rest is asked for again.
                while (n_got := self._got(request, offset)) < len(room):
                    offset, room = offset + n_got, room[n_got:]
                    request = self._ask(handle, offset, room)
                ask()

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
        flags = struct.pack(">II", Open.WRITE, 0)
        opening = session.ask(Kind.OPEN, packed_path(path), flags, answer=Kind.HANDLE)
        handle = packed_text(opening.text())
        try:
            on_way: deque[Request] = deque()
            offset = 0
            with self._turn:
                for block in _blocks(buffers, session.write_bytes):
                    n_bytes = sum(map(len, block))
                    where = struct.pack(">QI", offset, n_bytes)
                    on_way.append(session.send(Kind.WRITE, handle, where, *block))
                    session.flush()
                    offset += n_bytes
                    if len(on_way) >= self._writes:
                        session.answer(on_way.popleft())
            if fsync and "fsync@openssh.com" in session.extensions:
                name = packed_text(b"fsync@openssh.com")
                on_way.append(session.send(Kind.EXTENDED, name, handle))
        finally:
            closed = session.send(Kind.CLOSE, handle)
        for request in (*on_way, closed):
            session.answer(request)


def pieces(
    ranges: Sequence[tuple[int, int]], rooms: Sequence[memoryview], n_bytes: int
) -> Iterator[tuple[int, memoryview]]:
    """Cut what is to be filled into requests."""
    for (offset, _), room in zip(ranges, rooms, strict=True):
        for at in range(0, len(room), n_bytes):
            yield offset + at, room[at : at + n_bytes]


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
