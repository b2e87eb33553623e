"""Writes to the catalogue: enters copies, and what became of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from strax_core import DataKey, Lineage, Metadata
from strax_sql.catalogue.lineages import digest_of, text_of
from strax_sql.catalogue.queries import ABSENT, COMPLETE, DAMAGED, REMOVING, WRITING, Asked
from strax_sql.catalogue.schema import COPIES, LINEAGES, PIECES

FAILURE_LETTERS_MAX = 1000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One copy, as it is to stand in the catalogue."""

    run_id: str
    data_type: str
    lineage_hash: str
    lineage: Lineage
    backend: str
    backend_key: str
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, key: DataKey, backend: str, backend_key: str, facts: Mapping[str, Any]) -> "Entry":
        """Return the entry of a copy whose key is known."""
        return cls(
            run_id=key.run_id,
            data_type=key.data_type,
            lineage_hash=key.lineage_hash,
            lineage=key.lineage,
            backend=backend,
            backend_key=backend_key,
            facts=facts,
        )

    @property
    def identity(self) -> list[str]:
        """Values that name the piece of data."""
        return [self.run_id, self.data_type, self.lineage_hash, digest_of(self.lineage)]


def failure_text(error: BaseException) -> str:
    """Return what is noted of an error."""
    return f"{type(error).__name__}: {error}"[:FAILURE_LETTERS_MAX]


def facts_of(metadata: Metadata) -> dict[str, Any]:
    """Return what the catalogue keeps of a complete copy; all of it stands in the metadata."""
    infos = metadata.chunks
    sizes = [info.filesize for info in infos if info.filename is not None]
    ended = metadata.get("writing_ended")
    return {
        "state": COMPLETE,
        "write_id": metadata.write_id,
        "data_id": metadata.data_id,
        # strax leaves sizes out where other processes wrote.
        "size_bytes": None if None in sizes else sum(size or 0 for size in sizes),
        "n_bytes": sum(info.nbytes for info in infos),
        "n_rows": sum(info.n for info in infos),
        "start_ns": infos[0].start,
        "end_ns": infos[-1].end,
        "written_s": float(ended) if isinstance(ended, int | float) else None,
    }


def register(connection: Connection, entries: Sequence[Entry]) -> None:
    """Enter complete copies; what stood there of an older writing is replaced.

    Args:
        connection: in a transaction.
        entries: of one copy each.
    """
    rows = _rows(connection, entries)
    insert = insert_into(connection, COPIES)
    new = insert.excluded
    rewritten = {name: new[name] for name in (*FACTS, "backend_key")}
    is_another = COPIES.c.write_id.is_distinct_from(new.write_id)
    is_later = COPIES.c.written_s <= new.written_s
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[COPIES.c.piece_id, COPIES.c.backend],
            set_={**rewritten, "verified_s": None, "failed_s": None, "failure": None},
            where=or_(
                # Not `in_`, which SQLAlchemy cannot do for many rows at once.
                COPIES.c.state == WRITING,
                COPIES.c.state == ABSENT,
                # What is damaged stays so until it was replaced.
                and_(COPIES.c.state == DAMAGED, is_another),
                # Of two that replaced one another, the later may have been entered first.
                and_(is_another, or_(COPIES.c.written_s.is_(None), is_later)),
            ),
        ),
        rows,
    )


def begin(connection: Connection, entry: Entry) -> None:
    """Enter that a copy is being written; one that is there already stays what it is."""
    (row,) = _rows(connection, [entry])
    insert = insert_into(connection, COPIES)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[COPIES.c.piece_id, COPIES.c.backend],
            set_={name: insert.excluded[name] for name in FACTS},
            where=COPIES.c.state.in_([WRITING, ABSENT]),
        ),
        [row],
    )


def end_writing(
    connection: Connection, key: DataKey, backend: str, write_ids: Sequence[str | None]
) -> None:
    """Take note that writings failed."""
    connection.execute(
        delete(COPIES).where(
            is_copy(key, backend), COPIES.c.state == WRITING, COPIES.c.write_id.in_(write_ids)
        )
    )
    _drop_empty(connection, key)


