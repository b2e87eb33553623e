"""One request at work: load what is stored, make what is not, keep what is made, all in streams."""

import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import takewhile
from operator import itemgetter
from typing import Any

import numpy as np

from strax_core.chunk_info import ChunkInfo
from strax_core.chunks import Chunk
from strax_core.computing import computed
from strax_core.errors import ConfigError, DataExistsError, ReadOnlyError, StorageError
from strax_core.keeping import Keeper
from strax_core.loading import Reading, joined, load_chunks, load_rows
from strax_core.metadata import Metadata
from strax_core.planning import Plan, Request
from strax_core.plugin import Plugin, SaveWhen, dependencies, provided
from strax_core.reserving import REFUSALS, open_savers
from strax_core.saver import Saver
from strax_core.saving import Budget, InFlight
from strax_core.sharing import SharedStream
from strax_core.synchronise import Synchroniser, merge_columns, merged_dtype

ATTEMPTS = 3  # to plan, while others store what was to be made
Rows = np.ndarray[Any, np.dtype[Any]]
StreamKey = str | type[Plugin]  # a data type that is loaded, or a data plugin at work


class Pipeline:
    """The streams of one request: one for each data type loaded and each data plugin at work.

    Whatever ends it early discards all that is not yet committed.
    """

    _plan: Plan

    def __init__(self, request: Request) -> None:
        self.request = request
        self._streams: dict[StreamKey, SharedStream[Any]] = {}
        self._savers: dict[str, list[Saver]] = {}
        self._keepers: list[Keeper] = []
        # The last quarter is for reading ahead.
        self._in_flight = InFlight(Budget(request.buffer_bytes * 3 // 4))

    def chunks(self) -> Generator[Chunk, None, None]:
        """Iterate over the chunks of the targets; several, of one kind, are merged by column.

        Raises:
            ConfigError: several targets are of different kinds.
            StorageError: see `Plan`, `load_chunks` and `Keeper`.
            Exception: what a data plugin raised.
        """
        with self._running():
            yield from self._selected()

    def rows(self) -> Rows:
        """Return all rows of the targets as one array; errors as `chunks`."""
        with self._running():
            if self._is_loaded_alone and self._plan.wanted.is_all:
                (target,) = self.request.targets
                return load_rows(self._plan.finder(target), executor=self.request.workers.threads)
            return joined(self._selected(), self._plan.wanted.dtype_of(self._dtype()))

    def drain(self) -> None:
        """Make all targets, for the sake of keeping them; errors as `chunks`."""
        with self._running():
            readers = {target: self._reader(target) for target in self.request.targets}
            reached = dict.fromkeys(readers, -1)
            while readers:
                # The one that is behind, so that few chunks wait for it.
                behind = min(readers, key=reached.__getitem__)
                end_ns = next((chunk.end for chunk in readers[behind]), None)
                if end_ns is None:
                    del readers[behind]
                else:
                    reached[behind] = end_ns

    # Beginning and ending

    @contextmanager
    def _running(self) -> Iterator[None]:
        with ExitStack() as sources:
            try:
                self._plan = self._settled_plan()
                n_readers = self._n_readers()
                for key in (*self._plan.loaded, *self._plan.made):
                    source = self._loaded(key) if isinstance(key, str) else self._made(key)
                    sources.callback(source.close)
                    self._streams[key] = SharedStream(source, n_readers=n_readers[key])
                yield
            except BaseException as error:
                # Before the sources are closed, or savers would hear of that instead of the error.
                self._abort(error)
                raise

    def _settled_plan(self) -> Plan:
        """Plan and open savers; plan again if others stored a target since it was looked for."""
        for attempt in range(ATTEMPTS):
            plan = Plan(self.request)
            stored_since = {
                data_type
                for data_plugin in reversed(plan.made)  # the targets first
                for data_type in provided(data_plugin)
                if not plan.wanted.is_partial and not self._open(plan, data_plugin, data_type)
            }
            if attempt + 1 == ATTEMPTS or stored_since.isdisjoint(self.request.targets):
                break
            self._abort(None)
            self._savers.clear()
        return plan

    def _abort(self, error: BaseException | None) -> None:
        with ExitStack() as everyone:
            for savers in self._savers.values():
                for saver in savers:
                    everyone.callback(saver.abort, error)
            # Last in, first out: the keepers first, for they wait for what is under way.
            for keeper in self._keepers:
                everyone.callback(keeper.abort, error)

    def _n_readers(self) -> Counter[StreamKey]:
        inputs = [
            needed for data_plugin in self._plan.made for needed in dependencies(data_plugin)
        ]
        return Counter(self._key_of(data_type) for data_type in (*inputs, *self.request.targets))

    def _key_of(self, data_type: str) -> StreamKey:
        if data_type in self._plan.loaded:
            return data_type
        return self.request.data_plugins.that_makes(data_type)

    # Streams

    def _reader(self, data_type: str) -> Iterator[Chunk]:
        key = self._key_of(data_type)
        part_of = _itself if key == data_type else itemgetter(data_type)
        return self._streams[key].reader(part_of)

    def _loaded(self, data_type: str) -> Generator[Chunk, None, None]:
        reading = Reading(
            executor=self.request.workers.threads,
            read_ahead_bytes=self.request.buffer_bytes // 4 // len(self._plan.loaded),
            chunks_of=self._chunks_of,
            by_number=self._plan.wanted.chunk_numbers is not None,
        )
        return load_chunks(self._plan.finder(data_type), reading)

    def _chunks_of(self, metadata: Metadata) -> Sequence[ChunkInfo]:
        """The chunks to load: those asked for; all that follow too if they go through anything."""
        wanted = self._plan.wanted
        if not wanted.is_partial:
            return metadata.chunks
        overlapping = wanted.chunks_of(metadata.chunks, where=metadata.place)
        if not overlapping:
            first, last = metadata.chunks[0], metadata.chunks[-1]
            raise ConfigError(
                f"{metadata.place}: the time range {wanted.time_range} lies outside the data, "
                f"which span [{first.start}, {last.end}) ns"
            )
        if self._is_loaded_alone:
            return overlapping
        return metadata.chunks[metadata.chunks.index(overlapping[0]) :]

    def _made(self, data_plugin: type[Plugin]) -> Generator[Mapping[str, Chunk], None, None]:
        instance = self._plan.instances[data_plugin]
        inputs = {needed: self._reader(needed) for needed in dependencies(data_plugin)}
        keepers = {
            data_type: self._keeper(instance, data_type)
            for data_type in provided(data_plugin)
            if self._savers.get(data_type)
        }
        return self._kept(computed(instance, inputs, from_ns=self._from_ns), keepers)

    def _itself(chunk: Chunk) -> Chunk:
    return chunk


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)
