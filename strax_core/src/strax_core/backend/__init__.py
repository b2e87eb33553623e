"""Role 2, the backend: moves bytes under paths, loads pieces of data and creates savers."""

from strax_core.backend.backend import StorageBackend
from strax_core.backend.checks import Check
from strax_core.backend.clean import clean
from strax_core.backend.leftovers import Leftover
from strax_core.backend.memory import MemoryBackend, MemoryOptions

__all__ = ["Check", "Leftover", "MemoryBackend", "MemoryOptions", "StorageBackend", "clean"]
