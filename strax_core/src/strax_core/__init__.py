"""Find data of runs, load them, make what is missing, keep it: where it lies does not matter."""

import importlib
from typing import TYPE_CHECKING, Any

from strax_core import old_names
from strax_core.backend import Check, Leftover, MemoryBackend, MemoryOptions, StorageBackend
from strax_core.chunks import Chunk, Rechunker
from strax_core.codecs import (
    ALL,
    WHOLE,
    Codec,
    Decoder,
    Encoded,
    EncodedChunk,
    Into,
    RunJobs,
    Segment,
    Selection,
    Whole,
    WholeFileCodec,
    run_here,
)
from strax_core.concurrency import Backoff
from strax_core.context import Context, GetOptions, ShowOptions
from strax_core.data_plugins import MergeOnlyPlugin, Option, Plugin, SaveWhen, takes_config
from strax_core.errors import (
    AccessDenied,
    ChunkError,
    CleanedInPart,
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    NewerFormat,
    ObjectExists,
    ObjectMissing,
    PluginError,
    PluginGaveWrongOutput,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.format import (
    STAGING,
    ChunkInfo,
    DataKey,
    Lineage,
    Metadata,
    decode_run_document,
    encode_run_document,
    metadata_path,
)
from strax_core.frontend import (
    STRICT,
    DirectoryFrontend,
    KeepsCatalogue,
    Location,
    Match,
    Search,
    Searchable,
    State,
    StorageFrontend,
)
from strax_core.loader import Loader, ReadOptions, ReadReport
from strax_core.medium import Buffer, Entry, Medium, checked_path
from strax_core.places import Found, Outcome, Rewritten
from strax_core.saver import ConditionalSaver, RenamingSaver, Saver, SettlingSaver
from strax_core.selection import LoadOptions, Scan, TimeRange

if TYPE_CHECKING:  # for type checkers only; see __getattr__
    from strax_core.config import SecretReference
    from strax_core.storage_plugins import Provided, hookimpl

__all__ = [
    "ALL",
    "STAGING",
    "STRICT",
    "WHOLE",
    "AccessDenied",
    "Backoff",
    "Buffer",
    "Check",
    "Chunk",
    "ChunkError",
    "ChunkInfo",
    "CleanedInPart",
    "Codec",
    "ConditionalSaver",
    "ConfigError",
    "Context",
    "DataCorrupted",
    "DataExistsError",
    "DataKey",
    "DataNotAvailable",
    "Decoder",
    "DirectoryFrontend",
    "Encoded",
    "EncodedChunk",
    "Entry",
    "Found",
    "GetOptions",
    "Into",
    "KeepsCatalogue",
    "Leftover",
    "Lineage",
    "LoadOptions",
    "Loader",
    "Location",
    "Match",
    "Medium",
    "MemoryBackend",
    "MemoryOptions",
    "MergeOnlyPlugin",
    "Metadata",
    "NewerFormat",
    "ObjectExists",
    "ObjectMissing",
    "Option",
    "Outcome",
    "Plugin",
    "PluginError",
    "PluginGaveWrongOutput",
    "Provided",
    "ReadOnlyError",
    "ReadOptions",
    "ReadReport",
    "Rechunker",
    "RenamingSaver",
    "Rewritten",
    "RunJobs",
    "RunMetadataNotAvailable",
    "SaveWhen",
    "Saver",
    "Scan",
    "Search",
    "Searchable",
    "SecretReference",
    "Segment",
    "Selection",
    "SettlingSaver",
    "ShowOptions",
    "State",
    "StorageBackend",
    "StorageError",
    "StorageFrontend",
    "StorageFull",
    "StorageUnavailable",
    "TimeRange",
    "Whole",
    "WholeFileCodec",
    "checked_path",
    "decode_run_document",
    "encode_run_document",
    "hookimpl",
    "metadata_path",
    "run_here",
    "takes_config",
]


_LATE = {  # pluggy and pathlib cost a good part of numpy's import time; only some need these
    "Provided": "strax_core.storage_plugins",
    "SecretReference": "strax_core.config",
    "hookimpl": "strax_core.storage_plugins",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def _show_the_front_door() -> None:
    """What users pickle or see printed names this module, and none behind it.

    Classes that come late say so themselves.
    """
    for name in __all__:
        value = globals().get(name)
        if isinstance(value, type) and value.__module__.startswith("strax_core."):
            value.__module__ = __name__


_show_the_front_door()
old_names.install()
