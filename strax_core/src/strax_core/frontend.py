"""Role 1: finds where data is and tells one or more backends; keeps documents about runs."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, ClassVar

from strax_core.backend import StorageBackend
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageError,
)
from strax_core.keys import STRICT, DataKey, Match, check_run_id
from strax_core.loader import Loader
from strax_core.metadata import STRAX_COMPRESSORS, Metadata
from strax_core.runs import select_fields
from strax_core.saver import OVERWRITE, Saver
from strax_core.suggestions import did_you_mean

_LOG = logging.getLogger("strax_core")


class State(Enum):
    """Whether data at a location are all there."""

    COMPLETE = "complete"
    WRITING = "writing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where one copy of a piece of data lies."""

    backend: str
    """Name of the backend in the frontend's `backends`."""
    backend_key: str
    """What the backend calls the piece of data."""
    state: State = State.COMPLETE
    metadata: Metadata | None = None
    """If finding it read them already."""


class StorageFrontend:
    """Knows where data are: which backend has which piece under which key.

    - Must be overridden: `_find`. To take data: `_reserve`. To keep documents about runs:
      `_run_metadata`, `_write_run_metadata`, `_scan_runs`.
    - The public methods check options, metadata and lineage; the ones to override only answer.

    Args:
        backends: by name, one or more.
        name: what a person calls this place; unique in a context.
        readonly: refuse to write anything.
        overwrite: what a saver may replace: ``never`` anything, ``if_broken`` what nobody can read,
            ``always``.
        take_only: the only data types that this place reads and keeps; empty: all.
        exclude: data types that this place does not read or keep.
        storage_type: how near it is; smaller is asked first (0 memory, 1 local, 4 remote, 10 tape).
        compressor: codec for what is written here; None: what the data plugin says.
        for_upstream: keep only what strax can read: refuse other codecs than its own.
        grace_time_s: after how long a silent writer counts as dead.
    """

    default_storage_type: ClassVar[float] = 1

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
        self.storage_type = self.default_storage_type if storage_type is None else storage_type
        self.compressor = compressor
        self.for_upstream = for_upstream
        if compressor is not None:
            self._check_compressor(compressor)
        self.grace_time_s = grace_time_s

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{' readonly' if self.readonly else ''}>"

    # To override

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
        """Return where this key may be, nearest first; [] if it is not here."""
        raise NotImplementedError(f"{type(self).__name__} must override StorageFrontend._find")

    def _find_several(self, keys: Sequence[DataKey], match: Match) -> Iterable[Sequence[Location]]:
        """Answer `_find` for many keys; override it where one request can answer all."""
        return [self._find(key, match) for key in keys]

    def _reserve(self, key: DataKey) -> Sequence[Location]:
        """Return where a new piece of data may go, best first."""
        raise ReadOnlyError(f"{self.name}: {type(self).__name__} takes no data ({key})")

    def _committed(self, key: DataKey, location: Location, metadata: Metadata) -> None:
        """Learn that a saver has committed there."""

    def _forget(self, key: DataKey, location: Location) -> None:
        """Learn that the data there were removed."""

    def _began(self, key: DataKey, location: Location, metadata: Metadata) -> None:
        """Learn that a saver has begun there; `metadata` has its `write_id` and no chunks yet."""

    def _failed(self, key: DataKey, location: Location, error: BaseException) -> None:
        """Learn that loading from or saving to there failed, or that the data are not there."""

    def _run_metadata(self, run_id: str) -> Mapping[str, Any]:
        """Return the document about a run."""
        raise RunMetadataNotAvailable(f"{self.name}: {type(self).__name__} keeps no run documents")

    def _write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document about a run, replacing an older one in one step."""
        raise ReadOnlyError(f"{self.name}: {type(self).__name__} keeps no run documents")

    def _scan_runs(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over all documents about runs."""
        return iter(())

    # Data

    def wants(self, data_type: str) -> bool:
        """Say whether this place deals with a data type at all (`take_only`, `exclude`)."""
        return data_type not in self.exclude and (not self.take_only or data_type in self.take_only)

    def find(self, key: DataKey, match: Match = STRICT) -> Location:
        """Return the nearest location that has this data, complete and of the right lineage.

        Its metadata are read, once; they travel in the answer.

        Raises:
            DataNotAvailable: it is not here; the message says what was looked at.
            StorageError: it may be here, but a backend failed and no other has it.
        """
        return next(self.find_all(key, match))

    def find_all(self, key: DataKey, match: Match = STRICT) -> Iterator[Location]:
        """Iterate over all such locations, nearest first; each is looked at when it is asked for.

        Raises:
            DataNotAvailable, StorageError: there is none; as `find`.
        """
        if not self.wants(key.data_type):
            raise DataNotAvailable(f"{self.name} does not take {key.data_type}")
        yield from self._usable(key, self._find(key, match), match)

    def find_several(self, keys: Sequence[DataKey], match: Match = STRICT) -> list[Location | None]:
        """Answer `find` for many keys at once: None where data are not here, or cannot be read."""
        wanted = [key for key in keys if self.wants(key.data_type)]
        answers: dict[str, Location] = {}
        for key, locations in zip(wanted, self._find_several(wanted, match), strict=True):
            try:
                answers[key.name] = next(self._usable(key, locations, match))
            except DataNotAvailable:
                continue
            except Exception as error:  # noqa: BLE001 - one piece of data does not spoil the others
                _LOG.warning("%s could not say whether it has %s: %s", self.name, key, error)
        return [answers.get(key.name) for key in keys]

    def get_metadata(self, key: DataKey, match: Match = STRICT) -> Metadata:
        """Return the metadata of a stored piece of data; errors as `find`."""
        return self.loader(key, match).metadata

    def loader(self, key: DataKey, match: Match = STRICT) -> Loader:
        """Return what loads a piece of data; errors as `find`."""
        return self.loader_at(self.find(key, match))

    def loader_at(self, location: Location) -> Loader:
        """Return what loads the data at a location that `find` gave."""
        return self._backend_of(location).loader(location.backend_key, metadata=location.metadata)

    def report_failure(self, key: DataKey, location: Location, error: BaseException) -> None:
        """Tell this frontend, and the log, that loading from a location failed."""
        _LOG.warning("%s could not load %s: %s", self.name, location.backend_key, error)
        self._failed(key, location, error)

    def saver(
        self, key: DataKey, metadata: Mapping[str, Any], *, overwrite: str | None = None
    ) -> Saver:
        """Return a saver for a piece of data; it has begun.

        Args:
            key: what is to be saved.
            metadata: what is known before the first chunk (see `Saver`).
            overwrite: what may be replaced, if other than this frontend's option.

        Raises:
            ReadOnlyError: this place takes no data, or not this data type.
            DataExistsError: it is stored here, and may not be replaced.
            ConfigError: its codec is refused here (`for_upstream`).
        """
        if self.readonly or not self.wants(key.data_type):
            raise ReadOnlyError(f"{self.name} takes no {key.data_type}")
        self._check_compressor(metadata.get("compressor"))
        overwrite = overwrite or self.overwrite
        if overwrite != "always" and self._has(key):
            raise DataExistsError(f"{self.name}: {key} is stored already")
        problem: StorageError = ReadOnlyError(f"{self.name} has no place for {key}")
        for location in self._reserve(key):
            try:
                saver = self._backend_of(location).saver(
                    location.backend_key,
                    metadata,
                    overwrite=overwrite,
                    grace_time_s=self.grace_time_s,
                )
            except StorageError as error:
                self._failed(key, location, error)
                problem = error
                continue
            saver.after_commit = lambda final, at=location: self._committed(key, at, final)
            saver.after_failure = lambda error, at=location: self._failed(key, at, error)
            self._began(key, location, saver.metadata)
            return saver
        raise problem

    def remove(self, key: DataKey) -> None:
        """Remove every copy of a piece of data that this place has.

        Raises:
            ReadOnlyError: nothing may be removed here.
            DataNotAvailable: it is not here.
        """
        if self.readonly:
            raise ReadOnlyError(f"{self.name} is read-only")
        for location in list(self.find_all(key)):
            self._backend_of(location).remove(location.backend_key)
            self._forget(key, location)

    # Runs

    def run_metadata(
        self, run_id: str, fields: str | Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Return the document about a run, or the named fields of it (dots reach inside).

        Raises:
            RunMetadataNotAvailable: there is none here.
        """
        return select_fields(self._run_metadata(check_run_id(run_id)), fields)

    def write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document about a run: all or nothing, replacing an older one.

        Raises:
            ReadOnlyError: nothing may be written here.
        """
        if self.readonly:
            raise ReadOnlyError(f"{self.name} is read-only")
        self._write_run_metadata(check_run_id(run_id), document)

    def scan_runs(self, fields: str | Iterable[str] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over the documents of all runs, or the named fields of each."""
        for document in self._scan_runs():
            yield select_fields(document, fields)

    # Inside

    def _usable(
        self, key: DataKey, locations: Iterable[Location], match: Match
    ) -> Iterator[Location]:
        failure: Exception | None = None
        reasons = []
        n_usable = 0
        for location in locations:
            try:
                checked = self._checked(key, location, match)
            except DataNotAvailable as error:
                self._failed(key, location, error)
                reasons.append(str(error))
            except Exception as error:  # noqa: BLE001 - one bad backend does not spoil the others
                self._failed(key, location, error)
                failure = failure or error
            else:
                n_usable += 1
                yield checked
        if not n_usable:
            raise failure or DataNotAvailable("; ".join(reasons) or f"{self.name} has no {key}")

    def _checked(self, key: DataKey, location: Location, match: Match) -> Location:
        if location.state is State.WRITING:
            raise DataNotAvailable(f"{self.name}: {key} is being written")
        metadata = location.metadata
        if metadata is None:
            metadata = self._backend_of(location).get_metadata(location.backend_key)
        metadata.check_loadable()
        if (metadata.run_id, metadata.data_type) != (key.run_id, key.data_type):
            raise DataNotAvailable(
                f"{metadata.place}: holds {metadata.data_type} of run {metadata.run_id}"
            )
        if not match.accepts(key.lineage, metadata.lineage):
            raise DataNotAvailable(f"{metadata.place}: has another lineage than {key}")
        return replace(location, metadata=metadata)

    def _check_compressor(self, compressor: object) -> None:
        if self.for_upstream and compressor not in STRAX_COMPRESSORS:
            raise ConfigError(
                f"{self.name} keeps only what strax can read (for_upstream), and strax has no "
                f"codec {compressor!r} (it has {', '.join(STRAX_COMPRESSORS)}); "
                'choose compressor = "zstd"'
            )

    def _backend_of(self, location: Location) -> StorageBackend:
        try:
            return self.backends[location.backend]
        except KeyError as error:
            raise ConfigError(
                f"{self.name} has no backend {location.backend!r} "
                f"{did_you_mean(location.backend, self.backends)}"
            ) from error

    def _has(self, key: DataKey) -> bool:
        try:
            self.find(key)
        except DataNotAvailable:
            return False
        except DataCorrupted:
            return False  # a saver finds out whether it may be replaced
        return True
