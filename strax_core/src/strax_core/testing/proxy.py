"""A TCP proxy on loopback that harms what passes: slow, cut off, silent, without answers."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar

BLOCK_BYTES = 1 << 18
BLOCKS_AHEAD = 64  # so that latency does not limit the rate: 16 MiB on the way
Result = TypeVar("Result")


class Way(Enum):
    """Direction of a connection."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class End(Enum):
    """End of a connection that a fault has hit."""

    RESET = "reset"
    CLOSE = "closed, as if all had been sent"
    SILENCE = "open, but nothing passes any more"
    BLACK_HOLE = "the same, and so are all others from then on"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFault:
    """Breaks connections once so many bytes have passed since the fault was set."""

    way: Way
    after_bytes: int = 0
    """0 on the way to the client: what was asked is done, but no answer comes."""
    end: End = End.RESET
    times: int | None = 1
    """Number of connections that are hit; None: all."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        """Break it off, so that the other side hears of an error."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """End it once all that was written has left; a reset would take back what is on the way."""
        self.writer.close()
        await self.writer.wait_closed()


class Proxy:
    """Passes bytes between its own port of 127.0.0.1 and a server.

    Its attributes may be set any time:

    - `latency_s`: one way, in each direction, however much is on the way.
    - `rate_bytes_s`: limit of each direction, of all connections together; None: none.
    - `is_black_hole`: connections are taken, and nothing passes; what waits goes on when it ends.
    - `refuses`: new connections are reset.
    - `fault`: a `LinkFault`, or None. Setting it starts to count anew, in open connections too.
    - `target`: where new connections go: host and port.

    It runs in a thread of its own. ``with Proxy(("127.0.0.1", port)) as proxy:`` ends it.
    """

    latency_s = 0.0
    rate_bytes_s: float | None = None
    is_black_hole = False
    refuses = False

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.n_connections = 0
        self.n_bytes = dict.fromkeys(Way, 0)
        """What came, by direction, since the beginning."""
        self._fault: LinkFault | None = None
        self._fault_number = 0
        self._n_hit = 0
        self._free_at = dict.fromkeys(Way, 0.0)
        self._peers: set[Peer] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=512))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def fault(self) -> LinkFault | None:
        """The fault that breaks connections."""
        return self._fault

    @fault.setter
    def fault(self, fault: LinkFault | None) -> None:
        self._fault = fault
        self._fault_number += 1
        self._n_hit = 0

    @property
    def n_hit(self) -> int:
        """Number of connections that the fault has hit."""
        return self._n_hit

    @property
    def n_open(self) -> int:
        """Number of connections that are open."""
        return len(self._tasks)

    def reset_all(self) -> None:
        """Break off all connections."""
        self._run(self._reset_all())

    def close(self) -> None:
        """Break off all connections and take no more."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # In the thread of the proxy

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _reset_all(self) -> None:
        for peer in list(self._peers):
            peer.reset()

    async def _end(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close one round after they were told to

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection belongs to a task")
        client = Peer(reader, writer)
        self.n_connections += 1
        self._tasks.add(task)
        self._peers.add(client)
        try:
            if not self.refuses:
                await self._serve(client)
                await client.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a side has gone, or the proxy ends: all that is left is to tell the other side
        finally:
            client.reset()
            self._peers.discard(client)
            self._tasks.discard(task)

    async def _connect(self) -> Peer:
        server = Peer(*await asyncio.open_connection(*self.target))
        self._peers.add(server)
        return server

    def _leave(self, server: Peer) -> None:
        server.reset()
        self._peers.discard(server)

    async def _serve(self, client: Peer) -> None:
        server = await self._connect()
        try:
            ways = ((client, server, Way.TO_SERVER), (server, client, Way.TO_CLIENT))
            await _all_or_none(*(self._pump(*way) for way in ways))
        finally:
            self._leave(server)

    async def _pump(self, source: Peer, sink: Peer, way: Way) -> None:
        """Pass bytes on until their source ends; then say so, and let the other way go on."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(BLOCKS_AHEAD)

        async def receive() -> None:
            data = b"?"
            while data:
                data = await source.reader.read(BLOCK_BYTES)
                self.n_bytes[way] += len(data)
                await queue.put((self._loop.time() + self.latency_s, data))

        async def send() -> None:
            n_passed, fault_number = 0, self._fault_number
            while True:
                due, data = await queue.get()
                await self._wait(due, len(data), way)
                if not data:
                    return
                if fault_number != self._fault_number:
                    n_passed, fault_number = 0, self._fault_number
                fault = self._hit(way, n_passed + len(data))
                if fault is not None:
                    await _write(sink, data[: max(0, fault.after_bytes - n_passed)])
                    await self._break(fault.end, source, sink)
                n_passed += len(data)
                await _write(sink, data)

        await _all_or_none(receive(), send())
        if sink.writer.can_write_eof() and not sink.writer.is_closing():
            sink.writer.write_eof()

    def _hit(self, way: Way, n_bytes: int) -> LinkFault | None:
        fault = self._fault
        if fault is None or fault.way is not way or n_bytes <= fault.after_bytes:
            return None
        if fault.times is not None and self._n_hit >= fault.times:
            return None
        self._n_hit += 1
        return fault

    async def _break(self, end: End, source: Peer, sink: Peer) -> None:
        if end is End.BLACK_HOLE:
            self.is_black_hole = True
        if end in {End.SILENCE, End.BLACK_HOLE}:
            await self._loop.create_future()  # until the client gives up, or the proxy ends
        for peer in (source, sink):
            if end is End.CLOSE:
                await peer.close()
            else:
                peer.reset()
        raise ConnectionResetError("the fault of the proxy")

    async def _wait(self, due: float, n_bytes: int, way: Way) -> None:
        if self.rate_bytes_s is not None:
            self._free_at[way] = (
                max(self._free_at[way], self._loop.time()) + n_bytes / self.rate_bytes_s
            )
            due = max(due, self._free_at[way])
        if due > self._loop.time():
            await asyncio.sleep(due - self._loop.time())
        while self.is_black_hole:  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0.01)


async def _write(sink: Peer, data: bytes) -> None:
    sink.writer.write(data)
    await sink.writer.drain()


async def _all_or_none(*works: Coroutine[Any, Any, None]) -> None:
    """Wait for all; if one fails, end the others and raise what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
