"""Copies stored data from place to place; the copy keeps what the data are, and who made them."""

import logging
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from strax_core.arguments import positive_int
from strax_core.backend import StorageBackend
from strax_core.chunks import Chunk
from strax_core.codecs import DEFAULT_FOR_UPSTREAM, codec_named
from strax_core.errors import DataExistsError, ReadOnlyError, StorageError
from strax_core.format import STRAX_COMPRESSORS, DataKey, Metadata
from strax_core.frontend import StorageFrontend
from strax_core.loader import ReadOptions
from strax_core.places.failover import Find, LoadRequest, is_replica, load_chunks, merged_failures
from strax_core.places.found import Found
from strax_core.places.transfer import (
    TransferOptions,
    Unreadable,
    may_move_files,
    move_files,
    store_rows,
)
from strax_core.saver import Saver

_KEPT_FIELDS = (
    "data_id",
    "run_id",
    "data_type",
    "data_kind",
    "dtype",
    "lineage",
    "chunk_target_size_mb",
)

_RECHUNKED = "rechunked_to_bytes"
"""Field of `writer`: for what size of chunks the data were rechunked, after they were made."""

_LOG = logging.getLogger("strax_core")


@dataclass(frozen=True, kw_only=True)
class Target:
    """The place and the form of a copy."""

    frontend: StorageFrontend
    backend: str | None = None
    """Name of one of its backends; None: the frontend chooses."""
    chunk_size_bytes: int | None = None
    """Size of the copy's chunks, uncompressed; None: chunks as they are."""
    compressor: str | None = None
    """Codec; None: the frontend's, else that of the source, if it may stand there."""
    replaces: Found | None = None
    """Data that the copy is to replace, there; None: it replaces nothing that is good."""

    def __post_init__(self) -> None:
        if self.chunk_size_bytes is not None:
            positive_int(self.chunk_size_bytes, "chunk_size_bytes")

    def in_place_of(self, found: Found) -> "Target":
        """Return the same form, for what is to replace this copy where it lies."""
        return replace(self, backend=found.location.backend, replaces=found)

    def compressor_for(self, source: Metadata) -> str:
        """Return the codec that the copy is to have."""
        stated = self.compressor or (None if self.replaces else self.frontend.compressor)
        compressor = stated or source.compressor
        if self.frontend.for_upstream and stated is None and compressor not in STRAX_COMPRESSORS:
            return DEFAULT_FOR_UPSTREAM
        return compressor

    def is_form_of(self, source: Metadata) -> bool:
        """Say whether the source has the form already that the copy is to have."""
        return self.compressor_for(source) == source.compressor and not self._cuts(source)

    def _cuts(self, source: Metadata) -> bool:
        size = self.chunk_size_bytes
        if size is None or writer_of(source).get(_RECHUNKED) == size:
            return False
        # However it is cut, one chunk of no more than the size stays one.
        return len(source.chunks) > 1 or source.chunks[0].nbytes > size


def copy_data(find: Find, target: Target, options: TransferOptions) -> Metadata:
    """Copy a piece of data, from the next copy if one cannot be read; all or nothing.

    Its key is that of the stored lineage: what was found by a loose match stays what it is.

    Returns:
        The metadata of the copy, or of what someone else stored there meanwhile.

    Raises:
        DataNotAvailable: nothing is stored.
        DataExistsError, ReadOnlyError: the target has it already, or takes none.
        StorageError: it could not be read from any place, or not be written.
    """
    tried: list[Metadata] = []
    failures: list[Exception] = []
    for found in find():
        source = found.metadata
        if tried and tried[0].lineage != source.lineage:
            break  # another loose match is something else
        if any(is_replica(each, source, same_chunking=False) for each in tried):
            continue
        tried.append(source)
        if target.is_form_of(source) and may_move_files(source):
            try:
                return _moved(found, target, options)
            except Unreadable as error:
                # Rows can be read on in another copy, from wherever this one fails.
                _LOG.info("the files of %s are not copied as they are: %s", found, error)
        try:
            return _stored_again(found, find, target, options)
        except Unreadable as error:
            failures.append(error.cause)
    raise merged_failures(failures)


def stored_bytes(backend: StorageBackend, folder: str, metadata: Metadata) -> int:
    """Return how large the files of a piece of data are, together.

    Raises:
        StorageError: the folder had to be listed, and could not be.
    """
    infos = [info for info in metadata.chunks if info.filename is not None]
    sizes = [info.filesize for info in infos if info.filesize is not None]
    if len(sizes) < len(infos):  # strax leaves sizes out where other processes wrote
        names = {info.filename for info in infos}
        sizes = [entry.size_bytes for entry in backend.list(folder) if entry.name in names]
    return sum(sizes)


def _moved(found: Found, target: Target, options: TransferOptions) -> Metadata:
    saver = _saver(found, target)
    try:
        move_files(found.loader(), saver, options)
        return _committed(saver, target)
    except BaseException as error:
        # Without a note, if the source failed: it is tried once more, in another way.
        _abort(saver, None if isinstance(error, Unreadable) else error)
        raise


