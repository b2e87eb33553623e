"""Role 1: finds where data is and tells one or more backends; keeps documents about runs."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from strax_core.backend import Check, StorageBackend
from strax_core.errors import (
    ConfigError,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    StorageError,
)
from strax_core.format import STRAX_COMPRESSORS, DataKey, Metadata
from strax_core.frontend.events import Events
from strax_core.frontend.live import LiveLoader
from strax_core.frontend.location import Location, State, first_listed
from strax_core.frontend.match import ANY_LINEAGE, STRICT, Match
from strax_core.frontend.run_documents import RunDocuments
from strax_core.frontend.search import SETTLED, Search, Seen, backend_named, notify
from strax_core.frontend.upstream_warning import warn_if_of_strax
from strax_core.loader import Loader
from strax_core.saver import OVERWRITE, Saver

_LOG = logging.getLogger("strax_core")


class StorageFrontend(RunDocuments, Events):
    """Knows where data are: which backend has which piece under which key.

    - Must be overridden: `_find`. To take data: `_targets`. To keep documents about runs: those of
      `RunDocuments`. To learn what becomes of data: those of `Events`.
    - The public methods check options, metadata and lineage; the ones to override only answer.

    Args:
        backends: by name, one or more.
        name: what a person calls this place; unique in a context.
        readonly: refuse to write anything.
        overwrite: what a saver may replace: ``never`` anything, ``if_broken`` what nobody can read,
            ``always``.
        take_only: the only data types that this place reads and keeps; empty: all.
        exclude: data types that this place does not read or keep.
        storage_type: how near it is; smaller is asked first (0 memory, 1 local, 4 remote, 10 tape);
            None: as near as its nearest backend.
        compressor: codec for what is written here; None: what the data plugin says.
        for_upstream: keep only what strax can read: refuse other codecs than its own.
        grace_time_s: after how long a silent writer counts as dead.
    """

    def __init__(
        self,
        backends: Mapping[str, StorageBackend],
        *,
        name: str | None = None,
        readonly: bool = False,
        overwrite: str = "if_broken",
        take_only: str | Sequence[str] = (),
        exclude: str | Sequence[str] = (),
        storage_type: float | None = None,
        compressor: str | None = None,
        for_upstream: bool = False,
        grace_time_s: float = 3600.0,
    ) -> None:
        if not backends:
            raise ConfigError(f"{type(self).__name__} needs at least one backend")
        if overwrite not in OVERWRITE:
            raise ConfigError(
                f"overwrite is {overwrite!r}; it may be one of {', '.join(OVERWRITE)}"
            )
        if grace_time_s <= 0:
            raise ConfigError(f"grace_time_s is {grace_time_s!r}; it must be above 0")
        self.backends = dict(backends)
        self.name = name if name is not None else next(iter(backends.values())).place
        self.readonly = readonly
        self.overwrite = overwrite
        self.take_only = (take_only,) if isinstance(take_only, str) else tuple(take_only)
        self.exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
        nearest = min(backend.default_storage_type for backend in backends.values())
        self.storage_type = nearest if storage_type is None else storage_type
        self.compressor = compressor
        self.for_upstream = for_upstream
        if compressor is not None:
            self._check_compressor(compressor)
        self.grace_time_s = grace_time_s

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{' readonly' if self.readonly else ''}>"

    # To override

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
        """Return where data that serve may be, nearest first; [] if there are none here.

        Answer as well as you can, without reading metadata: core checks all that you name, each
        place once. Raise only if you cannot answer; then the other frontends are asked.

        Args:
            key: what is wanted.
            match: what serves. A strict one (`match.is_fuzzy` is false) wants only this key. A
                fuzzy one wants this key first, then all you have of this run and data type, in
                any lineage; core ranks them. With `match.allow_incomplete`, name also where this
                key is being written; if nothing complete is there, ``state=State.WRITING``.
        """
        raise NotImplementedError(f"{type(self).__name__} must override StorageFrontend._find")

    def _find_several(self, keys: Sequence[DataKey], match: Match) -> Iterable[Sequence[Location]]:
        """Answer `_find` for each of many keys; override it where one request can answer all.

        Set ``listed=True`` in a location of which you know, without reading its metadata, that
        complete data of exactly this key are there.
        """
        return [self._find(key, match) for key in keys]

    def _targets(self, key: DataKey) -> Sequence[Location]:
        """Return where a new piece of data may go, best first."""
        raise ReadOnlyError(f"{self.name}: {type(self).__name__} takes no data ({key})")

    def _targets_in(self, key: DataKey, backend: str) -> Sequence[Location]:
        """Return where it may go in this one of the backends; left alone: as `_targets` says."""
        return [at for at in self._targets(key) if at.backend == backend]

    def _remarks(self, key: DataKey) -> Iterable[str]:
        """Yield what a person should know of the copies of this key here, for `explain`.

        A line each, such as "disk has a damaged copy"; left alone: nothing.
        """
        return ()

    # Data

    def wants(self, data_type: str) -> bool:
        """Say whether this place deals with a data type at all (`take_only`, `exclude`)."""
        return data_type not in self.exclude and (not self.take_only or data_type in self.take_only)

    def find(self, key: DataKey, match: Match = STRICT) -> Location:
        """Return the nearest location that has this data, complete and of the right lineage.

        A fuzzy match counts only if there is none: the newest one; and data that are still being
        written only if there is no match either. Metadata are read, once; they travel in the
        answer.

        Raises:
            DataNotAvailable: it is not here; the message says what was looked at.
            StorageError: it may be here, but a backend failed and no other has it.
        """
        return next(self.find_all(key, match))

    def find_all(self, key: DataKey, match: Match = STRICT) -> Iterator[Location]:
        """Iterate over all such locations, best first; each is looked at when it is asked for.

        Raises:
            DataNotAvailable, StorageError: there is none; as `find`.
        """
        yield from self.search(key, match).all()

    def search(self, key: DataKey, match: Match = STRICT, *, backend: str | None = None) -> Search:
        """Return the same question, to be asked step by step; nothing is looked at yet.

        With `backend`, only what lies there counts.

        Raises:
            DataNotAvailable: this place does not deal with this data type.
        """
        if not self.wants(key.data_type):
            raise DataNotAvailable(f"{self.name} does not take {key.data_type}")
        return Search(key=key, match=match, frontend=self, backend=backend)

    def find_several(
        self, keys: Sequence[DataKey], match: Match = STRICT, *, check: bool = False
    ) -> list[Location | None]:
        """Answer `find` for many keys at once: None where data are not here, or cannot be read.

        Without `check` this may go by name: what has the name of the key is taken for complete
        data, although strax also gives that name to data whose writing failed. Their locations are
        `known`, and hold no metadata. Fuzzy matches are always judged by their metadata.

        Args:
            keys: what is wanted.
            match: what serves.
            check: read the metadata of all.

        Raises:
            StorageError: this place could not answer for any of them.
        """
        wanted = [key for key in keys if self.wants(key.data_type)]
        if not wanted:
            return [None] * len(keys)
        answers: dict[str, Location] = {}
        seen: Seen = {}
        failures: list[Exception] = []
        for key, locations in zip(wanted, self._find_several(wanted, match), strict=True):
            if not locations:
                continue
            known = None if check else first_listed(locations)
            search = Search(key=key, match=match, frontend=self, locations=locations, seen=seen)
            try:
                answers[key.name] = known or next(search.all())
            except SETTLED as error:
                _LOG.debug("%s has no %s: %s", self.name, key, error)
            except Exception as error:  # noqa: BLE001 - one piece of data does not spoil the others
                _LOG.warning("%s could not say whether it has %s: %s", self.name, key, error)
                failures.append(error)
        if len(failures) == len(wanted):
            raise failures[0]
        return [answers.get(key.name) for key in keys]

    def others(self, key: DataKey) -> list[Location]:
        """Return what else is complete of this run and data type, in other lineages, newest first.

        Raises:
            StorageError: this place could not be asked.
        """
        if not self.wants(key.data_type):
            return []
        return self.search(key, ANY_LINEAGE).other_lineages()

    def remarks(self, key: DataKey) -> list[str]:
        """Return what a person should know of the copies here, a line each; often nothing.

        Raises:
            StorageError: this place could not be asked.
        """
        return list(self._remarks(key)) if self.wants(key.data_type) else []

    def get_metadata(self, key: DataKey, match: Match = STRICT) -> Metadata:
        """Return the metadata of a stored piece of data; errors as `find`."""
        return self.loader(key, match).metadata

    def loader(self, key: DataKey, match: Match = STRICT) -> Loader:
        """Return what loads a piece of data; errors as `find`."""
        return self.loader_at(self.find(key, match))

    def loader_at(self, location: Location) -> Loader:
        """Return what loads the data at a location that `find` gave; unfinished, as it was then."""
        backend = self._backend_of(location)
        if location.state is State.WRITING and location.metadata and location.folder is not None:
            return LiveLoader(
                backend, location.backend_key, location.metadata, folder=location.folder
            )
        return backend.loader(location.backend_key, metadata=location.metadata)

    def report_failure(self, key: DataKey, location: Location, error: BaseException) -> None:
        """Tell this frontend, and the log, that loading from a location failed."""
        _LOG.warning("%s could not load %s: %s", self.name, location.backend_key, error)
        notify(self._not_usable, key, location, error)

    def checks(self, *, writes: bool) -> Iterator[Check]:
        """Find out whether what it needs besides its backends works; nothing that is tried stays.

        For `strax doctor`, which asks the backends, too. Left alone: there is nothing to find out.

        Args:
            writes: whether to try writing, too.
        """
        return iter(())

    def saver(
        self,
        key: DataKey,
        metadata: Mapping[str, Any],
        *,
        overwrite: str | None = None,
        backend: str | None = None,
    ) -> Saver:
        """Return a saver for a piece of data; it has begun.

        Args:
            key: what is to be saved.
            metadata: what is known before the first chunk (see `Saver`).
            overwrite: what may be replaced, if other than this frontend's option.
            backend: name of the only one of its backends that may be written to.

        Raises:
            ConfigError: there is no such backend, or the codec is refused here (`for_upstream`).
            ReadOnlyError: this place takes no data, not this data type, or not in that backend.
            DataExistsError: it is stored here, and may not be replaced.
        """
        place = self._place(backend)
        if self.readonly or not self.wants(key.data_type):
            raise ReadOnlyError(f"{place} takes no {key.data_type}")
        self._check_compressor(metadata.get("compressor"))
        overwrite = overwrite or self.overwrite
        if overwrite != "always" and self._has(key, backend):
            raise DataExistsError(f"{place}: {key} is stored already")
        problem: StorageError = ReadOnlyError(f"{place} has no place for {key}")
        for location in self._targets(key) if backend is None else self._targets_in(key, backend):
            warn_if_of_strax(self._backend_of(location), metadata.get("compressor"))
            try:
                saver = self._backend_of(location).saver(
                    location.backend_key,
                    metadata,
                    overwrite=overwrite,
                    grace_time_s=self.grace_time_s,
                )
            except StorageError as error:
                notify(self._not_usable, key, location, error)
                problem = error
                continue
            saver.after_commit = partial(notify, self._committed, key, location)
            saver.after_failure = partial(notify, self._not_usable, key, location)
            notify(self._began, key, location, saver.metadata)
            return saver
        raise problem

    def remove(self, key: DataKey, *, backend: str | None = None, force: bool = False) -> None:
        """Remove every complete copy of a piece of data that this place has, of exactly this key.

        Args:
            key: what is to be removed.
            backend: name of the only one of its backends to remove it from.
            force: also what a place would rather keep, such as a last good copy. One that keeps
                nothing back need not look at it.

        Raises:
            ConfigError: there is no such backend.
            ReadOnlyError: nothing may be removed here.
            DataNotAvailable: it is not here.
        """
        self._place(backend)
        if self.readonly:
            raise ReadOnlyError(f"{self.name} is read-only")
        for location in list(self.search(key, backend=backend).exact()):
            self._backend_of(location).remove(location.backend_key)
            self._removed(key, location)

    # Inside

    def _check_compressor(self, compressor: object) -> None:
        if self.for_upstream and compressor not in STRAX_COMPRESSORS:
            raise ConfigError(
                f"{self.name} keeps only what strax can read (for_upstream), and strax has no "
                f"codec {compressor!r} (it has {', '.join(STRAX_COMPRESSORS)}); "
                'choose compressor = "zstd"'
            )

    def _backend_of(self, location: Location) -> StorageBackend:
        return backend_named(location.backend, self.backends, place=self.name)

    def _place(self, backend: str | None) -> str:
        """Return what a person calls this place, or one backend of it that must be there."""
        if backend is None:
            return self.name
        backend_named(backend, self.backends, place=self.name)
        return f"{self.name}/{backend}"

    def _has(self, key: DataKey, backend: str | None) -> bool:
        try:
            return any(True for _ in self.search(key, backend=backend).exact())
        except SETTLED:
            return False  # if what is there cannot be read, a saver finds out if it may be replaced
