"""Upkeep of the catalogue: compares it with the storage, repairs it, and lists what it holds."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select

from strax_core import Check, DataCorrupted, DataKey, StorageBackend, StorageError
from strax_sql.catalogue import COMPLETE, COPIES, LINEAGES, PIECES, lineage_of
from strax_sql.database import Database
from strax_sql.runs import RunStore
from strax_sql.upkeep.compare import Comparison
from strax_sql.upkeep.repair import mend
from strax_sql.upkeep.scan import Scan, scan

KEYS_AT_ONCE = 1000
_LOG = logging.getLogger("strax_core")


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """Looks after one catalogue.

    Args:
        database: with its tables.
        backends: that hold the data.
        runs: the documents about runs.
        grace_time_s: after how long a writer that has not ended counts as dead.
    """

    database: Database
    backends: Mapping[str, StorageBackend]
    runs: RunStore
    grace_time_s: float

    def compare(self, *, thorough: bool, dry_run: bool) -> Iterator[Check]:
        """Iterate over differences, and mend them unless `dry_run`; some are mended at once.

        A backend that does not answer is one of them, and nothing is changed about it.
        """
        is_new = dry_run and not self.database.is_there()
        scans: dict[str, Scan] = {}
        for name, backend in self.backends.items():
            comparison = Comparison(
                database=None if is_new else self.database,
                name=name,
                backend=backend,
                thorough=thorough,
                grace_time_s=self.grace_time_s,
            )
            try:
                scans[name] = scan(backend)
                for batch in comparison.batches(scans[name].pieces):
                    if batch and not dry_run:
                        self.database.write(partial(mend, backend=name, differences=batch))
                    for each in batch:
                        yield Check(each.name, is_good=False, text=each.text)
            except StorageError as error:
                yield Check(name, is_good=False, text=f"could not be compared: {error}")
        filed = {name: each.runs for name, each in scans.items()}
        yield from self.runs.compare(self.backends, filed, is_new=is_new, dry_run=dry_run)

    def keys(self, *, missing_in: str | None) -> Iterator[DataKey]:
        """Iterate over all that has a good copy, and has none in a certain backend.

        What has a lineage that cannot be read is logged, and left out.
        """
        after = -1
        while rows := self.database.read(partial(_keys, after=after, missing_in=missing_in)):
            for number, run_id, data_type, text in rows:
                after = number
                try:
                    key = DataKey(run_id, data_type, lineage_of(text))
                except DataCorrupted as error:
                    _LOG.warning("%s of run %s is left out: %s", data_type, run_id, error)
                    continue
                yield key


def _keys(
    connection: Connection, *, after: int, missing_in: str | None
) -> list[tuple[int, str, str, str]]:
    is_good = (COPIES.c.piece_id == PIECES.c.id) & (COPIES.c.state == COMPLETE)
    query = (
        select(PIECES.c.id, PIECES.c.run_id, PIECES.c.data_type, LINEAGES.c.document)
        .join(LINEAGES, LINEAGES.c.id == PIECES.c.lineage_id)
        .where(PIECES.c.id > after, select(COPIES.c.piece_id).where(is_good).exists())
        .order_by(PIECES.c.id)
        .limit(KEYS_AT_ONCE)
    )
    if missing_in is not None:
        there = select(COPIES.c.piece_id).where(is_good, COPIES.c.backend == missing_in)
        query = query.where(~there.exists())
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]
