"""Copies stored data from place to place; the copy keeps what the data are, and who made them."""

import os
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from strax_core.codecs import codec_named
from strax_core.errors import ConfigError
from strax_core.frontend import StorageFrontend
from strax_core.keeping import Keeper
from strax_core.keys import DataKey
from strax_core.loading import Find, Reading, load_chunks
from strax_core.metadata import Metadata
from strax_core.saving import InFlight
from strax_core.tasks import Budget

_KEPT_FIELDS = (
    "data_id",
    "run_id",
    "data_type",
    "data_kind",
    "dtype",
    "lineage",
    "chunk_target_size_mb",
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a copy goes, and in what form."""

    frontend: StorageFrontend
    backend: str | None = None
    """Name of one of its backends; None: the frontend chooses."""
    chunk_size_bytes: int | None = None
    """Size of the copy's chunks, uncompressed; None: chunks as they are."""
    compressor: str | None = None
    """Codec; None: the frontend's, else that of the source."""

    def __post_init__(self) -> None:
        size: object = self.chunk_size_bytes
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ConfigError(f"chunk_size_bytes is {size!r}; give a whole number above 0")


def copy_data(find: Find, target: Target, *, executor: Executor, buffer_bytes: int) -> None:
    """Copy a piece of data, from the next copy if one cannot be read; all or nothing.

    Its key is that of the stored lineage: what was found by a loose match stays what it is.

    Raises:
        DataNotAvailable: nothing is stored.
        DataExistsError, ReadOnlyError: the target has it already, or takes none.
        StorageError: it could not be read from any place, or not be written.
    """
    found = find()
    first = next(found)
    known = [chain([first], found)]
    key = DataKey(first.key.run_id, first.key.data_type, first.metadata.lineage)
    document = _document(key, first.metadata, target)
    saver = target.frontend.saver(key, document, backend=target.backend)
    keeper = Keeper(
        [saver],
        target_bytes=target.chunk_size_bytes,
        executor=executor,
        in_flight=InFlight(Budget(buffer_bytes * 3 // 4)),
    )
    reading = Reading(
        executor=executor,
        read_ahead_bytes=buffer_bytes // 4,
        chunks_of=lambda metadata: metadata.chunks,
    )
    try:
        for chunk in load_chunks(lambda: known.pop() if known else find(), reading):
            keeper.receive(chunk)
        keeper.finish()
    except BaseException as error:
        keeper.abort(error)
        raise


def _document(key: DataKey, source: Metadata, target: Target) -> dict[str, Any]:
    compressor = target.compressor or target.frontend.compressor or source.compressor
    codec_named(compressor)  # refused before anything is written
    document = {name: source[name] for name in _KEPT_FIELDS if source.get(name) is not None}
    if target.chunk_size_bytes is not None:
        document["chunk_target_size_mb"] = target.chunk_size_bytes / 1e6
    return {
        **document,
        "lineage_hash": key.lineage_hash,
        "compressor": compressor,
        "writer": _writer(source),
    }


def _writer(source: Metadata) -> dict[str, Any]:
    """Who copies; and, of the source, what made the rows."""
    import socket

    made_by = source.get("writer")
    kept = made_by if isinstance(made_by, Mapping) else {}
    return {
        **{name: value for name, value in kept.items() if name.startswith("data_plugin_")},
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "copied_from": source.place,
    }
