"""Announces in the catalogue that one copy goes, so that two clients do not remove the last two."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, update

from strax_core import AccessDenied, DataKey, ReadOnlyError
from strax_sql.catalogue.queries import COMPLETE, REMOVING, CopyRow, copies_of
from strax_sql.catalogue.schema import COPIES
from strax_sql.catalogue.writes import is_copy
from strax_sql.database import Database


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The removal of the copy in one backend, visible to all other clients while it lasts.

    - To look whether a good copy stays, and to announce that this one goes, is one transaction. A
      copy that goes does not stay: so of several that each remove another copy, one keeps its own.
    - The announcement ends with the copy. If the removal failed half-way or its process died, it
      stands until someone asks for the same removal again, or rebuilds the catalogue.

    Args:
        key: of the data.
        backend: whose copy goes.
        place: what a person calls that backend.
        readable: the backends whose copy was just seen in the storage; None: nothing need stay.
    """

    key: DataKey
    backend: str
    place: str
    readable: Collection[str] | None
    began_s: float = field(default_factory=time.time)

    @contextmanager
    def announced(self, database: Database) -> Iterator[None]:
        """Announce it, for as long as it takes to remove the copy.

        Raises:
            ReadOnlyError: no other good copy stays.
        """
        database.write(self._announce)
        try:
            yield
        except (AccessDenied, ReadOnlyError):
            # It was refused. Of any other failure nobody knows whether the copy still goes.
            database.write(self._withdraw)
            raise

    def _announce(self, connection: Connection) -> None:
        if self.readable is not None:
            self._refuse_last(copies_of(connection, self.key))
        connection.execute(
            update(COPIES)
            .where(
                is_copy(self.key, self.backend),
                COPIES.c.state.in_([COMPLETE, REMOVING]),
            )
            .values(state=REMOVING, failed_s=self.began_s, failure=_who())
        )

    def _refuse_last(self, rows: Collection[CopyRow]) -> None:
        states = {row.backend: row.state for row in rows}
        others = {name: states[name] for name in self.readable or () if name in states}
        others.pop(self.backend, None)
        if states.get(self.backend) not in (COMPLETE, REMOVING) or COMPLETE in others.values():
            return
        going = sorted(name for name, state in others.items() if state == REMOVING)
        why = (
            f" that stays: the one in {', '.join(going)} is being removed. If that was broken off, "
            "remove it again, or let `strax catalog rebuild` count it again after the grace time"
        )
        raise ReadOnlyError(
            f"{self.place} has the last good copy of {self.key}{why if going else ''}; copy it "
            "first, or say force=True"
        )

    def _withdraw(self, connection: Connection) -> None:
        connection.execute(
            update(COPIES)
            .where(
                is_copy(self.key, self.backend),
                COPIES.c.state == REMOVING,
                COPIES.c.failed_s == self.began_s,
            )
            .values(state=COMPLETE, failed_s=None, failure=None)
        )


def _who() -> str:
    import socket

    return f"by process {os.getpid()} on {socket.gethostname()}"
