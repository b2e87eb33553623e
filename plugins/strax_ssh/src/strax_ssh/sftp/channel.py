"""Speeds up a channel of paramiko for large answers and requests.

What is used here of paramiko is not promised by it. If a paramiko is otherwise, its channel is used
as it is.
"""

import inspect
import struct
import threading
import time
from collections import deque

import paramiko
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout

DATA_HEAD = struct.Struct(">BII")  # kind, number of the channel there, length
CHANNEL_DATA = 94  # RFC 4254, 5.2
SEND_ARGUMENTS = ["self", "s", "m"]


def fast(channel: paramiko.Channel) -> "paramiko.Channel | FastChannel":
    """Return the channel, faster if this paramiko allows that; nothing may have come yet."""
    sends = list(inspect.signature(paramiko.Channel._send).parameters)  # noqa: SLF001 - see above
    if sends != SEND_ARGUMENTS or type(channel.in_buffer) is not BufferedPipe:
        return channel
    return FastChannel(channel)


class FastChannel:
    """Sends and receives with few copies, and wakes its one reader only when it can go on."""

    def __init__(self, channel: paramiko.Channel) -> None:
        channel.in_buffer = Arrived()
        self._channel = channel
        self.recv, self.settimeout, self.close = channel.recv, channel.settimeout, channel.close

    def sendall(self, data: memoryview) -> None:
        """Send all of the data."""
        channel = self._channel
        while data:
            message = _Data(channel.remote_chanid)
            sent = channel._send(data, message)  # noqa: SLF001 - see above
            if not sent:
                raise EOFError
            data = data[sent:]


class _Data:
    """Takes the place of paramiko's `Message`, for data: its bytes are copied once."""

    def __init__(self, channel_number: int) -> None:
        self._number = channel_number
        self._data = memoryview(b"")

    def add_string(self, data: memoryview) -> None:
        """Take the part that the other side has room for."""
        self._data = data

    def asbytes(self) -> bytes:
        """Return the message."""
        head = DATA_HEAD.pack(CHANNEL_DATA, self._number, len(self._data))
        return b"".join((head, self._data))


class Arrived:
    """Takes the place of paramiko's `BufferedPipe`, which wakes the reader for each packet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._packets: deque[memoryview] = deque()
        self._n_bytes = 0
        self._came_at_s = 0.0
        self._is_closed = False
        self._n_awaited = 0
        """0: the reader does not wait, or has been woken."""
        self._alarm = threading.Lock()  # a condition would do, at several times the cost
        self._alarm.acquire()

    def __len__(self) -> int:
        return self._n_bytes

    def feed(self, data: bytes) -> None:
        """Take what came; paramiko's thread calls it."""
        with self._lock:
            self._packets.append(memoryview(data))
            self._n_bytes += len(data)
            self._came_at_s = time.monotonic()
            self._wake_if_enough()

    def close(self) -> None:
        """Nothing more will come."""
        with self._lock:
            self._is_closed = True
            self._wake_if_enough()

    def read(self, n_bytes: int, timeout: float | None = None) -> memoryview:
        """Return what came next, at most so much; if nothing is there, wait until all that is.

        Raises:
            PipeTimeout: nothing came for so many seconds.
        """
        if not self._packets:
            self._wait_for(n_bytes, timeout)
        with self._lock:
            if not self._packets:
                return memoryview(b"")  # the end
            packet = self._packets.popleft()
            if len(packet) > n_bytes:
                self._packets.appendleft(packet[n_bytes:])
                packet = packet[:n_bytes]
            self._n_bytes -= len(packet)
            return packet

    def _wait_for(self, n_bytes: int, silence_s: float | None) -> None:
        self._came_at_s = time.monotonic()
        while True:
            with self._lock:
                if self._is_closed or self._n_bytes >= n_bytes:
                    return
                self._n_awaited = n_bytes
                until_s = None if silence_s is None else self._came_at_s + silence_s
            left_s = -1 if until_s is None else max(0.0, until_s - time.monotonic())
            if self._alarm.acquire(timeout=left_s):
                continue
            with self._lock:
                if not self._n_awaited:
                    self._alarm.acquire()  # it was sounded just now
                self._n_awaited = 0
                if silence_s is not None and time.monotonic() >= self._came_at_s + silence_s:
                    raise PipeTimeout

    def _wake_if_enough(self) -> None:
        if self._n_awaited and (self._is_closed or self._n_bytes >= self._n_awaited):
            self._n_awaited = 0
            self._alarm.release()
