"""The object that users hold: asked for data by name, it finds them, or makes and keeps them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from strax_core.chunks import Chunk
from strax_core.cleaning import Leftover, clean
from strax_core.errors import ConfigError, ReadOnlyError
from strax_core.executors import threads
from strax_core.frontend import StorageFrontend
from strax_core.keys import DataKey, Lineage, check_run_id
from strax_core.loading import joined, load_rows
from strax_core.metadata import Metadata
from strax_core.pipeline import Pipeline, Request
from strax_core.places import Found, Places
from strax_core.plugin import Plugin, SaveWhen
from strax_core.provenance import DataPlugins, data_plugins_in
from strax_core.runs import per_run_defaults, select_fields

Rows = np.ndarray[Any, np.dtype[Any]]
StorageSpec = Any  # a path, a URL, a table, a name in strax.toml, or a frontend
DEFAULT_STORAGE = "./strax_data"


class Context:
    """Data plugins, their options, and the places where data are kept. Usable from several threads.

    Args:
        storage: one or several of: a path, a URL, a dictionary, a name in ``strax.toml``, a
            frontend. Left out: ``./strax_data``; ``[]``: none.
        plugins: data plugins to register.
        config: values of their options.
        use_per_run_defaults: let ``strax_defaults`` in a run's document stand for the defaults of
            options.
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
        use_per_run_defaults: bool = False,
        buffer_bytes: int = 512 << 20,
    ) -> None:
        from strax_core.config import open_storage

        specs = _listed(DEFAULT_STORAGE if storage is None else storage)
        self._places = Places(open_storage(spec) for spec in specs)
        self._data_plugins = DataPlugins(_listed(plugins), config)
        self._use_per_run_defaults = use_per_run_defaults
        if buffer_bytes < 1:
            raise ConfigError(f"buffer_bytes is {buffer_bytes!r}; it must be above 0")
        self._buffer_bytes = buffer_bytes
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
        from strax_core.config import open_storage
        from strax_core.settings import load_settings

        settings = load_settings(path)
        wanted = settings.context(name)
        specs = (DEFAULT_STORAGE,) if wanted.storage is None else wanted.storage
        storage = [open_storage(spec, settings=settings, from_file=True) for spec in specs]
        options = {} if wanted.buffer_bytes is None else {"buffer_bytes": wanted.buffer_bytes}
        return cls(
            storage,
            plugins=[found for module in wanted.plugins for found in data_plugins_in(module)],
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
        return self._data_plugins.config

    def register(self, *data_plugins: type[Plugin]) -> None:
        """Add data plugins; one that makes the same data type is replaced.

        Raises:
            ConfigError: something is not a data plugin; then none of them is added.
        """
        with self._lock:
            self._data_plugins = self._data_plugins.with_registered(data_plugins)

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Set options; those not named stay."""
        with self._lock:
            self._data_plugins = self._data_plugins.with_config(config)

    def new_context(
        self,
        storage: StorageSpec | Sequence[StorageSpec] = (),
        plugins: type[Plugin] | Iterable[type[Plugin]] = (),
        config: Mapping[str, Any] | None = None,
        *,
        use_per_run_defaults: bool | None = None,
        buffer_bytes: int | None = None,
    ) -> "Context":
        """Return a context with more places, data plugins and options; this one stays."""
        old = self._data_plugins
        if use_per_run_defaults is None:
            use_per_run_defaults = self._use_per_run_defaults
        return type(self)(
            [*self._places, *_listed(storage)],
            plugins=[*old.classes, *_listed(plugins)],
            config={**old.config, **(config or {})},
            use_per_run_defaults=use_per_run_defaults,
            buffer_bytes=self._buffer_bytes if buffer_bytes is None else buffer_bytes,
        )

    # What and where

    def lineage(self, run_id: str, data_type: str) -> Lineage:
        """Return where the rows of a data type come from; see `key_for`."""
        return self._data_plugins.lineage(data_type, self._defaults(run_id))

    def key_for(self, run_id: str, data_type: str) -> DataKey:
        """Return the key of a piece of data: run, data type, lineage.

        Raises:
            ConfigError: nothing makes this data type, an option has no value, a name is refused.
        """
        return DataKey(check_run_id(run_id), data_type, self.lineage(run_id, data_type))

    def find(self, run_id: str, data_type: str) -> Found:
        """Return where a piece of data is stored, nearest first.

        Raises:
            DataNotAvailable: nowhere; the message says what each place answered.
            StorageError: no place could answer.
        """
        return self._places.find(self.key_for(run_id, data_type))

    def is_stored(self, run_id: str, data_type: str) -> bool:
        """Say whether a complete copy is found; a place that cannot answer is logged.

        Raises:
            StorageError: no place could answer.
        """
        return self._places.has(self.key_for(run_id, data_type))

    def get_metadata(self, run_id: str, data_type: str) -> Metadata:
        """Return the metadata of stored data, with strax's field names; errors as `find`."""
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
        for document in self._places.scan_runs():
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
        with threads(executor, max_workers) as pool:
            for run in _texts(run_id, "run_id"):
                for target in _texts(targets, "targets"):
                    request = self._request(
                        run, target, save, executor=pool, again=again, must_keep=True
                    )
                    if again or not self._places.has(request.keys[target]):
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
            DataCorrupted: what is stored does not fit; names run, data type, place and chunk.
            StorageError: a place failed and no other could help.
        """
        target = _one(targets)
        request = self._request(
            run_id, target, save
        )  # bad names raise here, not at the first chunk
        return _chunks(request, executor, max_workers)

    def get_array(
        self,
        run_id: str,
        targets: str | Sequence[str],
        *,
        save: str | Sequence[str] = (),
        executor: Executor | None = None,
        max_workers: int | None = None,
    ) -> Rows:
        """Return all rows of a data type as one array; arguments and errors as `get_iter`."""
        target = _one(targets)
        request = self._request(run_id, target, save)
        with threads(executor, max_workers) as pool:
            rows = load_rows(self._places, request.keys[target], executor=pool)
            if rows is None:
                rows = joined(Pipeline(replace(request, executor=pool)).chunks())
            return rows

    def clean(
        self, storage: str | StorageFrontend, *, grace_s: float | None = None, dry_run: bool = True
    ) -> list[Leftover]:
        """List what writers that died left in a place, and remove it unless `dry_run`.

        Args:
            storage: a frontend or its name.
            grace_s: how long a writer must have been silent; left out: the frontend's own time.
            dry_run: only list.
        """
        frontend = self._places.place(storage)[0] if isinstance(storage, str) else storage
        if frontend.readonly or not any(
            backend.saver_class for backend in frontend.backends.values()
        ):
            raise ReadOnlyError(f"{frontend.name} is read-only, so nothing is cleaned there")
        grace_s = frontend.grace_time_s if grace_s is None else grace_s
        return [
            leftover
            for backend in frontend.backends.values()
            if backend.saver_class is not None
            for leftover in clean(backend, grace_s=grace_s, dry_run=dry_run)
        ]

    # Inside

    def _defaults(self, run_id: str) -> Mapping[str, Any]:
        check_run_id(run_id)
        if not self._use_per_run_defaults:
            return {}
        return per_run_defaults({"name": run_id, **self._places.run_metadata_or_error(run_id)})

    def _request(
        self, run_id: str, target: str, save: str | Sequence[str], **options: Any
    ) -> Request:
        data_plugins = self._data_plugins  # once: another thread may register more
        for listed in _texts(save, "save"):
            if data_plugins.that_makes(listed).save_when == SaveWhen.NEVER:
                raise ConfigError(f"{listed} is never saved (save_when), but is listed in save")
        defaults = self._defaults(run_id)
        return Request(
            run_id=run_id,
            target=target,
            places=self._places,
            data_plugins=data_plugins,
            defaults=defaults,
            keys={
                name: DataKey(run_id, name, data_plugins.lineage(name, defaults))
                for name in data_plugins.closure(target)
            },
            save=_texts(save, "save"),
            buffer_bytes=self._buffer_bytes,
            **options,
        )


def _chunks(
    request: Request, executor: Executor | None, max_workers: int | None
) -> Iterator[Chunk]:
    with threads(executor, max_workers) as pool:
        yield from Pipeline(replace(request, executor=pool)).chunks()


def _listed(given: Any) -> list[Any]:
    """Return one thing, or several, as a list; a path, a table and a class are one thing."""
    several = isinstance(given, Iterable) and not isinstance(given, str | Mapping | type)
    return list(given) if several else [given]


def _texts(names: str | Sequence[str], argument: str) -> tuple[str, ...]:
    given: Any = names
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise ConfigError(f"{argument} is {given!r}; give a text, or several")
    return tuple(given)


def _one(targets: str | Sequence[str]) -> str:
    names = _texts(targets, "targets")
    if len(names) != 1:
        raise ConfigError(
            f"ask for one data type at a time, not for {names!r}; several are not served yet"
        )
    return names[0]
