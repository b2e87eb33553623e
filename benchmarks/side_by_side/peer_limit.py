"""The limit: zstd decompression alone, in as many threads as cores, plus one copy to memory."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zstandard
from jobs import Job, Task, Work

BLOCK_BYTES = 1 << 20
LEVEL = 1
Copy = tuple[bytes, int]


def frames_of(task: Task) -> list[Copy]:
    """Return frames of about 1 MiB of each column, and where in the result each belongs."""
    rows = np.load(Path(task.arrays) / f"{task.data}.npy", mmap_mode="r")
    frames = []
    at = 0
    compress = zstandard.ZstdCompressor(level=LEVEL).compress
    for name in rows.dtype.names or ():
        raw = np.ascontiguousarray(rows[name]).tobytes()
        frames += [
            (compress(raw[begin : begin + BLOCK_BYTES]), at + begin)
            for begin in range(0, len(raw), BLOCK_BYTES)
        ]
        at += len(raw)
    return frames


def decompressing(frames: list[Copy], out: memoryview) -> Callable[[int], None]:
    """Return what does every n-th frame."""
    n_threads = os.cpu_count() or 1

    def part(number: int) -> None:
        decompress = zstandard.ZstdDecompressor().decompress
        for stored, at in frames[number::n_threads]:
            raw = decompress(stored)
            out[at : at + len(raw)] = raw

    return part


def load(task: Task) -> Work:
    """Decompress all, and copy it into memory that was not touched before."""
    frames = frames_of(task)
    n_bytes = int(np.load(Path(task.arrays) / f"{task.data}.npy", mmap_mode="r").nbytes)
    n_threads = os.cpu_count() or 1

    def work() -> int:
        out = memoryview(np.empty(n_bytes, np.uint8))  # type: ignore[arg-type]
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(decompressing(frames, out), range(n_threads)))
        return n_bytes

    return work


JOBS: dict[str, Job] = {"load": load}
