"""One request: load what is stored, make what is not, keep what is made, all in streams."""

import itertools
import logging
import os
import platform
import secrets
import socket
import warnings
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from strax_core.chunks import Chunk
from strax_core.computing import computed
from strax_core.errors import (
    ConfigError,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    StorageError,
)
from strax_core.keeping import Keeper
from strax_core.keys import DataKey
from strax_core.metadata import dtype_text
from strax_core.places import Found, Places
from strax_core.plugin import Plugin, SaveWhen, dependencies
from strax_core.saver import Saver

DEFAULT_COMPRESSOR = "zstd"
_LOG = logging.getLogger("strax_core")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one run of the pipeline is about; a context fills it in."""

    target: str
    places: Places
    keys: Mapping[str, DataKey]
    """Of the target and all it depends on."""
    instances: Mapping[str, Plugin]
    save: Collection[str] = ()
    executor: Executor | None = None
    buffer_bytes: int = 512 << 20
    again: bool = False
    """Make the target even if it is stored, and replace what is stored."""
    must_keep: bool = False
    """Having nowhere to write is an error, not a warning."""


@dataclass
class Pipeline:
    """The streams of one request, of which each data type has one, shared by all that need it."""

    request: Request
    _streams: dict[str, Iterator[Chunk]] = field(default_factory=dict)
    _sources: list[Iterator[Chunk]] = field(default_factory=list)
    _keepers: list[Keeper] = field(default_factory=list)

    def chunks(self) -> Iterator[Chunk]:
        """Iterate over the target's chunks; whatever ends this early discards what is not committed."""
        try:
            yield from self._stream(self.request.target)
        except BaseException as error:
            for keeper in self._keepers:
                keeper.abort(error)
            raise
        finally:
            for source in reversed(self._sources):
                close = getattr(source, "close", None)
                if close is not None:
                    close()

    def _stream(self, data_type: str) -> Iterator[Chunk]:
        """Return a reader of this data type; readers share one source, which runs once."""
        if data_type not in self._streams:
            found = self._find(data_type)
            source = self._make(data_type) if found is None else self._load(found)
            self._sources.append(source)
            self._streams[data_type] = source
        self._streams[data_type], reader = itertools.tee(self._streams[data_type])
        return reader

    def _find(self, data_type: str) -> Found | None:
        if self.request.again and data_type == self.request.target:
            return None
        try:
            return self.request.places.find(self.request.keys[data_type])
        except DataNotAvailable:
            return None

    def _load(self, found: Found) -> Iterator[Chunk]:
        return found.loader().chunks(
            executor=self.request.executor, read_ahead_bytes=self.request.buffer_bytes // 8
        )

    def _make(self, data_type: str) -> Iterator[Chunk]:
        instance = self.request.instances[data_type]
        inputs = {needed: self._stream(needed) for needed in dependencies(type(instance))}
        chunks = computed(instance, inputs)
        if not self._is_kept(data_type, instance):
            return chunks
        savers = self._savers(data_type, instance)
        if not savers:
            return chunks
        keeper = Keeper(
            savers,
            target_bytes=int(instance.chunk_target_size_mb * 1e6)
            if instance.rechunk_on_save
            else None,
            executor=self.request.executor,
            in_flight_bytes=self.request.buffer_bytes // 4,
        )
        self._keepers.append(keeper)
        return keeper.keeping(chunks)

    def _is_kept(self, data_type: str, instance: Plugin) -> bool:
        is_listed = data_type in self.request.save
        if instance.save_when == SaveWhen.NEVER and is_listed:
            raise ConfigError(f"{data_type} is never saved (save_when), but is listed in save")
        if data_type == self.request.target and instance.save_when == SaveWhen.TARGET:
            return True
        return instance.save_when == SaveWhen.ALWAYS or is_listed

    def _savers(self, data_type: str, instance: Plugin) -> list[Saver]:
        """Open a saver in every place that takes this data type; a place that fails is reported."""
        key = self.request.keys[data_type]
        overwrite = "always" if self.request.again and data_type == self.request.target else None
        savers: list[Saver] = []
        failure: StorageError | None = None
        metadata = first_metadata(key, instance)
        for frontend in self.request.places:
            metadata["compressor"] = (
                frontend.compressor or instance.compressor or DEFAULT_COMPRESSOR
            )
            try:
                savers.append(frontend.saver(key, metadata, overwrite=overwrite))
            except (ReadOnlyError, DataExistsError) as error:
                _LOG.debug("%s is not kept in %s: %s", key, frontend.name, error)
            except StorageError as error:
                _LOG.warning("%s is not kept in %s: %s", key, frontend.name, error)
                failure = failure or error
        if not savers and failure is not None:
            raise failure
        if not savers and self.request.must_keep and data_type == self.request.target:
            raise ReadOnlyError(
                f"no place of this context takes {data_type}, so {key} cannot be kept"
            )
        if not savers:
            warnings.warn(
                f"no place of this context takes {data_type}: {key} is not kept", stacklevel=2
            )
        return savers


def first_metadata(key: DataKey, instance: Plugin) -> dict[str, Any]:
    """Return what is known of a piece of data before its first chunk, wherever it is kept."""
    return {
        "data_id": secrets.token_hex(8),
        "run_id": key.run_id,
        "data_type": key.data_type,
        "data_kind": instance.data_kind,
        "dtype": dtype_text(instance.dtype),
        "lineage": key.lineage.as_json(),
        "lineage_hash": key.lineage_hash,
        "chunk_target_size_mb": instance.chunk_target_size_mb,
        "writer": {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "python": platform.python_version(),
            "strax_core": _own_version(),
            "data_plugin_module": type(instance).__module__,
        },
    }


@cache
def _own_version() -> str:
    try:
        return version("strax-core")
    except PackageNotFoundError:
        return "unknown"
