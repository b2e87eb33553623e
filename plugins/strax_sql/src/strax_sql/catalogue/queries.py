"""Queries of the catalogue: the copies of one key, or of many."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from strax_core import DataKey
from strax_sql.catalogue.lineages import digest_of
from strax_sql.catalogue.schema import COPIES, LINEAGES, PIECES

WRITING, COMPLETE, DAMAGED, ABSENT = "writing", "complete", "damaged", "absent"
REMOVING = "removing"

_OF_COPY = (
    COPIES.c.backend,
    COPIES.c.backend_key,
    COPIES.c.state,
    COPIES.c.write_id,
    COPIES.c.data_id,
    COPIES.c.written_s,
    PIECES.c.lineage_id,
)


def _of_key(*columns: ColumnElement[Any]) -> Select[Any]:
    return (
        select(*columns)
        .join(PIECES, PIECES.c.id == COPIES.c.piece_id)
        .join(LINEAGES, LINEAGES.c.id == PIECES.c.lineage_id)
        .where(
            PIECES.c.run_id == bindparam("run_id"),
            PIECES.c.data_type == bindparam("data_type"),
            PIECES.c.lineage_hash == bindparam("lineage_hash"),
            LINEAGES.c.digest == bindparam("digest"),
        )
    )


_COPIES_OF_KEY = _of_key(*_OF_COPY).where(COPIES.c.state != ABSENT)
_FAILURES_OF_KEY = _of_key(
    COPIES.c.backend, COPIES.c.state, COPIES.c.failed_s, COPIES.c.failure
).where(COPIES.c.state.in_([DAMAGED, ABSENT, REMOVING]))


@dataclass(frozen=True, slots=True)
class CopyRow:
    """The catalogue's row of one copy."""

    backend: str
    backend_key: str
    state: str
    write_id: str | None
    data_id: str | None
    written_s: float | None
    lineage_id: int


@dataclass(frozen=True, slots=True)
class FailedCopy:
    """The reason why a copy is marked as damaged or absent; or who is removing it."""

    backend: str
    state: str
    failed_s: float | None
    failure: str | None


def copies_of(connection: Connection, key: DataKey) -> list[CopyRow]:
    """Return all copies of exactly this key that are not known to be absent."""
    return [CopyRow(*row) for row in connection.execute(_COPIES_OF_KEY, _parameters(key))]


def failures_of(connection: Connection, key: DataKey) -> list[FailedCopy]:
    """Return what is known of its copies that are damaged, absent or being removed."""
    return [FailedCopy(*row) for row in connection.execute(_FAILURES_OF_KEY, _parameters(key))]


def _parameters(key: DataKey) -> dict[str, str]:
    return {
        "run_id": key.run_id,
        "data_type": key.data_type,
        "lineage_hash": key.lineage_hash,
        "digest": digest_of(key.lineage),
    }


def copies_of_each(connection: Connection, keys: Sequence[DataKey]) -> dict[int, list[CopyRow]]:
    """Return the same for many keys, by their place in the list; in one query."""
    asked = Asked.of(
        connection, ([k.run_id, k.data_type, k.lineage_hash, digest_of(k.lineage)] for k in keys)
    )
    query = (
        select(asked.number, *_OF_COPY)
        .select_from(asked.source)
        .join(PIECES, asked.equal(PIECES.c.run_id, PIECES.c.data_type, PIECES.c.lineage_hash))
        .join(LINEAGES, LINEAGES.c.id == PIECES.c.lineage_id)
        .join(COPIES, COPIES.c.piece_id == PIECES.c.id)
        .where(COPIES.c.state != ABSENT, LINEAGES.c.digest == asked.item(3, LINEAGES.c.digest))
    )
    return _by_number(connection, query, asked)


def copies_of_any_lineage(
    connection: Connection, keys: Sequence[DataKey]
) -> dict[int, list[CopyRow]]:
    """Return, for many keys, the copies of the same run and data type, however they were made."""
    asked = Asked.of(connection, ([key.run_id, key.data_type] for key in keys))
    query = (
        select(asked.number, *_OF_COPY)
        .select_from(asked.source)
        .join(PIECES, asked.equal(PIECES.c.run_id, PIECES.c.data_type))
        .join(COPIES, COPIES.c.piece_id == PIECES.c.id)
        .where(COPIES.c.state.in_([COMPLETE, DAMAGED, REMOVING]))
    )
    return _by_number(connection, query, asked)


def lineage_texts(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return lineages by their number."""
    asked = Asked.of(connection, ([number] for number in sorted(set(ids))))
    query = (
        select(LINEAGES.c.id, LINEAGES.c.document)
        .select_from(asked.source)
        .join(LINEAGES, asked.equal(LINEAGES.c.id))
    )
    return {row.id: row.document for row in connection.execute(query, asked.parameters)}


def _by_number(
    connection: Connection, query: Select[Any], asked: "Asked"
) -> dict[int, list[CopyRow]]:
    found: dict[int, list[CopyRow]] = {}
    for number, *row in connection.execute(query, asked.parameters):
        found.setdefault(number, []).append(CopyRow(*row))
    return found


@dataclass(frozen=True)
class Asked:
    """Many short lists as one parameter, joined as if they were the rows of a table.

    So ten thousand keys are one query, of which no database limits the parameters.
    """

    source: FromClause
    number: ColumnElement[int]
    """Number of the list, counted from 0."""
    is_postgresql: bool
    parameters: dict[str, str]

    @classmethod
    def of(cls, connection: Connection, lists: Iterable[Sequence[object]]) -> "Asked":
        """Return what stands for these lists in a query on this connection."""
        parameters = {"asked": json.dumps(list(lists))}
        value = bindparam("asked", type_=Text)
        if connection.dialect.name == "postgresql":
            elements = func.jsonb_array_elements(cast(value, JSONB))
            source = elements.table_valued(
                column("value", JSONB), with_ordinality="number"
            ).render_derived(name="asked")
            number = cast(source.c.number, Integer) - 1
            return cls(source, number, is_postgresql=True, parameters=parameters)
        source = func.json_each(value).table_valued(
            column("key", Integer), column("value", Text), name="asked"
        )
        return cls(source, source.c.key, is_postgresql=False, parameters=parameters)

    def equal(self, *columns: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that the items of a list are the values of these columns."""
        return and_(*(each == self.item(i, each) for i, each in enumerate(columns)))

    def item(self, i: int, like: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the item `i` of a list, to be compared with a column."""
        value = self.source.c.value
        if self.is_postgresql:
            return cast(value.op("->>")(i), like.type)
        return func.json_extract(value, f"$[{i}]", type_=like.type)
