"""The object that users hold: asked for data by name, it finds them, or makes and keeps them."""

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from strax_core.chunks import Chunk
from strax_core.cleaning import Leftover, clean
from strax_core.config import open_storage
from strax_core.errors import ConfigError, DataNotAvailable
from strax_core.frontend import StorageFrontend
from strax_core.keys import DataKey, Lineage, check_run_id
from strax_core.metadata import Metadata
from strax_core.pipeline import Pipeline, Request
from strax_core.places import Found, Places
from strax_core.plugin import Plugin, SaveWhen, dependencies, prepared
from strax_core.provenance import DataPlugins
from strax_core.runs import per_run_defaults, select_fields
from strax_core.settings import load_settings

Rows = np.ndarray[Any, np.dtype[Any]]
StorageSpec = Any  # a path, a URL, a table, a name in strax.toml, or a frontend
WORKERS = 4  # threads for encoding, writing, reading: few, since disks and two cores gain no more


class Context:
    """Data plugins, their options, and the places where data are kept. Usable from several threads.

    Args:
        storage: one or several of: a path, a URL, a dictionary, a name in ``strax.toml``, a frontend.
            Left out: ``./strax_data``; ``[]``: none.
        plugins: data plugins to register.
        config: values of their options.
        use_per_run_defaults: let ``strax_defaults`` in a run's document stand for options' defaults.
        buffer_bytes: about how many bytes of rows one request may hold at once.

    Raises:
        ConfigError, PluginError: a place or data plugin cannot be used.
    """

    def __init__(
        self,
        storage: StorageSpec | Sequence[StorageSpec] | None = None,
        plugins: Iterable[type[Plugin]] = (),
        config: Mapping[str, Any] | None = None,
        *,
        use_per_run_defaults: bool = False,
        buffer_bytes: int = 512 << 20,
    ) -> None:
        if storage is None:
            storage = "./strax_data"
        specs = storage if isinstance(storage, list | tuple) else [storage]
        self._places = Places(open_storage(spec) for spec in specs)
        self._data_plugins = DataPlugins(plugins)
        self._config = dict(config or {})
        self._use_per_run_defaults = use_per_run_defaults
        self._buffer_bytes = buffer_bytes
        self._lineages: dict[str, Lineage] = {}
        self._lock = Lock()

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
        settings = load_settings(path)
        wanted = settings.context(name)
        storage = None
        if wanted.storage is not None:
            storage = [
                open_storage(spec, settings=settings, from_file=True) for spec in wanted.storage
            ]
        options = {} if wanted.buffer_bytes is None else {"buffer_bytes": wanted.buffer_bytes}
        return cls(
            storage,
            plugins=[found for module in wanted.plugins for found in _data_plugins_in(module)],
            config=wanted.config,
            use_per_run_defaults=wanted.use_per_run_defaults,
            **options,
        )

    @property
    def storage(self) -> list[StorageFrontend]:
        """The places, in the order in which they are asked."""
        return list(self._places)

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the options that were set."""
        return dict(self._config)

    def register(self, *data_plugins: type[Plugin]) -> None:
        """Add data plugins; one that makes the same data type is replaced."""
        with self._lock:
            for data_plugin in data_plugins:
                self._data_plugins.register(data_plugin)
            self._lineages = {}

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Set options; those not named stay."""
        with self._lock:
            self._config = {**self._config, **config}
            self._lineages = {}

    def new_context(
        self,
        storage: Sequence[StorageSpec] = (),
        plugins: Iterable[type[Plugin]] = (),
        config: Mapping[str, Any] | None = None,
        *,
        use_per_run_defaults: bool | None = None,
        buffer_bytes: int | None = None,
    ) -> "Context":
        """Return a context with more places, data plugins and options than this one, which stays."""
        return type(self)(
            [*self._places, *storage],
            plugins=[*self._data_plugins.classes(), *plugins],
            config={**self._config, **(config or {})},
            use_per_run_defaults=self._use_per_run_defaults
            if use_per_run_defaults is None
            else use_per_run_defaults,
            buffer_bytes=self._buffer_bytes if buffer_bytes is None else buffer_bytes,
        )

    # What and where

    def lineage(self, run_id: str, data_type: str) -> Lineage:
        """Return where the rows of a data type come from; see `key_for`."""
        return self._lineages_of([data_type], self._defaults(run_id))[data_type]

    def key_for(self, run_id: str, data_type: str) -> DataKey:
        """Return the key of a piece of data: run, data type, lineage.

        Raises:
            ConfigError: nothing makes this data type, or an option has no value, or a name is refused.
        """
        return DataKey(check_run_id(run_id), data_type, self.lineage(run_id, data_type))

    def find(self, run_id: str, data_type: str) -> Found:
        """Return where a piece of data is stored, nearest first.

        Raises:
            DataNotAvailable: nowhere; the message says what each place answered.
        """
        return self._places.find(self.key_for(run_id, data_type))

    def is_stored(self, run_id: str, data_type: str) -> bool:
        """Say whether a complete copy is found; a place that cannot answer is logged."""
        try:
            self.find(run_id, data_type)
        except DataNotAvailable:
            return False
        return True

    def get_metadata(self, run_id: str, data_type: str) -> Metadata:
        """Return the metadata of a stored piece of data, with strax's field names; errors as `find`."""
        return self.find(run_id, data_type).metadata

    def run_metadata(
        self, run_id: str, fields: str | Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Return the document about a run, or the named fields of it.

        Raises:
            RunMetadataNotAvailable: no place has one.
        """
        return self._places.run_metadata(run_id, fields)

    def write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document about a run in the first place that takes one.

        Raises:
            ReadOnlyError: no place does.
        """
        self._places.write_run_metadata(run_id, document)

    def scan_runs(self, fields: str | Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over the documents of all runs, each run once: the nearest place's."""
        seen: set[str] = set()
        for frontend in self._places:
            for document in frontend.scan_runs():
                run_id = str(document.get("name"))
                if run_id not in seen:
                    seen.add(run_id)
                    yield select_fields(document, fields)

    # Data

    def make(
        self,
        run_id: str | Sequence[str],
        targets: str | Sequence[str],
        *,
        save: str | Sequence[str] = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
        again: bool = False,
    ) -> None:
        """Make and keep data, unless they are stored.

        Args:
            run_id: one run, or several, made one after the other.
            targets: one data type, or several.
            save: data types to keep even if their `save_when` is EXPLICIT.
            executor: threads for encoding, writing and reading; left out, some are made.
            max_workers: how many, if some are made.
            again: make and replace them even if they are stored.

        Raises:
            ReadOnlyError: no place takes them.
            StorageError: no place could keep them.
        """
        for run in _texts(run_id):
            for target in _texts(targets):
                if not again and self.is_stored(run, target):
                    continue
                with _threads(executor, max_workers) as pool:
                    request = self._request(run, target, save, pool, again=again, must_keep=True)
                    for _ in Pipeline(request).chunks():
                        pass

    def get_iter(
        self,
        run_id: str,
        targets: str | Sequence[str],
        *,
        save: str | Sequence[str] = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
    ) -> Iterator[Chunk]:
        """Iterate over the chunks of a data type: loaded, or made and kept; arguments as `make`.

        What is left half-way is not kept. With no place to keep data, that is a warning only.

        Raises:
            DataCorrupted: what is stored does not fit; the message names run, data type, place, chunk.
            StorageError: a place failed and no other could help.
        """
        (target,) = _one(targets)
        request = self._request(
            run_id, target, save, None
        )  # bad names raise here, not at the first chunk
        return self._iterate(request, executor, max_workers)

    def get_array(
        self,
        run_id: str,
        targets: str | Sequence[str],
        *,
        save: str | Sequence[str] = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
    ) -> Rows:
        """Return all rows of a data type as one structured array; arguments and errors as `get_iter`."""
        (target,) = _one(targets)
        request = self._request(run_id, target, save, None)
        try:
            loader = self._places.find(request.keys[target]).loader()
        except DataNotAvailable:
            parts = [chunk.data for chunk in self._iterate(request, executor, max_workers)]
            return np.concatenate(parts)
        with _threads(executor, max_workers) as pool:
            return loader.read_all(executor=pool)

    def clean(
        self, storage: str | StorageFrontend, *, grace_s: float | None = None, dry_run: bool = True
    ) -> list[Leftover]:
        """List what writers that died left in a place, and remove it unless `dry_run`.

        Args:
            storage: a frontend or its name.
            grace_s: how long a writer must have been silent; left out, the frontend's `grace_time_s`.
            dry_run: only list.
        """
        frontend = self._places.named(storage) if isinstance(storage, str) else storage
        grace_s = frontend.grace_time_s if grace_s is None else grace_s
        return [
            leftover
            for backend in frontend.backends.values()
            for leftover in clean(backend, grace_s=grace_s, dry_run=dry_run)
        ]

    # Inside

    def _iterate(
        self, request: Request, executor: Executor | None, max_workers: int | None
    ) -> Iterator[Chunk]:
        with _threads(executor, max_workers) as pool:
            yield from Pipeline(_with_executor(request, pool)).chunks()

    def _defaults(self, run_id: str) -> Mapping[str, Any]:
        check_run_id(run_id)
        if not self._use_per_run_defaults:
            return {}
        return per_run_defaults(self._places.run_metadata_or_error(run_id, "strax_defaults"))

    def _lineages_of(
        self, data_types: Iterable[str], defaults: Mapping[str, Any]
    ) -> dict[str, Lineage]:
        with self._lock:
            self._data_plugins.check_config(self._config)
            known = {} if defaults else self._lineages
            for data_type in data_types:
                if data_type not in known:
                    known[data_type] = self._data_plugins.lineage(data_type, self._config, defaults)
            return {data_type: known[data_type] for data_type in data_types}

    def _request(
        self,
        run_id: str,
        target: str,
        save: str | Sequence[str],
        executor: Executor | None,
        **options: Any,
    ) -> Request:
        defaults = self._defaults(run_id)
        classes = self._data_plugins.closure(target)
        for listed in _texts(save):
            if classes.get(listed, Plugin).save_when == SaveWhen.NEVER:
                raise ConfigError(f"{listed} is never saved (save_when), but is listed in save")
        instances: dict[str, Plugin] = {}
        for data_type in _dependencies_first(target, classes):
            instances[data_type] = prepared(
                classes[data_type],
                run_id=run_id,
                config=self._data_plugins.config_of(data_type, self._config, defaults),
                deps={needed: instances[needed] for needed in dependencies(classes[data_type])},
            )
        lineages = self._lineages_of(classes, defaults)
        return Request(
            target=target,
            places=self._places,
            keys={name: DataKey(run_id, name, lineage) for name, lineage in lineages.items()},
            instances=instances,
            save=_texts(save),
            executor=executor,
            buffer_bytes=self._buffer_bytes,
            **options,
        )


def _with_executor(request: Request, executor: Executor) -> Request:
    return replace(request, executor=executor)


@contextmanager
def _threads(executor: Executor | None, max_workers: int | None) -> Iterator[Executor]:
    """Give the user's threads, or some of our own for as long as the request runs."""
    if executor is None:
        with ThreadPoolExecutor(max_workers or WORKERS, thread_name_prefix="strax") as own:
            yield own
    elif isinstance(executor, ThreadPoolExecutor):
        yield executor
    else:
        raise ConfigError(f"{type(executor).__name__} is not served yet; give a ThreadPoolExecutor")


def _texts(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _one(targets: str | Sequence[str]) -> tuple[str]:
    names = _texts(targets)
    if len(names) != 1:
        raise ConfigError(
            f"ask for one data type at a time, not for {names!r}; several are not served yet"
        )
    return (names[0],)


def _dependencies_first(target: str, classes: Mapping[str, type[Plugin]]) -> list[str]:
    ordered: dict[str, None] = {}

    def visit(data_type: str) -> None:
        for needed in dependencies(classes[data_type]):
            visit(needed)
        ordered[data_type] = None

    visit(target)
    return list(ordered)


def _data_plugins_in(module_name: str) -> list[type[Plugin]]:
    """Import a module and return the data plugins that it defines itself."""
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"the module {module_name!r} with data plugins cannot be imported: {error}"
        ) from error
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, Plugin)
        and found is not Plugin
        and found.__module__ == module.__name__
    ]