def _stored_again(found: Found, find: Find, target: Target, options: TransferOptions) -> Metadata:
    saver = _saver(found, target)
    quarter = replace(options, buffer_bytes=max(1, options.buffer_bytes // 4))
    request = LoadRequest(
        options=ReadOptions(executor=options.executor),
        read_ahead_bytes=quarter.buffer_bytes,
        chunks_of=lambda metadata: metadata.chunks,
    )
    chunks = _readable(load_chunks(_copies_of(found, find), request))
    writing = replace(options, buffer_bytes=max(1, options.buffer_bytes - quarter.buffer_bytes))
    try:
        store_rows(chunks, found.metadata, saver, writing, chunk_size_bytes=target.chunk_size_bytes)
        return _committed(saver, target)
    except BaseException as error:
        _abort(saver, error.cause if isinstance(error, Unreadable) else error)
        raise


def _readable(chunks: Generator[Chunk, None, None]) -> Iterator[Chunk]:
    try:
        yield from chunks
    except Exception as error:
        raise Unreadable(error) from error


def _copies_of(first: Found, find: Find) -> Find:
    """Return what finds a copy, known already, then the others of the same making."""
    known = [first]

    def copies() -> Iterator[Found]:
        passed = [_where(known.pop())] if known else []
        if passed:
            yield first
        for each in find():
            is_new = _where(each) not in passed
            if is_new and is_replica(first.metadata, each.metadata, same_chunking=False):
                yield each

    return copies


def _where(found: Found) -> tuple[str, str]:
    return found.place, found.location.backend_key


def _saver(found: Found, target: Target) -> Saver:
    source = found.metadata
    # Not by the stored lineage, if it is the one asked for: JSON has made texts of numeric keys.
    exact = found.key if found.is_exact else None
    key = exact or DataKey(source.run_id, source.data_type, source.lineage)
    document = _document(key, source, target)
    overwrite = "always" if target.replaces else None
    saver = target.frontend.saver(key, document, backend=target.backend, overwrite=overwrite)
    if target.replaces is not None and saver.backend_key != target.replaces.location.backend_key:
        saver.abort()
        raise ReadOnlyError(
            f"{saver.metadata.place} is where {target.frontend.name} keeps {key} now, not "
            f"{source.place}: copy it, and remove the old copy"
        )
    return saver


def _committed(saver: Saver, target: Target) -> Metadata:
    """Commit what was read back and found good, unless the data to be replaced changed meanwhile.

    Raises:
        DataExistsError: they did; or good data stand there, and may not be replaced.
    """
    read_back = saver.before_commit

    def before_commit(written: Metadata) -> None:
        read_back(written)
        if target.replaces is not None:
            _check_unchanged(target.replaces)

    saver.before_commit = before_commit
    try:
        return saver.commit()
    except DataExistsError as error:
        if target.replaces is not None or not saver.is_superseded():
            raise
        # Someone else brought the same data meanwhile: they are there, which was the aim.
        _LOG.info("%s", error)
        saver.abort()
        return saver.metadata


def _check_unchanged(replaced: Found) -> None:
    """Refuse to replace data that are not those that were read."""
    location = replaced.location
    now = replaced.frontend.backends[location.backend].get_metadata(location.backend_key)
    if dict(now) != dict(replaced.metadata):
        raise DataExistsError(
            f"{now.place}: the data were replaced by others while they were copied; "
            "nothing was changed"
        )


def _abort(saver: Saver, error: BaseException | None) -> None:
    try:
        saver.abort(error)
    except StorageError:  # the first error is the one to tell
        _LOG.exception("%r could not be aborted", saver)


def _document(key: DataKey, source: Metadata, target: Target) -> dict[str, Any]:
    compressor = target.compressor_for(source)
    codec_named(compressor)  # refused before anything is written
    document = {name: source[name] for name in _KEPT_FIELDS if source.get(name) is not None}
    if target.chunk_size_bytes is not None:
        document["chunk_target_size_mb"] = target.chunk_size_bytes / 1e6
    return {
        **document,
        "lineage_hash": key.lineage_hash,
        "compressor": compressor,
        "writer": _writer(source, target),
    }


def writer_of(metadata: Metadata) -> Mapping[str, Any]:
    """Return what metadata say of their writer; strax says nothing."""
    writer = metadata.get("writer")
    return writer if isinstance(writer, Mapping) else {}


def _writer(source: Metadata, target: Target) -> dict[str, Any]:
    """Return the `writer` entry of a copy: this process, and what made and cut the source."""
    import socket

    kept = {
        name: value
        for name, value in writer_of(source).items()
        if name.startswith("data_plugin_") or name == _RECHUNKED
    }
    if target.chunk_size_bytes is not None:
        kept[_RECHUNKED] = target.chunk_size_bytes
    return {
        **kept,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "copied_from": source.place,
    }
