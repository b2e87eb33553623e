"""An SFTP session on one channel: requests of one thread at a time, many of them under way."""

import struct
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from strax_core import Buffer
from strax_ssh.sftp.packets import (
    VERSION_3,
    Kind,
    Reader,
    SftpError,
    Status,
    packed_header,
    packed_path,
    packed_text,
)

PACKET_MAX_BYTES = 1 << 24
REQUEST_BYTES = 32768  # what every server takes
REQUEST_MAX_BYTES = 261120  # what OpenSSH takes
HEAD = struct.Struct(">IBI")  # length, kind, number of the request
NO_ROOM = memoryview(bytearray())


class Stream(Protocol):
    """A channel, or a socket."""

    def sendall(self, data: memoryview, /) -> None:
        """Send all of the data."""

    def recv(self, n_bytes: int, /) -> Buffer:
        """Return what has come, at most so much; nothing if the other side has ended."""

    def settimeout(self, timeout: float, /) -> None:
        """Set how long `sendall` and `recv` may wait."""

    def close(self) -> None:
        """End it."""


class LostError(Exception):
    """The server is gone, or does not speak SFTP."""


class SilentError(LostError):
    """The server is silent; asking again would only take as long again."""


class NobodyError(LostError):
    """Nothing listens there: no such machine, or it refuses to be connected to."""


class Request:
    """A question on its way; later, its answer."""

    __slots__ = ("body", "into", "kind", "n_bytes")

    def __init__(self, into: memoryview) -> None:
        self.into = into
        """Where data go that are the answer."""
        self.n_bytes = 0
        """How many data came."""
        self.kind = 0
        self.body = b""


