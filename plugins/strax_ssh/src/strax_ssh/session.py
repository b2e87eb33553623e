"""One SFTP channel, with requests of several threads on their way at once."""

import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from strax_ssh.packets import (
    VERSION_3,
    Kind,
    Reader,
    SftpError,
    Status,
    packed_header,
    packed_path,
    packed_text,
)

BLOCK_BYTES = 1 << 18  # larger ones do not stay in the cache of the processor
PACKET_MAX_BYTES = 1 << 24
REQUEST_BYTES = 32768  # what every server takes
REQUEST_MAX_BYTES = 261120  # what OpenSSH takes
HEAD_BYTES = 9  # kind, number of the request, and the length of data


class Stream(Protocol):
    """A channel of paramiko, or a socket."""

    def send(self, data: memoryview, /) -> int:
        """Send a part of the data; return how much."""

    def recv(self, n_bytes: int, /) -> bytes:
        """Return what has come; nothing if the other side has ended."""

    def settimeout(self, timeout: float, /) -> None:
        """Set how long `send` and `recv` may wait."""

    def close(self) -> None:
        """End it."""


class LostError(Exception):
    """The server is gone, or does not speak SFTP."""


class SilentError(LostError):
    """The server is silent; asking again would only take as long again."""


class Request:
    """A question on its way; later, its answer."""

    __slots__ = ("body", "data", "kind", "n_bytes")

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.kind = 0
        self.body = b""
        self.data: Sequence[memoryview] = ()

    @property
    def is_answered(self) -> bool:
        """Whether the answer has come."""
        return self.kind != 0


