"""Brings the catalogue to what lies in the storage: what is there is entered, the rest goes."""

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select, update

from strax_sql.comparing import Difference, Row
from strax_sql.questions import COMPLETE, DAMAGED
from strax_sql.registering import FAILURE_LETTERS_MAX, register
from strax_sql.schema import COPIES, PIECES


def mend(connection: Connection, backend: str, differences: Sequence[Difference]) -> None:
    """Do away with differences between the catalogue and one backend."""
    gone: list[Row] = []
    for each in differences:
        if each.row is None or each.entry is not None:
            continue
        if each.damage is None:
            gone.append(each.row)
        else:
            _mark_damaged(connection, backend, each.row, each.damage)
    _take_out(connection, backend, gone)
    entries = [each.entry for each in differences if each.entry is not None]
    if entries:
        register(connection, entries, were_compared=True)


def _take_out(connection: Connection, backend: str, rows: Iterable[Row]) -> None:
    """Remove copies, and pieces of data without any; not what was entered anew meanwhile."""
    for row in rows:
        connection.execute(
            delete(COPIES).where(
                COPIES.c.piece_id == row.piece_id,
                COPIES.c.backend == backend,
                COPIES.c.state == row.state,
                COPIES.c.write_id.is_not_distinct_from(row.facts["write_id"]),
            )
        )
        has_copies = select(COPIES.c.piece_id).where(COPIES.c.piece_id == PIECES.c.id).exists()
        connection.execute(delete(PIECES).where(PIECES.c.id == row.piece_id, ~has_copies))


def _mark_damaged(connection: Connection, backend: str, row: Row, why: str) -> None:
    connection.execute(
        update(COPIES)
        .where(
            COPIES.c.piece_id == row.piece_id,
            COPIES.c.backend == backend,
            COPIES.c.state == COMPLETE,
        )
        .values(state=DAMAGED, failed_s=time.time(), failure=why[:FAILURE_LETTERS_MAX])
    )
