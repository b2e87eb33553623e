"""The loader: reads one piece of data, checked and decoded into its final place."""

from strax_core.loader.chunk_file import ChunkFile, read_segment
from strax_core.loader.loader import Loader, Watch
from strax_core.loader.report import ReadReport
from strax_core.loader.segments import GivenUp, Means, nothing

__all__ = [
    "ChunkFile",
    "GivenUp",
    "Loader",
    "Means",
    "ReadReport",
    "Watch",
    "nothing",
    "read_segment",
]
