"""The object that users hold, and what it answers."""

from strax_core.context.context import Context

__all__ = ["Context"]
