"""Compares the catalogue with the storage: what it lists, and what lies there."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from strax_core import (
    AccessDenied,
    DataCorrupted,
    DataKey,
    DataNotAvailable,
    Metadata,
    NewerFormat,
    StorageBackend,
    StorageError,
)
from strax_sql.catalogue import (
    ABSENT,
    COMPLETE,
    COPIES,
    DAMAGED,
    LINEAGES,
    PIECES,
    REMOVING,
    WRITING,
    Asked,
    Entry,
    facts_of,
)
from strax_sql.database import Database
from strax_sql.upkeep.metadata_reader import READERS, Answer, MetadataReader

PIECES_AT_ONCE = 500
_SETTLED = (COMPLETE, DAMAGED)
_COMPARED = ("write_id", "data_id", "size_bytes", "n_bytes", "n_rows", "start_ns", "end_ns")


@dataclass(frozen=True, slots=True)
class Row:
    """One copy, as it stands in the catalogue."""

    piece_id: int
    lineage: str
    """The digest of it."""
    backend_key: str
    state: str
    written_s: float | None
    failed_s: float | None
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing in which catalogue and storage differ."""

    name: str
    """Place and piece of data that it is about."""
    text: str
    entry: Entry | None = None
    """Entry that should stand in the catalogue; None if none should."""
    row: Row | None = None
    """Row that stands there and is wrong; None if none is."""
    damage: str | None = None
    """Reason why what lies there cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares one backend with the catalogue, some pieces of data at a time.

    Args:
        database: with the tables of the catalogue; None: there is none yet.
        name: of the backend.
        backend: that holds the data.
        thorough: read the metadata of all that lies there; else only of what is not entered.
        grace_time_s: after how long a writer that has not ended counts as dead.
    """

    database: Database | None
    name: str
    backend: StorageBackend
    thorough: bool
    grace_time_s: float

    def batches(self, names: Sequence[str]) -> Iterator[list[Difference]]:
        """Iterate over differences; what was dealt with does not come again the next time.

        Args:
            names: of all folders of the backend that a piece of data may have.

        Raises:
            StorageError: the backend or the catalogue did not answer.
        """
        with ThreadPoolExecutor(READERS) as threads:
            reader = MetadataReader(self.backend, threads)
            for some in _batches(names, PIECES_AT_ONCE):
                yield list(self._of_folders(some, reader))
            if self.database is not None:
                there = set(names)
                for rows in self._all_rows(self.database):
                    missing = [row for row in rows if row.backend_key not in there]
                    yield list(self._of_missing(missing, reader))

    def _of_folders(self, names: Sequence[str], reader: MetadataReader) -> Iterator[Difference]:
        known = self._known(names)
        asked = [
            name
            for name in names
            if self.thorough or not any(r.state in _SETTLED for r in known.get(name, ()))
        ]
        for name, found in zip(asked, reader.read(asked), strict=True):
            yield from self._of_folder(name, found, known.get(name, ()))

    def _of_folder(self, name: str, found: Answer, rows: Sequence[Row]) -> Iterator[Difference]:
        if not isinstance(found, Metadata):
            return self._of_unreadable(name, found, rows)
        entry = self._entry(name, found)
        if entry is None:
            what = f"{found.data_type} of run {found.run_id} lies there"
            return self._of_unreadable(name, DataNotAvailable(what), rows)
        return self._of_readable(name, entry, rows)

    def _of_unreadable(
        self, name: str, error: StorageError, rows: Sequence[Row]
    ) -> Iterator[Difference]:
        """Yield what is entered, and cannot be had."""
        what = f"{self.name}/{name}"
        if isinstance(error, DataCorrupted):
            for row in rows:
                if row.state == COMPLETE:
                    text = f"entered, and cannot be read: {error}"
                    yield Difference(name=what, text=text, row=row, damage=str(error))
        elif isinstance(error, DataNotAvailable):
            for row in rows:
                if why := self._why_not(row, str(error)):
                    yield Difference(name=what, text=why, row=row)
        elif isinstance(error, NewerFormat | AccessDenied):
            yield Difference(name=what, text=f"could not be looked at: {error}")
        else:
            raise error

    def _why_not(self, row: Row, error: str) -> str:
        """Return why a row should not be there, as there are no data; an empty text if it should.

        A writer may be at work.
        """
        if row.state == ABSENT:
            return "was found to be gone"
        if row.state != WRITING:
            return f"entered, and is not there: {error}"
        silent_s = time.time() - (row.written_s or 0)
        if silent_s > self.grace_time_s:
            return f"its writing began {silent_s:.0f} s ago and never ended"
        return ""

    def _of_readable(self, name: str, entry: Entry, rows: Sequence[Row]) -> Iterator[Difference]:
        what = f"{self.name}/{name}"
        entered = [row for row in rows if row.state in (*_SETTLED, REMOVING)]
        same = [row for row in entered if row.lineage == entry.identity[3]]
        for row in entered:
            if row not in same:
                text = "entered with another lineage than lies there"
                yield Difference(name=what, text=text, row=row)
        if not same:
            yield Difference(name=what, text="lies there, and is not entered", entry=entry)
        for row in same:
            if row.state == REMOVING:
                yield from self._of_removing(what, entry, row)
                continue
            # What is damaged stays so until it is written again.
            compared = ("write_id",) if row.state == DAMAGED else _COMPARED
            differing = [each for each in compared if row.facts[each] != entry.facts[each]]
            if differing:
                text = f"entered with other values of {', '.join(differing)}"
                yield Difference(name=what, text=text, entry=entry, row=row)

    def _of_removing(self, what: str, entry: Entry, row: Row) -> Iterator[Difference]:
        """Yield what was to be removed and is there still, unless someone may be at it."""
        silent_s = time.time() - (row.failed_s or 0)
        if silent_s > self.grace_time_s:
            text = f"its removal began {silent_s:.0f} s ago and never ended"
            yield Difference(name=what, text=text, entry=entry, row=row)

    def _entry(self, name: str, metadata: Metadata) -> Entry | None:
        """Return what should be entered; None if a folder holds something else than its name."""
        parts = DataKey.parse_name(name)
        if parts is None or parts[:2] != (metadata.run_id, metadata.data_type):
            return None
        return Entry(
            run_id=parts[0],
            data_type=parts[1],
            lineage_hash=parts[2],
            lineage=metadata.lineage,
            backend=self.name,
            backend_key=name,
            facts=facts_of(metadata),
        )

    def _of_missing(self, rows: Sequence[Row], reader: MetadataReader) -> Iterator[Difference]:
        """Yield what is entered, and of which there is no folder."""
        # Once more: what was written since the listing is there.
        names = [row.backend_key for row in rows]
        for row, found in zip(rows, reader.read(names), strict=True):
            if not isinstance(found, Metadata):
                yield from self._of_unreadable(row.backend_key, found, [row])

    def _known(self, names: Sequence[str]) -> dict[str, list[Row]]:
        if self.database is None:
            return {}

        def ask(connection: Connection) -> list[Row]:
            asked = Asked.of(connection, (name.split("-") for name in names))
            key = (PIECES.c.run_id, PIECES.c.data_type, PIECES.c.lineage_hash)
            source = asked.source.join(PIECES, asked.equal(*key))
            query = _ROWS.select_from(
                source.join(LINEAGES, LINEAGES.c.id == PIECES.c.lineage_id).join(
                    COPIES, COPIES.c.piece_id == PIECES.c.id
                )
            ).where(COPIES.c.backend == self.name)
            return [_row(each) for each in connection.execute(query, asked.parameters)]

        known: dict[str, list[Row]] = {}
        for row in self.database.read(ask):
            known.setdefault(row.backend_key, []).append(row)
        return known

    def _all_rows(self, database: Database) -> Iterator[list[Row]]:
        after = -1
        while True:

            def ask(connection: Connection, after: int = after) -> list[Row]:
                query = (
                    _ROWS.select_from(COPIES)
                    .join(PIECES, PIECES.c.id == COPIES.c.piece_id)
                    .join(LINEAGES, LINEAGES.c.id == PIECES.c.lineage_id)
                    .where(COPIES.c.backend == self.name, COPIES.c.piece_id > after)
                    .order_by(COPIES.c.piece_id)
                    .limit(10 * PIECES_AT_ONCE)
                )
                return [_row(each) for each in connection.execute(query)]

            rows = database.read(ask)
            if not rows:
                return
            yield rows
            after = rows[-1].piece_id


_ROWS = select(
    COPIES.c.piece_id,
    LINEAGES.c.digest,
    COPIES.c.backend_key,
    COPIES.c.state,
    COPIES.c.written_s,
    COPIES.c.failed_s,
    *(COPIES.c[name] for name in _COMPARED),
)


def _row(values: Sequence[Any]) -> Row:
    piece_id, lineage, backend_key, state, written_s, failed_s, *facts = values
    compared = dict(zip(_COMPARED, facts, strict=True))
    return Row(piece_id, lineage, backend_key, state, written_s, failed_s, compared)


def _batches(names: Sequence[str], size: int) -> Iterator[list[str]]:
    rest = iter(names)
    while batch := list(islice(rest, size)):
        yield batch
