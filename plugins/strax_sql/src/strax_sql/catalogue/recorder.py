"""Records in the catalogue what became of copies."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from strax_core import (
    AccessDenied,
    DataCorrupted,
    DataKey,
    DataNotAvailable,
    Location,
    Metadata,
    State,
    StorageBackend,
    StorageError,
    StorageUnavailable,
)
from strax_sql.catalogue import writes
from strax_sql.catalogue.outages import Outages
from strax_sql.catalogue.queries import ABSENT, COMPLETE, DAMAGED, WRITING, copies_of
from strax_sql.catalogue.writes import Entry, facts_of, failure_text
from strax_sql.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved(Location):
    """The place that one saver is to write to; so a writer's failure is told from a reader's."""

    write_ids: list[str | None] = field(default_factory=list, compare=False)
    """Of the writing that was entered there; empty until it has begun."""


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """Takes note of what a frontend hears of its copies; see `strax_core.frontend.events.Listener`.

    Args:
        database: with the tables of the catalogue.
        backends: of the frontend, by name.
        outages: of this process.
        readonly: take no note in the database.
    """

    database: Database
    backends: Mapping[str, StorageBackend]
    outages: Outages
    readonly: bool

    def enter(self, key: DataKey, backend: str, backend_key: str, metadata: Metadata) -> None:
        """Enter a complete copy."""
        if self.readonly:
            return
        entry = Entry.of(key, backend, backend_key, facts_of(metadata))
        self.database.write(lambda connection: writes.register(connection, [entry]))

    def began(self, key: DataKey, location: Location, metadata: Metadata) -> None:
        """Enter that a copy is being written."""
        facts = {"state": WRITING, "write_id": metadata.write_id, "written_s": time.time()}
        entry = Entry.of(key, location.backend, location.backend_key, facts)
        self.database.write(lambda connection: writes.begin(connection, entry))
        if isinstance(location, Reserved):
            location.write_ids.append(metadata.write_id)

    def forget(self, key: DataKey, location: Location) -> None:
        """Take a copy out that was removed."""
        write_id = location.metadata.write_id if location.metadata else None
        self.database.write(
            lambda connection: writes.forget(connection, key, location.backend, write_id)
        )

    def verified(self, key: DataKey, location: Location) -> None:
        """Take note that a copy is good."""
        write_id = location.metadata.write_id if location.metadata else None
        facts = {"state": COMPLETE, "verified_s": time.time(), "failed_s": None, "failure": None}
        self._mark(key, location.backend, facts, write_id)

    def failed(self, key: DataKey, location: Location, error: BaseException) -> None:
        """Take note that a copy could not be written, or read."""
        if isinstance(location, Reserved):
            self._end_writing(key, location)
            if isinstance(error, StorageUnavailable):
                self.outages.note(location.backend, failure_text(error))
        elif _is_outage(error):
            self.outages.note(location.backend, failure_text(error))
        elif location.state is State.COMPLETE:
            self._mark_failed(key, location, error)

    def _end_writing(self, key: DataKey, location: Reserved) -> None:
        if location.write_ids:
            self.database.write(
                lambda connection: writes.end_writing(
                    connection, key, location.backend, location.write_ids
                )
            )

    def _mark_failed(self, key: DataKey, location: Location, error: BaseException) -> None:
        # Which writing it is about must be known before another look: it may be replaced then.
        write_id = self._write_id(key, location)
        if isinstance(error, DataCorrupted):
            state = DAMAGED
        elif isinstance(error, DataNotAvailable) and self._is_gone(location):
            state = ABSENT
        else:
            return
        facts = {"state": state, "failed_s": time.time(), "failure": failure_text(error)}
        self._mark(key, location.backend, facts, write_id)

    def _write_id(self, key: DataKey, location: Location) -> str | None:
        if location.metadata is not None:
            return location.metadata.write_id
        rows = self.database.read(lambda connection: copies_of(connection, key))
        return next((row.write_id for row in rows if row.backend == location.backend), None)

    def _is_gone(self, location: Location) -> bool:
        """Ask once more: a place that says twice that nothing is there is believed."""
        try:
            self.backends[location.backend].get_metadata(location.backend_key).check_loadable()
        except DataNotAvailable:
            return True
        except Exception:  # noqa: BLE001 - then nobody knows
            return False
        return False

    def _mark(
        self, key: DataKey, backend: str, facts: Mapping[str, Any], write_id: str | None
    ) -> None:
        if self.readonly:
            return
        self.database.write(
            lambda connection: writes.mark(connection, key, backend, facts, write_id=write_id)
        )


def _is_outage(error: BaseException) -> bool:
    """Say whether an error of a reader tells of the place, not of the data in it."""
    if isinstance(error, StorageError):
        return isinstance(error, StorageUnavailable | AccessDenied)
    return isinstance(error, Exception)
