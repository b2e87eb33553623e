"""The proxy for HTTP: it counts requests, and each may meet a fate of its own."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from strax_core.testing.proxy import BLOCK_BYTES, End, Peer, Proxy, Way

HEAD_END = b"\r\n\r\n"


@dataclass(slots=True)
class HttpRequest:
    """A request that came by."""

    number: int
    """Counted from 0, since the proxy began or `forget` was called."""
    method: str
    target: str
    """Path and query, as they stand in the request."""
    headers: dict[str, str] = field(repr=False)
    status: int | None = None
    """Status that the server answered; None: nothing yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """The fate of one request, instead of a normal answer."""

    reaches_server: bool = True
    answer: bytes | None = None
    """A whole HTTP answer instead of the server's."""
    n_answer_bytes: int = 0
    """So much of the body of the server's answer comes; 0: not even its head."""
    end: End = End.RESET
    """End of the connection, unless there is a whole `answer`."""
    late: threading.Event | None = None
    """The server gets the request when this is set; what becomes of the client does not wait."""
    do: Callable[[], None] | None = None
    """Called when the server has answered, or at once if the request does not reach it."""


class HttpProxy(Proxy):
    """A `Proxy` that understands HTTP/1.1, without TLS: one request after the other.

    - `requests`: all that came, in order.
    - `decide`: a function that is given each request and returns its `Fate`, or None: it passes.
    - `fault` and `rate_bytes_s` of `Proxy` are not for this one.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.requests: list[HttpRequest] = []
        self.decide: Callable[[HttpRequest], Fate | None] | None = None
        self._late: set[asyncio.Task[None]] = set()
        super().__init__(target)

    def forget(self) -> None:
        """Begin to count anew."""
        self.requests = []

    async def _end(self) -> None:
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await super()._end()

    async def _serve(self, client: Peer) -> None:
        server = await self._connect()
        goes_on = True
        try:
            while goes_on:
                head = await client.reader.readuntil(HEAD_END)
                if server.reader.at_eof():  # it ends idle connections
                    self._leave(server)
                    server = await self._connect()
                goes_on = await self._pass_request(client, server, head)
        finally:
            self._leave(server)

    async def _pass_request(self, client: Peer, server: Peer, head: bytes) -> bool:
        """Pass one request and its answer; False: the connection has ended."""
        request = _parsed(head, len(self.requests))
        self.requests.append(request)
        await self._wait(self._loop.time() + self.latency_s, len(head), Way.TO_SERVER)
        fate = self.decide(request) if self.decide else None
        if fate is not None and (fate.late is not None or not fate.reaches_server):
            await self._swallow(client, request, head, fate)
        server.writer.write(head)
        answer = await self._send_body(client, server, request)
        request.status = int(answer.split(b" ", 2)[1])
        await self._wait(self._loop.time() + self.latency_s, len(answer), Way.TO_CLIENT)
        if fate is not None:
            await self._meet(fate, client, server, answer, request)
            return True
        client.writer.write(answer)
        return await _pass_answer_body(server, client, answer, request, None)

    async def _send_body(self, client: Peer, server: Peer, request: HttpRequest) -> bytes:
        """Pass the body of a request; return the head of the answer."""
        if "100-continue" in request.headers.get("expect", "").lower():
            answer = await server.reader.readuntil(HEAD_END)
            if int(answer.split(b" ", 2)[1]) != 100:
                return answer  # the server does not want the body
            client.writer.write(answer)
        await _pass(client, server, int(request.headers.get("content-length", 0)))
        while True:
            answer = await server.reader.readuntil(HEAD_END)
            if int(answer.split(b" ", 2)[1]) != 100:
                return answer

    async def _swallow(self, client: Peer, request: HttpRequest, head: bytes, fate: Fate) -> None:
        """Take a request that does not reach the server now; end the connection with it."""
        if "100-continue" in request.headers.get("expect", "").lower():
            client.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await client.reader.readexactly(int(request.headers.get("content-length", 0)))
        if fate.late is not None:
            late = self._deliver_late(fate.late, fate, request, head + body)
            self._late.add(self._loop.create_task(late))
        if fate.do is not None and not fate.reaches_server:
            fate.do()
        await self._finish(fate, client)

    async def _deliver_late(
        self, when: threading.Event, fate: Fate, request: HttpRequest, whole: bytes
    ) -> None:
        while not when.is_set():  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0.01)
        server = await self._connect()
        try:
            server.writer.write(whole)
            while request.status in {None, 100}:
                answer = await server.reader.readuntil(HEAD_END)
                request.status = int(answer.split(b" ", 2)[1])
        finally:
            self._leave(server)
        if fate.do is not None:
            fate.do()

    async def _meet(
        self, fate: Fate, client: Peer, server: Peer, answer: bytes, request: HttpRequest
    ) -> None:
        if fate.do is not None:
            fate.do()
        if fate.answer is None and fate.n_answer_bytes:
            client.writer.write(answer)
            await _pass_answer_body(server, client, answer, request, fate.n_answer_bytes)
        await self._finish(fate, client)

    async def _finish(self, fate: Fate, client: Peer) -> None:
        if fate.answer is not None:
            client.writer.write(fate.answer)
            await client.writer.drain()
            await client.close()
            raise ConnectionResetError("the proxy has answered")
        await client.writer.drain()
        await self._break(fate.end, client, client)


def s3_error(status: int, code: str) -> bytes:
    """Return an HTTP answer with an error as S3 words it."""
    body = f"<Error><Code>{code}</Code><Message>from the proxy</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def _parsed(head: bytes, number: int) -> HttpRequest:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    return HttpRequest(number, method, target, _headers(lines))


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _pass_answer_body(
    server: Peer, client: Peer, head: bytes, request: HttpRequest, at_most: int | None
) -> bool:
    """Pass the body of an answer, or a part of it; False: the server ends the connection."""
    headers = _headers(head.decode("latin-1").strip().split("\r\n")[1:])
    has_body = request.method != "HEAD" and request.status not in {204, 304}
    if has_body and "chunked" in headers.get("transfer-encoding", ""):
        await _pass_chunks(server, client)
    elif has_body and "content-length" not in headers:
        while data := await server.reader.read(BLOCK_BYTES):
            client.writer.write(data)
        return False
    elif has_body:
        size = int(headers["content-length"])
        await _pass(server, client, size if at_most is None else min(size, at_most))
    await client.writer.drain()
    return headers.get("connection", "").lower() != "close"


async def _pass(source: Peer, sink: Peer, n_bytes: int) -> None:
    while n_bytes:
        data = await source.reader.read(min(n_bytes, BLOCK_BYTES))
        if not data:
            raise ConnectionResetError("a side has gone")
        n_bytes -= len(data)
        sink.writer.write(data)
        await sink.writer.drain()


async def _pass_chunks(server: Peer, client: Peer) -> None:
    size = 1
    while size:
        line = await server.reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        client.writer.write(line + await server.reader.readexactly(size + 2))
        await client.writer.drain()
