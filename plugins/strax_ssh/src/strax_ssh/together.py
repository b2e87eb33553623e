"""Small files that several threads want at the same time are read together, over one channel."""

import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from strax_core import AccessDenied
from strax_ssh.packets import Kind, Open, SftpError, packed_path, packed_text
from strax_ssh.session import LostError, Request, Session
from strax_ssh.transfer import Wanted, pieces

AT_ONCE_MAX = 32  # far fewer than the files that a server keeps open for one session
Run = Callable[[Callable[[Session], None]], None]
READING = struct.pack(">II", Open.READ, 0)


class Small:
    """A small file: what is wanted of it; later, that."""

    def __init__(self, path: str, wanted: Wanted) -> None:
        self.path = path
        self.wanted = wanted
        self.is_done = False
        self.content: list[bytes] | None = None
        """The bytes of each range; None: it has to be read alone, which tells what is wrong."""
        self.error: LostError | AccessDenied | None = None


class Together:
    """Takes what threads ask for while others are read, and then reads all that at once.

    Each packet costs as much as a small file does, and so does waking a thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Small] = []
        self._turn = threading.Lock()

    def read(self, small: Small, run: Run) -> list[bytes] | None:
        """Return the bytes of each range; None: it has to be read alone.

        Args:
            small: what is wanted.
            run: does something over a channel; again, if the connection is lost.

        Raises:
            LostError: the server cannot be reached, is silent, or was lost too often.
            AccessDenied: it lets nobody in.
        """
        with self._lock:
            self._waiting.append(small)
        with self._turn:
            if not small.is_done:
                self._read_with_others(small, run)
        if small.error is not None:
            raise type(small.error)(*small.error.args) from small.error
        return small.content

    def _read_with_others(self, small: Small, run: Run) -> None:
        with self._lock:
            others = [other for other in self._waiting if other is not small]
            self._waiting = others[AT_ONCE_MAX - 1 :]
        several = [small, *others[: AT_ONCE_MAX - 1]]
        try:
            run(lambda session: _read(session, several))
        except (LostError, AccessDenied) as error:
            with self._lock:  # or all who wait would wait as long, one after the other
                several += self._waiting
                self._waiting = []
            for each in several:
                each.error = error
        for each in several:
            each.is_done = True


def _read(session: Session, several: list[Small]) -> None:
    """Ask for all of them, then take the answers; an answer costs nothing while others come."""
    openings = [session.send(Kind.OPEN, packed_path(small.path), READING) for small in several]
    handles: list[bytes] = []
    readings = []
    try:
        for small, opening in zip(several, openings, strict=True):
            with suppress(SftpError):
                handles.append(packed_text(session.answer(opening, Kind.HANDLE).text()))
                readings.append(_Reading(session, handles[-1], small))
        for reading in readings:
            with suppress(SftpError):
                reading.finish()
    finally:
        for handle in handles:
            session.send(Kind.CLOSE, handle)  # nothing is lost if it is refused


class _Reading:
    """The requests for one file, on their way."""

    def __init__(self, session: Session, handle: bytes, small: Small) -> None:
        self._session, self._small = session, small
        self._about = session.send(Kind.FSTAT, handle)
        ranges = small.wanted.ranges or ()
        # Filled in place, and given away without a copy once nothing else looks into them.
        self._files = [BytesIO(bytes(size)) for _, size in ranges]
        self._asked: list[tuple[Request, int]] = []
        rooms = [file.getbuffer() for file in self._files]
        for offset, room in pieces(ranges, rooms, session.read_bytes):
            where = struct.pack(">QI", offset, len(room))
            request = session.send(Kind.READ, handle, where, into=room)
            self._asked.append((request, len(room)))

    def finish(self) -> None:
        """Take the answers; what does not fit is left for who reads it alone."""
        size_bytes = self._session.answer(self._about, Kind.ATTRS).attributes().size_bytes
        for request, _ in self._asked:
            self._session.answer(request, Kind.DATA)
        is_whole = all(request.n_bytes == n_bytes for request, n_bytes in self._asked)
        self._asked.clear()
        if is_whole and size_bytes == self._small.wanted.file_bytes:
            self._small.content = [file.getvalue() for file in self._files]
