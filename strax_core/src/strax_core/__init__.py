"""Find data of runs, load them, make what is missing, keep it: where it lies does not matter."""

from typing import TYPE_CHECKING, Any

from strax_core import old_names
from strax_core.backend import Check, MemoryBackend, MemoryOptions, StorageBackend
from strax_core.chunks import Chunk, Rechunker
from strax_core.codecs import (
    ALL,
    WHOLE,
    Codec,
    Decoder,
    Encoded,
    Into,
    Segment,
    Selection,
    WholeFileCodec,
)
from strax_core.context import Context
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
from strax_core.frontend import STRICT, DirectoryFrontend, Location, Match, State, StorageFrontend
from strax_core.loader import Loader, ReadReport
from strax_core.medium import Buffer, Entry, checked_path
from strax_core.saver import ConditionalSaver, RenamingSaver, Saver, SettlingSaver

if TYPE_CHECKING:  # for type checkers only; see __getattr__
    from strax_core.config import SecretReference
    from strax_core.storage_plugins import Provided, hookimpl

__all__ = [
    "ALL",
    "STAGING",
    "STRICT",
    "WHOLE",
    "AccessDenied",
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
    "Entry",
    "Into",
    "Lineage",
    "Loader",
    "Location",
    "Match",
    "MemoryBackend",
    "MemoryOptions",
    "MergeOnlyPlugin",
    "Metadata",
    "NewerFormat",
    "ObjectExists",
    "ObjectMissing",
    "Option",
    "Plugin",
    "PluginError",
    "PluginGaveWrongOutput",
    "Provided",
    "ReadOnlyError",
    "ReadReport",
    "Rechunker",
    "RenamingSaver",
    "RunMetadataNotAvailable",
    "SaveWhen",
    "Saver",
    "SecretReference",
    "Segment",
    "Selection",
    "SettlingSaver",
    "State",
    "StorageBackend",
    "StorageError",
    "StorageFrontend",
    "StorageFull",
    "StorageUnavailable",
    "WholeFileCodec",
    "checked_path",
    "decode_run_document",
    "encode_run_document",
    "hookimpl",
    "metadata_path",
    "takes_config",
]


def __getattr__(name: str) -> Any:
    # pluggy and pathlib cost a good part of numpy's import time, and only storage plugins need
    # these.
    if name in {"Provided", "hookimpl"}:
        from strax_core.storage_plugins import hookspecs

        return getattr(hookspecs, name)
    if name == "SecretReference":
        from strax_core.config import secret as secret_reference

        return secret_reference.SecretReference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
