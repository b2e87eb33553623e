"""One request at work: load what is stored, make what is not, keep what is made, all in streams."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar, cast

from strax_core.chunks import Aligner, Chunk, Rows, merge_columns, recut
from strax_core.codecs import Out
from strax_core.concurrency import Budget, Cancelled, InFlight, Queue
from strax_core.data_plugins import Plugin, dependencies, provided
from strax_core.errors import ConfigError, DataNotAvailable
from strax_core.format import ChunkInfo, Metadata
from strax_core.loader import ReadOptions
from strax_core.places import LoadRequest, joined, joined_columns, load_chunks, load_rows
from strax_core.processing.compute import Ahead, computed
from strax_core.processing.dispatcher import Dispatcher
from strax_core.processing.fused_task import Done, Failed, FusedStage
from strax_core.processing.fusion import FusedStages, fused_stages
from strax_core.processing.open_savers import open_savers_of
from strax_core.processing.plan import Plan
from strax_core.processing.progress_bar import Piece, Some, progress
from strax_core.processing.request import Request
from strax_core.processing.saver_group import SaverGroup
from strax_core.processing.shared_stream import SharedStream
from strax_core.saver import Saver
from strax_core.selection import WHOLE_ROWS, Query, Scan

ATTEMPTS = 3  # to plan, while others store what was to be made
Item = TypeVar("Item")
# A data type that is loaded, a data plugin at work here, or a line of them elsewhere.

StreamKey = str | type[Plugin] | FusedStage


class Pipeline:
    """The streams of one request: one for each data type loaded and each data plugin at work.

    Whatever ends it early discards all that is not yet committed.
    """

    _plan: Plan

    def __init__(self, request: Request) -> None:
        self.request = request
        self._streams: dict[StreamKey, SharedStream[Any]] = {}
        self._savers: dict[str, list[Saver]] = {}
        self._keepers: list[SaverGroup] = []
        self._dispatchers: list[Dispatcher] = []
        self._lines: FusedStages = {}
        # The last quarter is for reading ahead.
        self._in_flight = InFlight(Budget(request.buffer_bytes * 3 // 4))

    def chunks(self) -> Generator[Chunk, None, None]:
        """Iterate over the chunks of the targets; several, of one kind, are merged by column.

        Raises:
            ConfigError: several targets are of different kinds.
            StorageError: see `Plan`, `load_chunks` and `SaverGroup`.
            Exception: what a data plugin raised.
        """
        with self._running():
            yield from self._selected()

    def rows(self) -> Rows:
        """Return all rows of the targets as one array; errors as `chunks`."""
        return cast("Rows", self._all(as_columns=False))

    def columns(self) -> dict[str, Rows]:
        """Return one contiguous array for each column of the targets; errors as `chunks`."""
        return cast("dict[str, Rows]", self._all(as_columns=True))

    def _all(self, *, as_columns: bool) -> Out:
        for attempt in range(ATTEMPTS):
            with self._running():
                # A user's condition must not be taken for a failure of the place.
                if not self._is_loaded_alone or self._plan.query.where:
                    dtype = self._plan.rows_dtype()
                    join = joined_columns if as_columns else joined
                    return join(self._selected(), dtype)
                target = self.request.targets[0]
                try:
                    return load_rows(
                        self._plan.finder(target),
                        self._reading(target),
                        as_columns=as_columns,
                        watch=self._watched,
                    )
                except DataNotAvailable:  # removed since it was found: plan again
                    if attempt + 1 == ATTEMPTS:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def drain(self) -> None:
        """Make all targets, for the sake of keeping them; errors as `chunks`."""
        with self._running(wants_rows=False):
            readers = {
                target: self._streams[self._key_of(target)].reader(partial(_piece_of, target))
                for target in self.request.targets
            }
            if len(readers) == 1:
                ((target, pieces),) = readers.items()
                readers[target] = self._watched(pieces)
            reached = dict.fromkeys(readers, -1)
            while readers:
                # The one that is behind, so that few chunks wait for it.
                behind = min(readers, key=reached.__getitem__)
                piece = next(readers[behind], None)
                if piece is None:
                    del readers[behind]
                else:
                    reached[behind] = piece.end

    # Beginning and ending

    @contextmanager
    def _running(self, *, wants_rows: bool = True) -> Iterator[None]:
        with ExitStack() as sources:
            try:
                self._plan = self._settled_plan(wants_rows=wants_rows)
                if self.request.workers.elsewhere is not None:
                    self._lines = fused_stages(self._plan, self._savers)
                n_readers = self._n_readers()
                self._export(wants_rows=wants_rows)
                for key in dict.fromkeys(
                    (*self._plan.loaded, *map(self._key_of_class, self._plan.made))
                ):
                    if n_readers[key]:
                        source = self._source(key)
                        sources.callback(source.close)
                        self._streams[key] = SharedStream(
                            map(self._unless_cancelled, source), n_readers=n_readers[key]
                        )
                yield
            except BaseException as error:
                # Before the sources are closed, or savers would hear of that instead of the error.
                self._abort(None if isinstance(error, Cancelled) else error)
                raise

    def _settled_plan(self, *, wants_rows: bool) -> Plan:
        """Plan and open savers; plan again if others stored a target since it was looked for."""
        for attempt in range(ATTEMPTS):
            plan = Plan(replace(self.request, missing=frozenset()) if attempt else self.request)
            if wants_rows:
                plan.rows_dtype()  # raises now what would else be found out after much work
            stored_since = open_savers_of(plan, self._savers) if plan.made else set[str]()
            if attempt + 1 == ATTEMPTS or stored_since.isdisjoint(self.request.targets):
                break
            for saver in chain.from_iterable(self._savers.values()):
                saver.abort()
            self._savers.clear()
        return plan

    def _abort(self, error: BaseException | None) -> None:
        with ExitStack() as everyone:
            for savers in self._savers.values():
                for saver in savers:
                    everyone.callback(saver.abort, error)
            # Last in, first out: first those that wait for what is under way.
            for keeper in self._keepers:
                everyone.callback(keeper.abort, error)
            for dispatcher in self._dispatchers:
                everyone.callback(dispatcher.end)

    def _inputs_from_outside(self) -> list[str]:
        """What each data plugin reads from a stream; a line reads its inputs by itself."""
        return [
            needed
            for data_plugin in self._plan.made
            for needed in dependencies(data_plugin)
            if data_plugin not in self._lines
        ]

    def _n_readers(self) -> Counter[StreamKey]:
        wanted = (*self._inputs_from_outside(), *self.request.targets)
        return Counter(self._key_of(data_type) for data_type in wanted)

    def _export(self, *, wants_rows: bool) -> None:
        """Have the rows of lines sent here that are wanted here."""
        targets = self.request.targets if wants_rows else ()
        for data_type in (*self._inputs_from_outside(), *targets):
            key = self._key_of(data_type)
            if isinstance(key, FusedStage):
                key.exported.add(data_type)

    def _key_of(self, data_type: str) -> StreamKey:
        if data_type in self._plan.loaded:
            return data_type
        return self._key_of_class(self.request.data_plugins.that_makes(data_type))

    def _key_of_class(self, data_plugin: type[Plugin]) -> StreamKey:
        return self._lines.get(data_plugin, data_plugin)

    # Streams

    def _reader(self, data_type: str) -> Iterator[Chunk]:
        key = self._key_of(data_type)

        def part_of(item: Any) -> Chunk:
            chunk: Chunk = item if key == data_type else _chunks_in(item)[data_type]
            return chunk

        return self._streams[key].reader(part_of)

    def _source(self, key: StreamKey) -> Generator[Any, None, None]:
        if isinstance(key, str):
            return self._loaded(key)
        return self._made_elsewhere(key) if isinstance(key, FusedStage) else self._made(key)

    def _loaded(self, data_type: str) -> Generator[Chunk, None, None]:
        return load_chunks(self._plan.finder(data_type), self._reading(data_type))

    def _reading(self, data_type: str) -> LoadRequest:
        return LoadRequest(
            options=ReadOptions(
                executor=self.request.workers.threads,
                report=self.request.report,
                check_cancelled=self._check_cancelled,
            ),
            read_ahead_bytes=self.request.buffer_bytes // 4 // len(self._plan.loaded),
            chunks_of=self._chunks_of,
            by_number=self._plan.query.chunk_numbers is not None,
            scan=self._scan(data_type),
        )

    def _scan(self, data_type: str) -> Scan:
        """What is read of a data type: all that a data plugin may want, else what is asked for."""
        if data_type in self._inputs_from_outside():
            return WHOLE_ROWS
        if self._is_loaded_alone:
            cuts = self.request.chunk_size_bytes is not None
            return self._plan.query.scan(self._plan.full_dtype(), with_times=cuts)
        return self._plan.scan_to_merge(data_type)

    def _chunks_of(self, metadata: Metadata) -> Sequence[ChunkInfo]:
        """The chunks to load: those asked for; all that follow too if they go through anything."""
        query = self._plan.query
        if not query.is_partial:
            return metadata.chunks
        overlapping = query.chunks_of(metadata.chunks, where=metadata.place)
        if not overlapping:
            first, last = metadata.chunks[0], metadata.chunks[-1]
            asked = (
                "the data" if query.chunk_numbers is None else "the chunks of the data asked for"
            )
            raise ConfigError(
                f"{metadata.place}: the time range {query.time_range} lies outside {asked}, "
                f"which span [{first.start}, {last.end}) ns since the Unix epoch; "
                "seconds_range counts in s from the run's start"
            )
        if self._is_loaded_alone:
            return overlapping
        return metadata.chunks[metadata.chunks.index(overlapping[0]) :]

    def _made(self, data_plugin: type[Plugin]) -> Generator[Mapping[str, Chunk], None, None]:
        instance = self._plan.instances[data_plugin]
        inputs = {needed: self._reader(needed) for needed in dependencies(data_plugin)}
        workers = self.request.workers
        ahead = Ahead(workers.threads, workers.n_threads, self._in_flight.budget)
        steps = computed(instance, inputs, from_ns=self._from_ns, ahead=ahead)
        return self._kept(steps, self._keepers_of(instance, rechunks=True))

    def _made_elsewhere(self, line: FusedStage) -> Generator[Done, None, None]:
        keepers: dict[str, SaverGroup] = {}
        for instance in line.instances:
            keepers |= self._keepers_of(instance, rechunks=False)
        workers = self.request.workers
        if workers.elsewhere is None:
            raise AssertionError("there are no lines without an elsewhere")
        queue = Queue[Done | Failed](
            n_max=2 * workers.n_elsewhere,
            budget=self._in_flight.budget,
            nbytes_of=lambda done: done.nbytes,
            nbytes_first=None if line.exported else 0,
        )
        dispatcher = Dispatcher(line, keepers, elsewhere=workers.elsewhere, queue=queue)
        self._dispatchers.append(dispatcher)
        return dispatcher.steps()

    def _keepers_of(self, instance: Plugin, *, rechunks: bool) -> dict[str, SaverGroup]:
        keepers: dict[str, SaverGroup] = {}
        for data_type in provided(type(instance)):
            if self._savers.get(data_type):
                is_cut = rechunks and instance.can_rechunk(data_type)
                keepers[data_type] = SaverGroup(
                    self._savers[data_type],
                    target_bytes=instance.target_bytes_for(data_type) if is_cut else None,
                    executor=self.request.workers.threads,
                    in_flight=self._in_flight,
                )
        self._keepers.extend(keepers.values())
        return keepers

    def _kept(
        self, steps: Generator[dict[str, Chunk], None, None], keepers: Mapping[str, SaverGroup]
    ) -> Generator[Mapping[str, Chunk], None, None]:
        """Pass steps through while they are kept; only their end commits."""
        with closing(steps):
            for step in steps:
                for data_type, keeper in keepers.items():
                    keeper.receive(step[data_type])
                yield step
        for keeper in keepers.values():
            keeper.finish()

    def _unless_cancelled(self, item: Item) -> Item:
        self._check_cancelled()
        return item

    def _check_cancelled(self) -> None:
        if self.request.stop is not None and self.request.stop.is_set():
            raise Cancelled(f"run {self.request.run_id} was cancelled, for another one failed")

    # What the user gets

    @property
    def _is_loaded_alone(self) -> bool:
        return len(self.request.targets) == 1 and not self._plan.made

    @property
    def _from_ns(self) -> int | None:
        """Before when rows are of no interest: the start of the time range, or of the data."""
        if self._plan.query.time_range is None:
            return None
        starts = [found.metadata.chunks[0].start for found in self._plan.loaded.values()]
        return max(self._plan.query.time_range[0], min(starts))

    def _selected(self) -> Iterator[Chunk]:
        query = self._plan.query
        chunks = self._merged()
        if query.time_range is not None and not self._is_loaded_alone:
            chunks = query.chunks_within(chunks)
        chunks = self._watched(chunks)
        dtype = self._plan.full_dtype()
        rest = query.after_scan(dtype) if self._is_loaded_alone else query.resolved(dtype)
        if self.request.chunk_size_bytes is None:
            return chunks if rest.is_all else map(rest.chunk_of, chunks)
        # Cut while the times are there, which may not be asked for.
        columns = Query(columns=rest.columns)
        n_rows = self.request.chunk_size_bytes / max(1, columns.dtype_of(dtype).itemsize)
        selected = map(replace(rest, columns=None).chunk_of, chunks)
        return map(columns.chunk_of, recut(selected, n_rows))

    def _watched(self, chunks: Iterator[Some]) -> Iterator[Some]:
        title = f"{self.request.run_id} {', '.join(self.request.targets)}"
        span_ns = self._plan.span_ns
        return progress(chunks, show=self.request.progress, title=title, span_ns=span_ns)

    def _merged(self) -> Iterator[Chunk]:
        targets = self.request.targets
        if len(targets) == 1:
            return self._reader(targets[0])
        readers = {target: self._reader(target) for target in targets}
        steps = Aligner(readers, who=f"run {self.request.run_id}", from_ns=self._from_ns)
        return map(self._merge, steps)

    def _merge(self, step: Mapping[str, Chunk]) -> Chunk:
        first = next(iter(step.values()))
        return Chunk(
            start=first.start,
            end=first.end,
            data=merge_columns(step, kind=self._plan.kind_of(self.request.targets[0])),
            run_id=first.run_id,
            data_type=",".join(step),
        )


def _chunks_in(item: Mapping[str, Chunk] | Done) -> Mapping[str, Chunk]:
    return item.chunks if isinstance(item, Done) else item


def _piece_of(data_type: str, item: Chunk | Mapping[str, Chunk] | Done) -> Piece:
    """What there is to tell of a chunk that nobody wants to have."""
    if isinstance(item, Done):
        return Piece(item.start, item.end, item.nbytes)
    chunk = item if isinstance(item, Chunk) else item[data_type]
    return Piece(chunk.start, chunk.end, chunk.nbytes)
