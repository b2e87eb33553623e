"""The frontend `sql`: asks a database where data are, and tells it what became of them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from strax_core import (
    STRICT,
    Check,
    DataCorrupted,
    DataKey,
    DataNotAvailable,
    Location,
    Match,
    Metadata,
    ReadOnlyError,
    Saver,
    State,
    StorageBackend,
    StorageError,
    StorageFrontend,
)
from strax_sql.catalogue import (
    COMPLETE,
    DAMAGED,
    REMOVING,
    WRITING,
    CopyRow,
    Outages,
    Recorder,
    Removal,
    Reserved,
    copies_of,
    copies_of_any_lineage,
    copies_of_each,
    failures_of,
    fitting,
    lineage_texts,
    prepare_catalogue,
    remarks,
    targets_of,
)
from strax_sql.database import Database
from strax_sql.options import SqlOptions
from strax_sql.runs import RunStore
from strax_sql.upkeep import Upkeep, catalogue_checks

_LOG = logging.getLogger("strax_core")


class SqlFrontend(StorageFrontend):
    """Finds data by one query of a database, in any of several backends.

    - Storage comes first: data are committed, then entered; removed, then forgotten. What a crash
      leaves between the two is found by the next request, or by `strax catalog rebuild`.
    - Healthy copies are given before those that were found damaged, and a backend that did not
      answer this process lately comes after the others. Nothing that may serve is left out.
    - It pickles, without connections and secrets, if its backends do.

    Args:
        options: the database, and the backends that hold the data.
        name: what a person calls this place; left out: the URL of the database.
        frontend_options: those of every `StorageFrontend`.
    """

    __module__ = "strax_sql"

    def __init__(
        self, options: SqlOptions, *, name: str | None = None, **frontend_options: Any
    ) -> None:
        super().__init__(options.backends, name=name or options.place, **frontend_options)
        self.options = options
        self.database = Database(options, creates=not self.readonly, prepare=prepare_catalogue)
        self._order = {name: i for i, name in enumerate(self.backends)}
        self._outages = Outages(options.outage_s)
        self._recorder = Recorder(
            database=self.database,
            backends=self.backends,
            outages=self._outages,
            readonly=self.readonly,
        )
        self._runs = RunStore(self.database, place=self.name, mirror=self._mirror())

    def _mirror(self) -> StorageBackend | None:
        can_write = (each for each in self.backends.values() if not each.readonly)
        return next(can_write, None) if self.options.mirror_runs else None

    # Finding

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
        rows = self.database.read(lambda connection: copies_of(connection, key))
        found = [at for row in self._sorted(rows) for at in self._settled(key, row)]
        if match.is_fuzzy:
            found += self._loose([key], match)[0]
        return found

    def _find_several(self, keys: Sequence[DataKey], match: Match) -> Iterator[Sequence[Location]]:
        rows = self.database.read(lambda connection: copies_of_each(connection, keys))
        loose = self._loose(keys, match) if match.is_fuzzy else {}
        for i in range(len(keys)):
            exact = [
                _at(row, listed=row.state == COMPLETE) for row in self._sorted(rows.get(i, ()))
            ]
            yield [*exact, *loose.get(i, ())]

    def _loose(self, keys: Sequence[DataKey], match: Match) -> dict[int, list[Location]]:
        """Return, by the place of a key in the list, other data that serve, newest first."""

        def ask(connection: Connection) -> tuple[dict[int, list[CopyRow]], dict[int, str]]:
            rows = copies_of_any_lineage(connection, keys)
            lineages = {row.lineage_id for each in rows.values() for row in each}
            return rows, lineage_texts(connection, lineages)

        rows, lineages = self.database.read(ask)
        return {
            i: [
                _at(row, listed=row.state == COMPLETE)
                for row in fitting(key, match, self._sorted(rows.get(i, ())), lineages)
            ]
            for i, key in enumerate(keys)
        }

    def _sorted(self, rows: Iterable[CopyRow]) -> list[CopyRow]:
        """Return copies in backends that are known here, best first."""
        return sorted(
            (row for row in rows if row.backend in self._order),
            key=lambda row: (
                row.state in (DAMAGED, REMOVING),
                self._outages.is_out(row.backend),
                self._order[row.backend],
            ),
        )

    def _settled(self, key: DataKey, row: CopyRow) -> Iterator[Location]:
        """Yield where a copy is; of one that is being written, look whether it is there already.

        Its writer may have died just after the commit, before it could tell.
        """
        if row.state == WRITING:
            try:
                metadata = self.backends[row.backend].get_metadata(row.backend_key)
            except (DataNotAvailable, DataCorrupted):
                yield _at(row, state=State.WRITING)
                return
            except Exception as error:  # noqa: BLE001 - core asks again, and reports it
                _LOG.debug("%s: is %s written? %s", self.name, key, error)
            else:
                if not _is_complete(metadata, key):
                    yield _at(row, state=State.WRITING)
                    return
                enter = partial(self._recorder.enter, key, row.backend, row.backend_key, metadata)
                _if_possible(enter, f"{self.name}: {key} was not entered")
                yield _at(row, metadata=metadata)
                return
        yield _at(row)

    def _remarks(self, key: DataKey) -> Iterator[str]:
        failures = self.database.read(lambda connection: failures_of(connection, key))
        return remarks(list(self.backends), failures, self._outages)

    # Keeping

    def saver(self, key: DataKey, metadata: Mapping[str, Any], **options: Any) -> Saver:
        """Return a saver that has begun; arguments and errors as `StorageFrontend.saver`.

        Complete data that lie where these would go, and that nobody entered, are entered first:
        so they count as stored.
        """
        overwrite = options.get("overwrite") or self.overwrite
        if overwrite != "always" and not self.readonly and self.wants(key.data_type):
            self._enter_unknown(key, options.get("backend"))
        return super().saver(key, metadata, **options)

    def remove(self, key: DataKey, *, backend: str | None = None, force: bool = False) -> None:
        """Remove all copies, or the one in a backend if it is not the last good one that stays.

        Raises:
            ReadOnlyError: it is the last, or others remove all others at this moment, and there
                is no `force`; or nothing may be removed here.
            ConfigError, DataNotAvailable: as `StorageFrontend.remove`.
        """
        if backend is None or self.readonly:
            super().remove(key, backend=backend, force=force)
            return
        place = self._place(backend)
        readable = None if force else {at.backend for at in self.search(key).exact()}
        removal = Removal(key=key, backend=backend, place=place, readable=readable)
        with removal.announced(self.database):
            super().remove(key, backend=backend, force=force)

    def _targets(self, key: DataKey) -> Sequence[Location]:
        return [
            Reserved(backend=name, backend_key=key.name)
            for name in targets_of(key.data_type, self.options.write_to, self.backends)
        ]

    def _targets_in(self, key: DataKey, backend: str) -> Sequence[Location]:
        return [Reserved(backend=backend, backend_key=key.name)]

    def _began(self, key: DataKey, location: Location, metadata: Metadata) -> None:
        self._recorder.began(key, location, metadata)

    def _committed(self, key: DataKey, location: Location, metadata: Metadata) -> None:
        self._recorder.enter(key, location.backend, location.backend_key, metadata)

    def _removed(self, key: DataKey, location: Location) -> None:
        self._recorder.forget(key, location)

    def _verified(self, key: DataKey, location: Location) -> None:
        self._recorder.verified(key, location)

    def _not_usable(self, key: DataKey, location: Location, error: BaseException) -> None:
        self._recorder.failed(key, location, error)

    def _enter_unknown(self, key: DataKey, backend: str | None) -> None:
        rows = self.database.read(lambda connection: copies_of(connection, key))
        known = {row.backend for row in rows if row.state != WRITING}
        targets = targets_of(key.data_type, self.options.write_to, self.backends)
        for name in targets if backend is None else [backend]:
            if name in known or name not in self.backends:
                continue
            try:
                metadata = self.backends[name].get_metadata(key.name)
            except StorageError as error:
                _LOG.debug("%s/%s has no %s: %s", self.name, name, key, error)
                continue
            if _is_complete(metadata, key):
                self._recorder.enter(key, name, key.name, metadata)

    # Upkeep

    def checks(self, *, writes: bool) -> Iterator[Check]:
        """Find out whether the database does what is needed; see `StorageFrontend.checks`."""
        return catalogue_checks(self.database, self.backends, writes=writes)

    def check_catalogue(self) -> Iterator[Check]:
        """Iterate over what the catalogue and the storage differ in; all metadata are read."""
        return self._upkeep().compare(thorough=True, dry_run=True)

    def rebuild_catalogue(self, *, dry_run: bool) -> Iterator[Check]:
        """Enter what is complete and not entered, take out what is gone; only tell if `dry_run`.

        Only metadata of what is not entered are read, so it goes on where it was interrupted.

        Raises:
            ReadOnlyError: this place is read-only, and it is more than a dry run.
        """
        if self.readonly and not dry_run:
            raise ReadOnlyError(f"{self.name} is read-only")
        return self._upkeep().compare(thorough=False, dry_run=dry_run)

    def catalogued(self, *, missing_in: str | None = None) -> Iterator[DataKey]:
        """Iterate over all data that have a good copy, but none in the backend `missing_in`."""
        return self._upkeep().keys(missing_in=missing_in)

    def _upkeep(self) -> Upkeep:
        return Upkeep(
            database=self.database,
            backends=self.backends,
            runs=self._runs,
            grace_time_s=self.grace_time_s,
        )

    # Runs

    def _run_metadata(self, run_id: str) -> Mapping[str, Any]:
        return self._runs.read(run_id)

    def _write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        self._runs.write(run_id, document)

    def _scan_runs(self) -> Iterator[Mapping[str, Any]]:
        return self._runs.scan()

    def _scan_fields(self, fields: tuple[str, ...]) -> Iterator[Mapping[str, Any]] | None:
        return self._runs.scan_fields(fields)

    def _select_runs(self, conditions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]] | None:
        return self._runs.select(conditions)


def _if_possible(action: Callable[[], object], what: str) -> None:
    """Do what may as well be done another time."""
    try:
        action()
    except StorageError as error:
        _LOG.warning("%s: %s", what, error)


def _at(row: CopyRow, **what: Any) -> Location:
    return Location(backend=row.backend, backend_key=row.backend_key, **what)


def _is_complete(metadata: Metadata, key: DataKey) -> bool:
    """Say whether these are complete data of exactly this key."""
    try:
        return (
            metadata.is_complete
            and not metadata.is_too_old
            and (metadata.run_id, metadata.data_type) == (key.run_id, key.data_type)
            and STRICT.accepts(key.lineage, metadata.lineage)
        )
    except DataCorrupted:  # nobody can say what they are
        return False
