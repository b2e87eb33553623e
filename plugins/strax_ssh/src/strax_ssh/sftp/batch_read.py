"""Reads small files together, over one channel, if several threads want them at the same time."""

import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO

from strax_core import AccessDenied
from strax_ssh.sftp.links import Asked, answers, are_plain, ask_about
from strax_ssh.sftp.packets import Kind, Open, SftpError, packed_path, packed_text
from strax_ssh.sftp.session import LostError, Request, Session
from strax_ssh.sftp.transfer import Wanted, pieces

AT_ONCE_MAX = 32  # far fewer than the files that a server keeps open for one session
Run = Callable[[Callable[[Session], None]], None]
READING = struct.pack(">II", Open.READ, 0)


class Small:
    """A small file: what is wanted of it; later, that."""

    def __init__(self, path: str, wanted: Wanted, on_way: Sequence[str]) -> None:
        self.path = path
        self.on_way = on_way
        """What may be no link; the file itself comes last."""
        self.wanted = wanted
        self.is_done = False
        self.is_odd = False
        """Whether there is a link on the way to it, or it is none that can be opened like this."""
        self.leads = False
        """Whether its thread reads, also for others."""
        self.woken = threading.Lock()
        """Held until it is done, or its thread is to lead."""
        self.woken.acquire()
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
        self._is_led = False

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
            if not self._is_led:
                self._is_led = True
                _make_leader(small)
        try:
            small.woken.acquire()
            if not small.is_done:
                self._read_with_others(small, run)
        finally:
            self._pass_on(small)
        if small.error is not None:
            raise type(small.error)(*small.error.args) from small.error
        return small.content

    def _pass_on(self, small: Small) -> None:
        """Let another thread lead, if this one did; also when this one was interrupted."""
        with self._lock:
            if not small.is_done and small in self._waiting:
                self._waiting.remove(small)
            if small.leads:
                self._is_led = bool(self._waiting)
                if self._waiting:
                    _make_leader(self._waiting[0])

    def _read_with_others(self, small: Small, run: Run) -> None:
        with self._lock:
            others = [other for other in self._waiting if other is not small]
            others, self._waiting = others[: AT_ONCE_MAX - 1], others[AT_ONCE_MAX - 1 :]
        several = [small, *others]
        try:
            run(lambda session: _read(session, several))
        except (LostError, AccessDenied) as error:
            with self._lock:  # all who wait: or each would wait as long, one after the other
                others += self._waiting
                self._waiting = []
            for each in (small, *others):
                each.error = error
        except BaseException:
            with self._lock:
                self._waiting = others + self._waiting
            raise
        small.is_done = True
        for each in others:
            each.is_done = True
            each.woken.release()


def _make_leader(small: Small) -> None:
    small.leads = True
    small.woken.release()


def _read(session: Session, several: list[Small]) -> None:
    """Ask for all of them, then take the answers; an answer costs nothing while others come."""
    several = [small for small in several if not small.is_odd]
    asked = [ask_about(session, small.on_way) for small in several]
    openings = [session.send(Kind.OPEN, packed_path(small.path), READING) for small in several]
    handles: list[bytes] = []
    readings = []
    try:
        sizes = [_looked_at(session, *each) for each in zip(several, asked, strict=True)]
        if any(small.is_odd for small in several):
            session.close()  # the server may wait for ever, such as for who writes into a pipe
            raise LostError("what is to be read is no plain file")  # again, without it
        for small, size_bytes, opening in zip(several, sizes, openings, strict=True):
            with suppress(SftpError):
                handles.append(packed_text(session.answer(opening, Kind.HANDLE).text()))
                readings.append(_Reading(session, handles[-1], small, size_bytes))
        for reading in readings:
            with suppress(SftpError):
                reading.finish()
    finally:
        for handle in handles:
            session.send(Kind.CLOSE, handle)  # nothing is lost if it is refused


def _looked_at(session: Session, small: Small, asked: Asked) -> int:
    """Note whether a small file is an odd one; return its size in bytes, -1: not known."""
    try:
        found = answers(session, asked)
    except SftpError:
        return -1
    small.is_odd = not are_plain(found)
    return -1 if found[-1] is None else found[-1].size_bytes


class _Reading:
    """The requests for one file, on their way."""

    def __init__(self, session: Session, handle: bytes, small: Small, size_bytes: int) -> None:
        self._session, self._small, self._size_bytes = session, small, size_bytes
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
        for request, _ in self._asked:
            self._session.answer(request, Kind.DATA)
        is_whole = all(request.n_bytes == n_bytes for request, n_bytes in self._asked)
        self._asked.clear()
        if is_whole and self._size_bytes == self._small.wanted.file_bytes:
            self._small.content = [file.getvalue() for file in self._files]
