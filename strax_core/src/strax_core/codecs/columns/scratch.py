"""Memory and objects of zstandard that each thread keeps for its next block."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

KEPT_BYTES = 64 << 20
"""More is not kept."""


class Scratch(threading.local):
    """Buffers that a thread works with."""

    def __init__(self) -> None:
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}
        self._arrays: dict[str, npt.NDArray[np.uint64]] = {}
        self.decompressor = zstandard.ZstdDecompressor()

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        """Return a compressor of this level."""
        if level not in self._compressors:
            self._compressors[level] = zstandard.ZstdCompressor(level=level)
        return self._compressors[level]

    def words(self, name: str, size_bytes: int) -> npt.NDArray[np.uint64]:
        """Return memory of this name, of at least this size, with anything in it."""
        n = -(-size_bytes // 8)
        array = self._arrays.get(name)
        if array is None or len(array) < n:
            array = np.empty(n, np.uint64)
            if array.nbytes <= KEPT_BYTES:
                self._arrays[name] = array
        return array


SCRATCH = Scratch()


def address_of(array: Any) -> int:
    """Return where an array, or a buffer, begins in memory."""
    if not isinstance(array, np.ndarray):
        array = np.frombuffer(array, np.uint8)
    address: int = array.__array_interface__["data"][0]
    return address
