"""Repairs the catalogue from the storage: enters what lies there, and takes out the rest."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, update

from strax_sql.catalogue import COPIES, DAMAGED, FACTS, FAILURE_LETTERS_MAX, PIECES, register
from strax_sql.upkeep.compare import Difference, Row

# A row as it was compared; if it was changed meanwhile, it is left alone.
_AS_COMPARED = (
    COPIES.c.piece_id == bindparam("row_piece_id"),
    COPIES.c.backend == bindparam("row_backend"),
    COPIES.c.state == bindparam("row_state"),
    COPIES.c.write_id.is_not_distinct_from(bindparam("row_write_id")),
    COPIES.c.failed_s.is_not_distinct_from(bindparam("row_failed_s")),
)
_TAKE_OUT = delete(COPIES).where(*_AS_COMPARED)
_DROP_IF_EMPTY = delete(PIECES).where(
    PIECES.c.id == bindparam("row_piece_id"), ~exists().where(COPIES.c.piece_id == PIECES.c.id)
)
_CORRECT = (
    update(COPIES)
    .where(*_AS_COMPARED)
    .values({name: bindparam(name) for name in FACTS})
    .values(verified_s=None, failed_s=None, failure=None)
)
_MARK = (
    update(COPIES)
    .where(*_AS_COMPARED)
    .values(state=DAMAGED, failed_s=bindparam("failed_s"), failure=bindparam("failure"))
)


def mend(connection: Connection, backend: str, differences: Sequence[Difference]) -> None:
    """Do away with differences between the catalogue and one backend.

    Args:
        connection: in a transaction.
        backend: its name.
        differences: of these; what has neither a row nor an entry is left alone.
    """
    with_rows = [(each, _parameters(each.row, backend)) for each in differences if each.row]
    gone = [row for each, row in with_rows if each.entry is None and each.damage is None]
    _execute(connection, _TAKE_OUT, gone)
    _execute(connection, _DROP_IF_EMPTY, [{"row_piece_id": row["row_piece_id"]} for row in gone])
    now_s = time.time()
    _execute(
        connection,
        _MARK,
        [
            {**row, "failed_s": now_s, "failure": each.damage[:FAILURE_LETTERS_MAX]}
            for each, row in with_rows
            if each.damage is not None
        ],
    )
    _execute(
        connection,
        _CORRECT,
        [{**row, **each.entry.facts} for each, row in with_rows if each.entry is not None],
    )
    entries = [each.entry for each in differences if each.entry is not None and each.row is None]
    if entries:
        register(connection, entries)


def _parameters(row: Row, backend: str) -> dict[str, Any]:
    return {
        "row_piece_id": row.piece_id,
        "row_backend": backend,
        "row_state": row.state,
        "row_write_id": row.facts["write_id"],
        "row_failed_s": row.failed_s,
    }


def _execute(connection: Connection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)
