"""The loader: reads one piece of data, checked and decoded into its final place."""

from strax_core.loader.chunk_file import ChunkFile, read_segment
from strax_core.loader.loader import Loader, Watch
from strax_core.loader.report import ReadReport
from strax_core.loader.segments import ReadOptions, never_cancelled

__all__ = [
    "ChunkFile",
    "Loader",
    "ReadOptions",
    "ReadReport",
    "Watch",
    "never_cancelled",
    "read_segment",
]
