"""One request: load what is stored, make what is not, keep what is made, all in streams."""

import logging
import warnings
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from strax_core.chunks import Chunk
from strax_core.computing import computed
from strax_core.errors import DataExistsError, DataNotAvailable, ReadOnlyError
from strax_core.keeping import Keeper
from strax_core.keys import DataKey
from strax_core.loading import load_chunks
from strax_core.places import Found, Places
from strax_core.plugin import Plugin, SaveWhen, dependencies, missing_methods
from strax_core.provenance import DataPlugins
from strax_core.reserving import REFUSALS, open_savers
from strax_core.saver import Saver
from strax_core.saving import Budget, InFlight
from strax_core.sharing import SharedStream

_LOG = logging.getLogger("strax_core")
_Plan = dict[str, Iterator[Found] | None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one run of the pipeline is about; a context fills it in."""

    run_id: str
    target: str
    places: Places
    data_plugins: DataPlugins
    defaults: Mapping[str, Any]
    """Of options, for this run."""
    keys: Mapping[str, DataKey]
    """Of the target and all it depends on."""
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
    _instances: Mapping[str, Plugin] = field(default_factory=dict)
    _streams: dict[str, SharedStream[Chunk]] = field(default_factory=dict)
    _n_readers: Counter[str] = field(default_factory=Counter)
    _savers: dict[str, list[Saver]] = field(default_factory=dict)
    _keepers: list[Keeper] = field(default_factory=list)
    _read_ahead_bytes: int = 0

    def __post_init__(self) -> None:
        # The last quarter is for reading ahead.
        self._in_flight = InFlight(Budget(self.request.buffer_bytes * 3 // 4))

    def chunks(self) -> Iterator[Chunk]:
        """Iterate over the target's chunks; what ends this early discards all not yet committed."""
        with ExitStack() as sources:
            try:
                for data_type, copies in self._plan().items():
                    source = self._made(data_type) if copies is None else self._loaded(copies)
                    sources.callback(source.close)
                    self._streams[data_type] = SharedStream(
                        source, n_readers=max(1, self._n_readers[data_type])
                    )
                yield from self._streams[self.request.target].reader()
            except BaseException as error:
                # Before the sources are closed, or savers would hear of that instead of the error.
                self._abort(error)
                raise

    def _abort(self, error: BaseException) -> None:
        with ExitStack() as everyone:
            for saver in chain.from_iterable(self._savers.values()):
                everyone.callback(saver.abort, error)
            # Last in, first out: the keepers first, for they wait for what is under way.
            for keeper in self._keepers:
                everyone.callback(keeper.abort, error)

    def _plan(self) -> _Plan:
        """Find what there is and open savers for the rest, so that every reader is known."""
        plan: _Plan = {}
        self._find(self.request.target, plan)
        made = [data_type for data_type, copies in plan.items() if copies is None]
        if made:
            self._check_can_make(made)
            instances = self.request.data_plugins.instances(
                self.request.target, run_id=self.request.run_id, defaults=self.request.defaults
            )
            self._instances = {
                data_type: instances[data_plugin]
                for data_type, data_plugin in self.request.data_plugins.closure(
                    self.request.target
                ).items()
            }
        for data_type in reversed(made):  # the target first
            if not self._open(data_type) and data_type == self.request.target:
                # Someone else made it since it was looked for.
                copies = self._copies(data_type)
                if copies is not None:
                    plan = {data_type: copies}
                    break
        self._n_readers.update(
            needed
            for data_type, copies in plan.items()
            if copies is None
            for needed in self._needed(data_type)
        )
        n_loads = sum(copies is not None for copies in plan.values())
        self._read_ahead_bytes = self.request.buffer_bytes // 4 // max(1, n_loads)
        return plan

    def _find(self, data_type: str, plan: _Plan) -> None:
        """Enter all needed into the plan, dependencies first: its copies, or None: to be made."""
        if data_type in plan:
            return
        is_wanted_anew = self.request.again and data_type == self.request.target
        copies = None if is_wanted_anew else self._copies(data_type)
        if copies is None:
            for needed in self._needed(data_type):
                self._find(needed, plan)
        plan[data_type] = copies

    def _copies(self, data_type: str) -> Iterator[Found] | None:
        copies = self.request.places.find_all(self.request.keys[data_type])
        try:
            return chain([next(copies)], copies)
        except DataNotAvailable as error:
            _LOG.debug("%s", error)
            return None

    def _needed(self, data_type: str) -> tuple[str, ...]:
        return dependencies(self.request.data_plugins.that_makes(data_type))

    def _check_can_make(self, data_types: Collection[str]) -> None:
        for data_type in data_types:
            data_plugin = self.request.data_plugins.that_makes(data_type)
            if missing := missing_methods(data_plugin):
                raise DataNotAvailable(
                    f"{self.request.keys[data_type]} is not stored in any place of this context, "
                    f"and data plugin {data_plugin.__name__} cannot make it: it has no {missing[0]}"
                )

    def _loaded(self, copies: Iterator[Found]) -> Generator[Chunk, None, None]:
        return load_chunks(
            copies, executor=self.request.executor, read_ahead_bytes=self._read_ahead_bytes
        )

    def _made(self, data_type: str) -> Generator[Chunk, None, None]:
        instance = self._instances[data_type]
        inputs = {needed: self._streams[needed].reader() for needed in self._needed(data_type)}
        chunks = (step[data_type] for step in computed(instance, inputs))
        if not self._savers.get(data_type):
            return chunks
        target_bytes = instance.target_bytes_for(data_type)
        keeper = Keeper(
            self._savers[data_type],
            target_bytes=target_bytes if instance.can_rechunk(data_type) else None,
            executor=self.request.executor,
            in_flight=self._in_flight,
        )
        self._keepers.append(keeper)
        return keeper.keeping(chunks)

    def _open(self, data_type: str) -> bool:
        """Open savers if this data type is to be kept; False if it turns out to be stored already.

        Raises:
            ReadOnlyError: it must be kept, and no place takes it.
            StorageError: no place can take it now.
        """
        is_target = data_type == self.request.target
        if not self._is_kept(data_type):
            if is_target and self.request.must_keep:
                _warn(f"{data_type} is made and not kept: its save_when says so; list it in save=")
            return True
        key, opened = self.request.keys[data_type], self._savers.setdefault(data_type, [])
        again = self.request.again and is_target
        reasons = open_savers(
            self.request.places, key, self._instances[data_type], opened, again=again
        )
        if opened:
            return True
        for reason in reasons:
            if again or not isinstance(reason, REFUSALS):
                raise reason
        if any(isinstance(reason, DataExistsError) for reason in reasons):
            return False
        if is_target and self.request.must_keep:
            raise ReadOnlyError(f"no place of this context takes {data_type}: {key} cannot be kept")
        if is_target:
            _warn(f"no place of this context takes {data_type}: {key} is not kept")
        return True

    def _is_kept(self, data_type: str) -> bool:
        save_when = self._instances[data_type].save_when_for(data_type)
        if save_when == SaveWhen.TARGET and data_type == self.request.target:
            return True
        is_listed = data_type in self.request.save and save_when != SaveWhen.NEVER
        return save_when == SaveWhen.ALWAYS or is_listed


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)