class Session:
    """Sends requests, and gives each its answer.

    Whoever waits for an answer first reads for all that wait; so no thread of its own is needed.
    What is interrupted in the middle of a message ends the session, since its rest is lost.

    Args:
        stream: where an SFTP server listens.
        timeout_s: how long it may be silent.
        window_bytes: how many bytes of data may be on their way to us.
    """

    def __init__(self, stream: Stream, *, timeout_s: float, window_bytes: int) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._window_bytes = window_bytes
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._is_being_read = False
        self._error: LostError | None = None
        self._requests: dict[int, Request] = {}
        self._outgoing: list[bytes | memoryview] = []
        self._last_number = 0
        self._expected_bytes = 0
        self._head = bytearray()
        self._missing = 0
        self._pieces: list[memoryview] = []
        self.n_users = 0
        """How many threads use it; kept by the connection."""
        self.read_bytes = self.write_bytes = REQUEST_BYTES
        stream.settimeout(timeout_s)
        try:
            self._start()
        except SftpError as error:
            self.close()
            raise LostError(f"the server does not speak SFTP as it should: {error}") from error

    def _start(self) -> None:
        hello = Request(0)
        self._requests[VERSION_3] = hello  # the number of version 3 stands where numbers stand
        with self._losing():
            self._send_bytes(struct.pack(">IBI", 5, Kind.INIT, VERSION_3))
        self._read_until(lambda: hello.is_answered)
        if hello.kind != Kind.VERSION:
            raise LostError("the server does not speak SFTP version 3")
        self.extensions = {name.decode("latin-1") for name, _ in Reader(hello.body).pairs()}
        self.round_trip_s = float("inf")
        """The shortest time that an answer took so far."""
        if "limits@openssh.com" in self.extensions:
            limits = Reader(self.ask(Kind.EXTENDED, packed_text(b"limits@openssh.com")))
            limits.long_number()
            self.read_bytes = _limit(limits.long_number())
            self.write_bytes = _limit(limits.long_number())
        else:
            self.ask(Kind.STAT, packed_path("."))

    @property
    def is_lost(self) -> bool:
        """Whether it can no longer be used."""
        return self._error is not None

    # Asking

    def send(self, kind: Kind, *parts: bytes | memoryview, n_bytes: int = 0) -> Request:
        """Send a request whose answer brings `n_bytes` of data; see `answer`."""
        return self.send_all([(kind, parts, n_bytes)])[0]

    def send_all(
        self, messages: Sequence[tuple[Kind, Sequence[bytes | memoryview], int]]
    ) -> list[Request]:
        """Send several requests in one go, with those of other threads that wait to be sent."""
        with self._losing():
            with self._changed:
                requests = [self._queued(*message) for message in messages]
            with self._sending:
                with self._changed:
                    out, self._outgoing = self._outgoing, []
                self._send_bytes(b"".join(out))
        return requests

    def send_later(self, kind: Kind, *parts: bytes) -> None:
        """Send a request with the next one; nobody waits for its answer."""
        if not self.is_lost:
            with self._changed:
                self._queued(kind, parts, 0)

    def _queued(self, kind: Kind, parts: Sequence[bytes | memoryview], n_bytes: int) -> Request:
        self._check()
        self._last_number = (self._last_number + 1) & 0xFFFFFFFF
        request = self._requests[self._last_number] = Request(n_bytes)
        self._expected_bytes += n_bytes
        n_all = sum(map(len, parts))
        self._outgoing += [packed_header(kind, self._last_number, n_all), *parts]
        return request

    def answer(self, request: Request) -> Request:
        """Wait for an answer.

        Raises:
            SftpError: the server refused.
            LostError: it is gone.
        """
        self._read_until(lambda: request.kind != 0)
        if request.kind == Kind.STATUS:
            error = Reader(request.body).error()
            if error.code != Status.OK:
                raise error
        return request

    def ask(self, kind: Kind, *parts: bytes) -> bytes:
        """Send a request and return the body of its answer."""
        began = time.perf_counter()
        body = self.answer(self.send(kind, *parts)).body
        self.round_trip_s = min(self.round_trip_s, time.perf_counter() - began)
        return body

    def has_room(self, n_bytes: int) -> bool:
        """Say whether so much more data may be asked for now."""
        return self._expected_bytes + n_bytes <= self._window_bytes

    def wait_for_room(self, n_bytes: int) -> None:
        """Wait until so much more data may be asked for."""
        self._read_until(lambda: self._expected_bytes == 0 or self.has_room(n_bytes))

    def close(self) -> None:
        """End it; who still waits hears that it was lost."""
        self._fail(LostError("the connection was closed"))

    # Inside

    def _send_bytes(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            n = self._stream.send(view)
            if n == 0:
                raise LostError("the server closed the channel")
            view = view[n:]

    def _read_until(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            with self._changed:
                while self._is_being_read and not is_done():
                    self._changed.wait()
                if is_done():
                    return
                self._check()
                self._is_being_read = True
            try:
                with self._losing():
                    while not is_done():
                        self._receive()
            finally:
                with self._changed:
                    self._is_being_read = False
                    self._changed.notify_all()

    def _receive(self) -> None:
        block = self._stream.recv(BLOCK_BYTES)
        if not block:
            raise LostError("the server closed the channel")
        answered = list(self._packets(memoryview(block)))
        with self._changed:
            for request in answered:
                self._expected_bytes -= request.n_bytes
            self._changed.notify_all()

    def _packets(self, view: memoryview) -> Iterator[Request]:
        """Cut what came into messages; data are not copied."""
        while view:
            if not self._missing:
                n = 4 - len(self._head)
                self._head += view[:n]
                view = view[n:]
                if len(self._head) == 4:  # noqa: PLR2004 - the length in front of a message
                    self._missing = int.from_bytes(self._head)
                    self._head.clear()
                    if not 5 <= self._missing <= PACKET_MAX_BYTES:  # noqa: PLR2004 - kind, number
                        raise LostError(
                            "the server sent something that is not SFTP: "
                            "does a login script there print something?"
                        )
                continue
            piece = view[: self._missing]
            self._pieces.append(piece)
            self._missing -= len(piece)
            view = view[len(piece) :]
            if not self._missing:
                pieces, self._pieces = self._pieces, []
                yield from self._dispatch(pieces)

    def _dispatch(self, pieces: list[memoryview]) -> Iterator[Request]:
        if len(pieces[0]) < HEAD_BYTES:
            pieces = [memoryview(b"".join(pieces))]
        head = pieces[0]
        with self._changed:
            request = self._requests.pop(int.from_bytes(head[1:5]), None)
        if request is None:
            raise LostError("the server answered what was not asked")
        if head[0] == Kind.DATA:
            pieces[0] = head[HEAD_BYTES:]
            if sum(map(len, pieces)) != int.from_bytes(head[5:HEAD_BYTES]):
                raise LostError("the server sent data of a wrong length")
            request.data = pieces
        else:
            request.body = b"".join([head[5:], *pieces[1:]])
        request.kind = head[0]  # last: now it is answered
        yield request

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Whatever goes wrong inside ends the session."""
        try:
            yield
        except LostError as error:
            self._fail(error)
            raise
        except TimeoutError as error:
            lost = SilentError(f"the server was silent for {self._timeout_s:g} s")
            self._fail(lost)
            raise lost from error
        except (OSError, EOFError) as error:
            lost_too = LostError(f"the connection broke ({str(error) or 'end of file'})")
            self._fail(lost_too)
            raise lost_too from error
        except BaseException:
            self._fail(LostError("another thread was interrupted while it read"))
            raise

    def _fail(self, error: LostError) -> None:
        with self._changed:
            if self._error is None:
                self._error = error
            self._requests.clear()
            self._changed.notify_all()
        if not isinstance(error, SilentError):  # to say goodbye would take as long again
            with suppress(OSError, EOFError):  # over a broken line it fails
                self._stream.close()

    def _check(self) -> None:
        if self._error is not None:
            raise type(self._error)(*self._error.args) from self._error


def _limit(offered: int) -> int:
    return min(offered, REQUEST_MAX_BYTES) if offered else REQUEST_BYTES


def expect(request: Request, kind: Kind) -> Reader:
    """Return what takes an answer of this kind apart."""
    if request.kind != kind:
        raise SftpError(Status.BAD_MESSAGE, f"an answer of kind {request.kind}, not {kind}")
    return Reader(request.body)
