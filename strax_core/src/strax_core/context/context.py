"""The object that users hold: asked for data by name, it finds them, or makes and keeps them."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from strax_core.arguments import names
from strax_core.chunks import Chunk, Rows, stacked, stacked_columns
from strax_core.concurrency import BUFFER_BYTES, RUNS_AT_ONCE, Workers, for_each_run, workers
from strax_core.context.data_frame import (
    columns_with_run_id,
    data_frame,
    imported_pandas,
    with_run_id,
)
from strax_core.context.request_options import (
    GetOptions,
    RequestOptions,
    ShowOptions,
    request_options,
)
from strax_core.context.upkeep import Upkeep
from strax_core.data_plugins import DataPlugins, Plugin, data_plugins_in
from strax_core.errors import ConfigError
from strax_core.format import check_run_id
from strax_core.frontend import Match
from strax_core.places import Places
from strax_core.processing import Pipeline, Request
from strax_core.selection import LoadOptions

if TYPE_CHECKING:  # pandas is not needed by those who ask for no table
    import pandas as pd


StorageSpec = Any  # a path, a URL, a table, a name in strax.toml, or a frontend
DEFAULT_STORAGE = "./strax_data"
RunIds = str | Sequence[str]
Names = str | Sequence[str]
Answer = TypeVar("Answer")


class Context(Upkeep):
    """Data plugins, their options, and the places where data are kept. Usable from several threads.

    Args:
        storage: one or several of: a path, a URL, a dictionary, a name in ``strax.toml``, a
            frontend. Left out: ``./strax_data``; ``[]``: none.
        plugins: data plugins to register.
        config: values of their options.
        fuzzy_for: data types whose part of a lineage may differ, if nothing matches exactly.
        fuzzy_for_options: options that may differ, if nothing matches exactly.
        allow_incomplete: load what is still being written, if nothing complete is there.
        use_per_run_defaults: let ``strax_defaults`` in a run's document stand for the defaults of
            options.
        forbid_creation_of: data types that are only loaded, never made; ``"*"``: all.
        buffer_bytes: about how many bytes of rows one request may hold at once.

    Raises:
        ConfigError, PluginError: a place or data plugin cannot be used.
    """

    def __init__(
        self,
        storage: StorageSpec | Sequence[StorageSpec] | None = None,
        plugins: type[Plugin] | Iterable[type[Plugin]] = (),
        config: Mapping[str, Any] | None = None,
        *,
        fuzzy_for: Names = (),
        fuzzy_for_options: Names = (),
        allow_incomplete: bool = False,
        use_per_run_defaults: bool = False,
        forbid_creation_of: Names = (),
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        from strax_core.config import open_storage

        specs = _listed(DEFAULT_STORAGE if storage is None else storage)
        super().__init__(
            Places(open_storage(spec) for spec in specs),
            DataPlugins(_listed(plugins), config),
            match=Match(fuzzy_for, fuzzy_for_options, allow_incomplete),
            use_per_run_defaults=use_per_run_defaults,
            forbidden=names(forbid_creation_of, "forbid_creation_of"),
            buffer_bytes=buffer_bytes,
        )

    @classmethod
    def from_config(cls, name: str, *, path: str | os.PathLike[str] | None = None) -> "Context":
        """Open the context called ``[context.NAME]`` in ``strax.toml``.

        Args:
            name: of the context.
            path: the file; left out: ``$STRAX_CONFIG``, else ``strax.toml`` here or in the nearest
                folder above, else in the user's config folder.

        Raises:
            ConfigError: no such file or name, or something in it that cannot be.
        """
        from strax_core.config import load_settings, open_storage

        settings = load_settings(path)
        found = settings.context(name)
        specs = (DEFAULT_STORAGE,) if found.storage is None else found.storage
        return cls(
            [open_storage(spec, settings=settings, from_file=True) for spec in specs],
            plugins=[each for module in found.plugins for each in data_plugins_in(module)],
            config=found.config,
            fuzzy_for=found.fuzzy_for,
            fuzzy_for_options=found.fuzzy_for_options,
            allow_incomplete=found.allow_incomplete,
            use_per_run_defaults=found.use_per_run_defaults,
            forbid_creation_of=found.forbid_creation_of,
            buffer_bytes=found.buffer_bytes,
        )

    def new_context(
        self,
        storage: StorageSpec | Sequence[StorageSpec] = (),
        plugins: type[Plugin] | Iterable[type[Plugin]] = (),
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> "Context":
        """Return a context with more places, data plugins and options; this one stays.

        Args:
            storage: more places.
            plugins: more data plugins.
            config: more options of data plugins.
            options: keyword arguments of `Context` that are to be others.
        """
        old, match = self._data_plugins, self._given_match
        kept = {
            "fuzzy_for": match.fuzzy_for,
            "fuzzy_for_options": match.fuzzy_for_options,
            "allow_incomplete": match.allow_incomplete,
            "use_per_run_defaults": self._use_per_run_defaults,
            "forbid_creation_of": self._forbidden,
            "buffer_bytes": self._buffer_bytes,
        }
        return type(self)(
            [*self._places, *_listed(storage)],
            plugins=[*old.classes, *_listed(plugins)],
            config={**old.config, **(config or {})},
            **{**kept, **options},
        )

    def make(
        self,
        run_id: RunIds,
        targets: Names,
        *,
        save: Names = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
        again: bool = False,
        **options: Unpack[ShowOptions],
    ) -> None:
        """Make and keep data, unless they are stored.

        Args:
            run_id: one run, or several, of which some are made at once.
            targets: one data type, or several.
            save: data types to keep even if their `save_when` is EXPLICIT.
            executor: threads, processes or machines to work in; left out, some threads are made.
            max_workers: how many threads, if some are made, and how many runs at once.
            again: make and replace them even if they are stored.
            options: whether to show how far it is: see `ShowOptions`.

        Raises:
            ReadOnlyError: no place takes them.
            DataNotAvailable: something cannot, or may not, be made.
            StorageError: no place could keep them.
        """
        for option in set(options) & set(LoadOptions.__annotations__):
            raise ConfigError(f"make does not take {option}: it makes whole runs")
        asked = self._asked(targets, save, options)

        def make_one(request: Request) -> None:
            request = replace(request, again=again, must_keep=True)
            missing = request.targets
            if not again:
                missing = tuple(
                    target
                    for target in missing
                    if not self._places.has(request.key_of(target), request.match_for(target))
                )
            if missing:
                known = frozenset(() if again else missing)
                Pipeline(replace(request, targets=missing, missing=known)).drain()

        runs = self._checked_runs(run_id, asked)
        with workers(executor, max_workers) as pool:
            for _ in self._each_run(runs, asked, pool, make_one):
                pass

    def get_iter(
        self,
        run_id: RunIds,
        targets: Names,
        *,
        save: Names = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
        **options: Unpack[GetOptions],
    ) -> Generator[Chunk, None, None]:
        """Iterate over the chunks of data types: loaded, or made and kept.

        What is left half-way is not kept. With no place to keep data, that is a warning only.

        Args:
            run_id: one run; or several, one after the other.
            targets: one data type, or several of one kind, whose columns are merged.
            save: data types to keep even if their `save_when` is EXPLICIT.
            executor: threads, processes or machines to work in; left out, some threads are made.
            max_workers: how many threads, if some are made.
            options: which rows and columns, and whether to show how far it is: see `GetOptions`.

        Raises:
            ConfigError: names or options that cannot be; before the first chunk.
            DataNotAvailable: not stored, and it cannot or may not be made; or only a part is asked
                for of what would have to be made.
            DataCorrupted: what is stored does not fit; names run, data type, place and chunk.
            StorageError: a place failed and no other could help.
        """
        asked = self._asked(targets, save, options)
        runs = self._checked_runs(run_id, asked)  # bad names raise here, not at the first chunk

        def chunks() -> Generator[Chunk, None, None]:
            with workers(executor, max_workers) as pool:
                for run in runs:
                    yield from Pipeline(self._request(run, asked, pool)).chunks()

        return asked.report.timed(chunks())

    def get_array(
        self,
        run_id: RunIds,
        targets: Names,
        *,
        save: Names = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
        **options: Unpack[GetOptions],
    ) -> Rows:
        """Return all rows of data types as one array; arguments and errors as `get_iter`.

        Of several runs, some are loaded or made at once, and a column ``run_id`` comes first; they
        stand in the order in which the runs were given.
        """
        asked = self._asked(targets, save, options)
        runs = self._checked_runs(run_id, asked)

        def rows_of(request: Request) -> Rows:
            rows = Pipeline(request).rows()
            if isinstance(run_id, str):
                return rows
            return with_run_id(rows, request.run_id, max(map(len, runs)))

        with asked.report.timing(), workers(executor, max_workers) as pool:
            return stacked(list(self._each_run(runs, asked, pool, rows_of)))

    def get_columns(
        self,
        run_id: RunIds,
        targets: Names,
        *,
        save: Names = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
        **options: Unpack[GetOptions],
    ) -> dict[str, Rows]:
        """Return one contiguous array a column; arguments and errors as `get_array`."""
        asked = self._asked(targets, save, options)
        runs = self._checked_runs(run_id, asked)

        def columns_of(request: Request) -> dict[str, Rows]:
            columns = Pipeline(request).columns()
            if isinstance(run_id, str):
                return columns
            return columns_with_run_id(columns, request.run_id, max(map(len, runs)))

        with asked.report.timing(), workers(executor, max_workers) as pool:
            return stacked_columns(list(self._each_run(runs, asked, pool, columns_of)))

    def get_df(self, run_id: RunIds, targets: Names, **arguments: Any) -> "pd.DataFrame":
        """Return all rows as a table of pandas; arguments and errors as `get_array`.

        Raises:
            ConfigError: pandas is not installed.
        """
        imported_pandas()  # or an error, before any work
        return data_frame(self.get_columns(run_id, targets, **arguments))

    # Inside

    def _asked(self, targets: Names, save: Names, options: Mapping[str, Any]) -> RequestOptions:
        # The data plugins once: another thread may register more.
        return request_options(self._data_plugins, self._forbidden, targets, save, options)

    def _checked_runs(self, run_id: RunIds, asked: RequestOptions) -> tuple[str, ...]:
        one: Any = run_id
        is_one = not isinstance(one, Iterable) or isinstance(one, str | bytes)
        runs = (one,) if is_one else tuple(one)
        for run in runs:
            check_run_id(run)
        if not runs or len(set(runs)) < len(runs):
            raise ConfigError(f"run_id is {run_id!r}; give one run, or several, each once")
        for target in asked.targets:
            asked.data_plugins.lineage(target, self._defaults(runs[0]))
        return runs

    def _request(
        self, run_id: str, asked: RequestOptions, pool: Workers, **options: Any
    ) -> Request:
        return Request(
            run_id=run_id,
            targets=asked.targets,
            places=self._places,
            data_plugins=asked.data_plugins,
            workers=pool,
            defaults=self._defaults(run_id),
            match=self._match,
            query=asked.query,
            save=asked.save,
            forbidden=self._forbidden,
            chunk_size_bytes=asked.chunk_size_bytes,
            report=asked.report,
            **{"buffer_bytes": self._buffer_bytes, "progress": asked.progress, **options},
        )

    def _each_run(
        self,
        runs: Sequence[str],
        asked: RequestOptions,
        pool: Workers,
        work: Callable[[Request], Answer],
    ) -> Iterator[Answer]:
        """Iterate over what `work` gives for each run, some runs at a time."""
        at_once = min(len(runs), pool.n_threads, RUNS_AT_ONCE)
        if at_once == 1:
            for run in runs:
                yield work(self._request(run, asked, pool))
            return
        buffer_bytes = max(1, self._buffer_bytes // at_once)

        def in_turn(run: str, stop: Event) -> Answer:
            return work(
                self._request(
                    run, asked, pool, stop=stop, buffer_bytes=buffer_bytes, progress=False
                )
            )

        yield from for_each_run(runs, in_turn, at_once=at_once)


def _listed(given: Any) -> list[Any]:
    """Return one thing, or several, as a list; a path, a table and a class are one thing."""
    several = isinstance(given, Iterable) and not isinstance(given, str | Mapping | type)
    return list(given) if several else [given]
