"""The object that users hold, and what it answers."""

from strax_core.context.context import Context
from strax_core.context.request_options import GetOptions, ShowOptions

__all__ = ["Context", "GetOptions", "ShowOptions"]
