"""Storage plugins: the hooks that they answer, and a table of what is installed."""

from strax_core.storage_plugins.discovery import Served, discover
from strax_core.storage_plugins.hookspecs import ENTRY_POINT_GROUP, Provided, hookimpl
from strax_core.storage_plugins.registry import Listed, Registry, default_registry
from strax_core.storage_plugins.requirements import parsed, unmet

__all__ = [
    "ENTRY_POINT_GROUP",
    "Listed",
    "Provided",
    "Registry",
    "Served",
    "default_registry",
    "discover",
    "hookimpl",
    "parsed",
    "unmet",
]
