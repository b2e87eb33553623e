"""Two kinds of sockets: to a machine, and to a program that speaks with one."""

import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any, BinaryIO, Self

from strax_core import ConfigError

AHEAD_BYTES = 128 << 10
ENDS_WITHIN_S = 2.0


class PatientSocket(socket.socket):
    """Its `send` fails when nothing can be sent for so long; paramiko would try for ever.

    Its `recv` reads ahead: paramiko asks twice for each packet, few bytes first.
    """

    patience_s = 30.0
    _room = bytearray()
    _ahead = memoryview(_room)

    @classmethod
    def to(cls, address: tuple[str, int], timeout_s: float) -> Self:
        """Connect to a host and port."""
        plain = socket.create_connection(address, timeout_s)
        sock = cls(plain.family, plain.type, plain.proto, plain.detach())
        sock.settimeout(timeout_s)
        # Without this, each small request waits for the acknowledgement of the one before: 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send a part of the data."""
        give_up = time.monotonic() + self.patience_s
        while True:
            try:
                return super().send(data, flags)
            except TimeoutError as error:
                if time.monotonic() > give_up:
                    raise ConnectionResetError("nothing could be sent") from error

    def recv(self, n_bytes: int, flags: int = 0, /) -> bytes:
        """Return what has come, at most so much."""
        if not self._ahead:
            if n_bytes >= AHEAD_BYTES:
                return super().recv(n_bytes, flags)
            self._room = self._room or bytearray(AHEAD_BYTES)  # kept: most of its time it waits
            n_came = super().recv_into(self._room, 0, flags)
            self._ahead = memoryview(self._room)[:n_came]
        part, self._ahead = self._ahead[:n_bytes], self._ahead[n_bytes:]
        return bytes(part)


class ProgramSocket(PatientSocket):
    """Speaks with a program, through its input and output; the program ends with it.

    paramiko's own `ProxyCommand` does not notice when its program ends.
    """

    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, words: Sequence[str], errors: BinaryIO | None = None) -> Self:
        """Start a program; what it complains about goes to a file, or where ours goes."""
        ours, theirs = socket.socketpair()
        sock = cls(ours.family, ours.type, ours.proto, ours.detach())
        with theirs:
            end = theirs.fileno()
            try:
                sock.process = subprocess.Popen(  # noqa: S603 - what the user's settings say
                    words, stdin=end, stdout=end, stderr=errors
                )
            except OSError as error:
                sock.close()
                raise ConfigError(f"{words[0]} cannot be started: {error}") from error
        return sock

    @property
    def has_ended(self) -> bool:
        """True if the program is gone."""
        return self.process is None or self.process.poll() is not None

    def close(self) -> None:
        """Close it, and end the program."""
        super().close()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:  # stopped, or it does not listen
                self.process.kill()
                self.process.wait()

    def abandon(self) -> None:
        """Close it in a forked process: the program belongs to the parent."""
        super().close()