def forget(connection: Connection, key: DataKey, backend: str, write_id: str | None) -> None:
    """Take a copy out that was removed, unless another was written since."""
    connection.execute(
        delete(COPIES).where(
            is_copy(key, backend),
            or_(
                COPIES.c.write_id.is_not_distinct_from(write_id),
                COPIES.c.state == ABSENT,
            ),
        )
    )
    _drop_empty(connection, key)


def mark(
    connection: Connection,
    key: DataKey,
    backend: str,
    facts: Mapping[str, Any],
    *,
    write_id: str | None,
) -> None:
    """Take note of what became of a copy that was complete, if it is of this writing.

    Of one that is being removed, only what is wrong with it: it stays announced that it goes.
    """
    states = [COMPLETE, DAMAGED, *([] if facts["state"] == COMPLETE else [REMOVING])]
    connection.execute(
        update(COPIES)
        .where(
            is_copy(key, backend),
            COPIES.c.state.in_(states),
            COPIES.c.write_id.is_not_distinct_from(write_id),
        )
        .values(**facts)
    )


FACTS = (  # what is kept of each writing
    *("state", "write_id", "data_id", "size_bytes", "n_bytes", "n_rows"),
    *("start_ns", "end_ns", "written_s"),
)


def insert_into(connection: Connection, table: Table) -> Any:
    """Return an insert that can say what to do if there is such a row already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def is_copy(key: DataKey, backend: str) -> Any:
    """Return the condition that a row is of this copy."""
    return and_(COPIES.c.piece_id.in_(_ids(key)), COPIES.c.backend == backend)


def _ids(key: DataKey) -> Any:
    return (
        select(PIECES.c.id)
        .join(LINEAGES, LINEAGES.c.id == PIECES.c.lineage_id)
        .where(
            PIECES.c.run_id == key.run_id,
            PIECES.c.data_type == key.data_type,
            PIECES.c.lineage_hash == key.lineage_hash,
            LINEAGES.c.digest == digest_of(key.lineage),
        )
    )


def _drop_empty(connection: Connection, key: DataKey) -> None:
    """Take a piece of data out that has no copy any more."""
    has_copies = select(COPIES.c.piece_id).where(COPIES.c.piece_id == PIECES.c.id).exists()
    connection.execute(delete(PIECES).where(PIECES.c.id.in_(_ids(key)), ~has_copies))


def _rows(connection: Connection, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the rows of copies, after their lineages and pieces were entered."""
    lineages = {digest_of(entry.lineage): entry.lineage for entry in entries}
    lineage_ids = _entered(
        connection,
        LINEAGES,
        [{"digest": digest, "document": text_of(each)} for digest, each in lineages.items()],
        ["digest"],
    )
    pieces = [
        {
            "run_id": entry.run_id,
            "data_type": entry.data_type,
            "lineage_hash": entry.lineage_hash,
            "lineage_id": lineage_ids[(digest_of(entry.lineage),)],
        }
        for entry in entries
    ]
    names = ["run_id", "data_type", "lineage_hash", "lineage_id"]
    piece_ids = _entered(connection, PIECES, pieces, names)
    return [
        {
            **dict.fromkeys(FACTS),
            "piece_id": piece_ids[tuple(piece[name] for name in names)],
            "backend": entry.backend,
            "backend_key": entry.backend_key,
            **entry.facts,
        }
        for entry, piece in zip(entries, pieces, strict=True)
    ]


def _entered(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], unique: Sequence[str]
) -> dict[tuple[Any, ...], int]:
    """Return the numbers of rows, by what is unique in them; what is new is entered first."""
    found = _numbers(connection, table, rows, unique)
    new = {
        identity: dict(row)
        for row in rows
        if (identity := tuple(row[name] for name in unique)) not in found
    }
    if not new:
        return found
    insert = insert_into(connection, table).on_conflict_do_nothing(index_elements=list(unique))
    connection.execute(insert, list(new.values()))
    return _numbers(connection, table, rows, unique)


def _numbers(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], unique: Sequence[str]
) -> dict[tuple[Any, ...], int]:
    asked = Asked.of(connection, ([row[name] for name in unique] for row in rows))
    query = select(table.c.id, *(table.c[name] for name in unique)).select_from(asked.source)
    found = connection.execute(
        query.join(table, asked.equal(*(table.c[name] for name in unique))), asked.parameters
    )
    return {tuple(values): number for number, *values in found}