class Session:
    """Sends requests, and gives each its answer.

    - Requests wait until `flush`, or until an answer is waited for; they leave in one packet.
    - An answer that nobody waits for any more is passed over.
    - What is interrupted in the middle of a message ends the session: the rest of it is lost.

    Args:
        stream: where an SFTP server listens.
        timeout_s: how long it may be silent.
        turn: whoever moves many bytes over the same connection takes it.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        timeout_s: float,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self.turn: AbstractContextManager[object] = turn or threading.Lock()
        """Held while many bytes are moved: one thread after another is faster than all at once.

        All share one line, and wake each other for every packet."""
        self._stream = stream
        self._timeout_s = timeout_s
        self._requests: dict[int, Request] = {}
        self._last_number = 0
        self._outgoing: list[bytes | memoryview] = []
        self.error: LostError | None = None
        """Why it can no longer be used."""
        self.round_trip_s = float("inf")
        """The shortest time that an answer took so far."""
        self.read_bytes = self.write_bytes = REQUEST_BYTES
        stream.settimeout(timeout_s)
        try:
            self._start()
        except SftpError as error:
            self.close()
            raise LostError(f"the server does not speak SFTP as it should: {error}") from error

    def _start(self) -> None:
        # The number of version 3 stands where later messages have that of the request.
        hello = self._requests[VERSION_3] = Request(NO_ROOM)
        self._outgoing.append(HEAD.pack(5, Kind.INIT, VERSION_3))
        extensions = self.answer(hello, Kind.VERSION).pairs()
        self.extensions = {name.decode("latin-1") for name, _ in extensions}
        if "limits@openssh.com" in self.extensions:
            name = packed_text(b"limits@openssh.com")
            limits = self.ask(Kind.EXTENDED, name, answer=Kind.EXTENDED_REPLY)
            limits.long_number()
            self.read_bytes = _limit(limits.long_number())
            self.write_bytes = _limit(limits.long_number())
        else:
            self.ask(Kind.STAT, packed_path("."), answer=Kind.ATTRS)  # to know the round trip

    def send(self, kind: Kind, *parts: bytes | memoryview, into: memoryview = NO_ROOM) -> Request:
        """Take a request, to be sent with the next ones; data that answer it go `into` there."""
        self._last_number = (self._last_number + 1) & 0xFFFFFFFF
        request = self._requests[self._last_number] = Request(into)
        self._outgoing += [packed_header(kind, self._last_number, sum(map(len, parts))), *parts]
        return request

    def flush(self) -> None:
        """Send what waits to be sent."""
        if self._outgoing:
            with self._losing():
                out, self._outgoing = self._outgoing, []
                self._stream.sendall(memoryview(b"".join(out)))

    def answer(self, request: Request, kind: Kind = Kind.STATUS) -> Reader:
        """Wait for an answer of this kind; return what takes it apart.

        Raises:
            SftpError: the server refused, or answered otherwise.
            LostError: it is gone.
        """
        if not request.kind:
            self.flush()
            with self._losing():
                while not request.kind:
                    self._receive()
        reader = Reader(request.body)
        if request.kind == Kind.STATUS:
            error = reader.error()
            if error.code != Status.OK:
                try:
                    raise error
                finally:
                    del error  # else it would hold this frame, and this frame it
        if request.kind != kind:
            raise SftpError(Status.BAD_MESSAGE, f"an answer of kind {request.kind}, not {kind}")
        return reader

    def ask(self, kind: Kind, *parts: bytes, answer: Kind = Kind.STATUS) -> Reader:
        """Send a request, wait for its answer, and return what takes that apart."""
        began = time.perf_counter()
        reader = self.answer(self.send(kind, *parts), answer)
        self.round_trip_s = min(self.round_trip_s, time.perf_counter() - began)
        return reader

    def close(self) -> None:
        """End it."""
        self._end(LostError("the connection was closed"))

    # Inside

    def _receive(self) -> None:
        """Take one message: the answer of a request."""
        n_bytes, kind, number = HEAD.unpack(self._taken(HEAD.size))
        n_bytes -= HEAD.size - 4
        if not 0 <= n_bytes <= PACKET_MAX_BYTES:
            raise LostError(
                "the server sent something that is not SFTP: "
                "does a login script there print something?"
            )
        request = self._requests.pop(number, None)
        if request is None:
            raise LostError("the server answered what was not asked")
        if kind == Kind.DATA:
            n_data = int.from_bytes(self._taken(4))
            if n_data != n_bytes - 4 or not 0 < n_data <= len(request.into):
                raise LostError("the server sent data of a wrong length")
            self._take_into(request.into[:n_data])
            request.n_bytes = n_data
        else:
            request.body = self._taken(n_bytes)
        request.kind = kind

    def _taken(self, n_bytes: int) -> bytes:
        taken = bytes(self._received(n_bytes)) if n_bytes else b""
        while len(taken) < n_bytes:
            taken += self._received(n_bytes - len(taken))
        return taken

    def _take_into(self, room: memoryview) -> None:
        while room:
            part = self._received(len(room))
            room[: len(part)] = part
            room = room[len(part) :]

    def _received(self, n_bytes: int) -> Buffer:
        part = self._stream.recv(n_bytes)
        if not part:
            raise LostError("the server closed the channel")
        return part

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Note that the session cannot be used any more, whatever ends what stands inside.

        Raises:
            LostError: the line is broken, the server silent, or the session was ended before.
        """
        if self.error is not None:
            raise type(self.error)(*self.error.args) from self.error
        try:
            yield
        except LostError as error:
            self._end(error)
            raise
        except TimeoutError as error:
            text = f"the server was silent for {self._timeout_s:g} s"
            raise self._end(SilentError(text)) from error
        except (OSError, EOFError) as error:
            text = f"the connection broke ({str(error) or 'end of file'})"
            raise self._end(LostError(text)) from error
        except BaseException:
            self._end(LostError("it was interrupted"))
            raise

    def _end(self, error: LostError) -> LostError:
        """End the session because of this error, and return it: a name for it would keep it."""
        if self.error is None:
            # Anew: the frames in the traceback of this one would keep all that is in use here.
            self.error = type(error)(*error.args)
        if not isinstance(error, SilentError):  # to say goodbye would take as long again
            with suppress(OSError, EOFError):  # over a broken line it fails
                self._stream.close()
        return error


def _limit(offered: int) -> int:
    return min(offered, REQUEST_MAX_BYTES) if offered else REQUEST_BYTES
