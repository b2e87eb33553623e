"""What this folder is, and its face."""

from strax_core.loader.loader import Loader

__all__ = ["Loader"]
