"""The body of a request: several buffers as one file to read."""

import base64
import hashlib
import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from strax_core import Buffer

PIECE_BYTES = 1 << 20


class Joined:
    """Buffers as one file to read, without a copy of all of them."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        self._views = [view for view in views if view.nbytes]
        *self._starts, self.size_bytes = accumulate(
            (view.nbytes for view in self._views), initial=0
        )
        self._at = 0

    def part(self, start: int, size: int) -> "Joined":
        """Return a stretch of it as a file of its own."""
        return Joined(self._between(start, min(start + size, self.size_bytes)))

    def md5(self) -> str:
        """Return the checksum that a server compares, as its header wants it."""
        digest = hashlib.md5(usedforsecurity=False)
        for view in self._views:
            digest.update(view)
        return base64.b64encode(digest.digest()).decode()

    def read(self, size: int = -1) -> Buffer:
        """Return what comes next: `size` bytes, or more if that is little.

        boto3 asks for 16 KiB, and sends at once what it gets: that would be slow.
        """
        end = self.size_bytes if size < 0 else self._at + max(size, PIECE_BYTES)
        pieces = self._between(self._at, min(end, self.size_bytes))
        self._at += sum(piece.nbytes for piece in pieces)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size_bytes}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def _between(self, start: int, end: int) -> list[memoryview]:
        pieces = []
        number = bisect_right(self._starts, start) - 1
        while start < end:
            at = start - self._starts[number]
            pieces.append(self._views[number][at : at + end - start])
            start += pieces[-1].nbytes
            number += 1
        return pieces
