"""Copies stored data from place to place; the copy keeps what the data are, and who made them."""

import os
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from strax_core.asking import Found
from strax_core.chunks import Chunk
from strax_core.codecs import codec_named
from strax_core.errors import ConfigError
from strax_core.frontend import StorageFrontend
from strax_core.keeping import Keeper
from strax_core.keys import DataKey
from strax_core.loading import Find, Reading, all_told, is_same_making, load_chunks
from strax_core.metadata import STRAX_COMPRESSORS, Metadata
from strax_core.reserving import DEFAULT_FOR_UPSTREAM
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
    """Codec; None: the frontend's, else that of the source, if it may stand there."""

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
    reading = Reading(
        executor=executor,
        read_ahead_bytes=buffer_bytes // 4,
        chunks_of=lambda metadata: metadata.chunks,
    )
    tried: list[Metadata] = []
    failures: list[Exception] = []
    for found in find():
        source = found.metadata
        if tried and tried[0].lineage != source.lineage:
            break  # another loose match is something else
        if any(is_same_making(each, source, cut_alike=False) for each in tried):
            continue
        tried.append(source)
        chunks = _readable(load_chunks(_copies_of(found, find), reading))
        try:
            _save(chunks, source, target, executor=executor, buffer_bytes=buffer_bytes * 3 // 4)
        except _Unreadable as error:
            failures.append(error.cause)
        else:
            return
    raise all_told(failures)


class _Unreadable(Exception):  # noqa: N818 - it never leaves this module
    """No copy of one making can be read."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _readable(chunks: Generator[Chunk, None, None]) -> Iterator[Chunk]:
    try:
        yield from chunks
    except Exception as error:
        raise _Unreadable(error) from error


def _copies_of(first: Found, find: Find) -> Find:
    """Return what finds a copy, known already, then the others of the same making."""
    known = [first]

    def copies() -> Iterator[Found]:
        passed = [_where(known.pop())] if known else []
        if passed:
            yield first
        for each in find():
            is_new = _where(each) not in passed
            if is_new and is_same_making(first.metadata, each.metadata, cut_alike=False):
                yield each

    return copies


def _where(found: Found) -> tuple[str, str]:
    return found.place, found.location.backend_key


def _save(
    chunks: Iterator[Chunk],
    source: Metadata,
    target: Target,
    *,
    executor: Executor,
    buffer_bytes: int,
) -> None:
    key = DataKey(source.run_id, source.data_type, source.lineage)
    saver = target.frontend.saver(key, _document(key, source, target), backend=target.backend)
    keeper = Keeper(
        [saver],
        target_bytes=target.chunk_size_bytes,
        executor=executor,
        in_flight=InFlight(Budget(buffer_bytes)),
    )
    try:
        for chunk in chunks:
            keeper.receive(chunk)
        keeper.finish()
    except BaseException as error:
        keeper.abort(error.cause if isinstance(error, _Unreadable) else error)
        raise


def _document(key: DataKey, source: Metadata, target: Target) -> dict[str, Any]:
    compressor = target.compressor or target.frontend.compressor or source.compressor
    is_stated = target.compressor is not None or target.frontend.compressor is not None
    if target.frontend.for_upstream and not is_stated and compressor not in STRAX_COMPRESSORS:
        compressor = DEFAULT_FOR_UPSTREAM
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
