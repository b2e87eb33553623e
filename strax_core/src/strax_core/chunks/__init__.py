"""What this folder is, and its face."""

from strax_core.chunks.chunk import Chunk

__all__ = ["Chunk"]
