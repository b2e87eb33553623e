"""Several buffers as one file to read."""

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import Any

from strax_core import Buffer


class Joined(io.RawIOBase):
    """Buffers as one file to read, without a copy of them."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        super().__init__()
        self._views = [view for view in map(_as_bytes, buffers) if view.nbytes]
        self._at = 0
        self.size_bytes = sum(view.nbytes for view in self._views)

    def part(self, start: int, size: int) -> "Joined":
        """Return a stretch of it as a file of its own."""
        views, at = [], 0
        for view in self._views:
            low, high = max(start, at), min(start + size, at + view.nbytes)
            if low < high:
                views.append(view[low - at : high - at])
            at += view.nbytes
        return Joined(views)

    def md5(self) -> str:
        """Return the checksum that a server compares, as its header wants it."""
        digest = hashlib.md5(usedforsecurity=False)
        for view in self._views:
            digest.update(view)
        return base64.b64encode(digest.digest()).decode()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size_bytes}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, out: Any) -> int:
        into = memoryview(out).cast("B")
        at = 0
        for view in self._views:
            if self._at < at + view.nbytes:
                piece = view[self._at - at : self._at - at + into.nbytes]
                into[: piece.nbytes] = piece
                self._at += piece.nbytes
                return piece.nbytes
            at += view.nbytes
        return 0


def _as_bytes(buffer: Buffer) -> memoryview:
    return memoryview(buffer).cast("B")
