"""Checks of a catalogue by `strax doctor`; its backends have checks of their own."""

import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from strax_core import Check, StorageUnavailable
from strax_sql.catalogue import (
    ABSENT,
    COMPLETE,
    COPIES,
    DAMAGED,
    LINEAGES,
    PIECES,
    REMOVING,
    RUNS,
    SCHEMA,
    WRITING,
)
from strax_sql.database import Database, reach_checks
from strax_sql.options import SQLITE, DatabaseOptions

_STATES = (COMPLETE, WRITING, REMOVING, DAMAGED, ABSENT)


def catalogue_checks(
    database: Database, backends: Collection[str], *, writes: bool
) -> Iterator[Check]:
    """Iterate over what is found out about a catalogue, until something is so bad that it cannot.

    Args:
        database: of the catalogue.
        backends: names of those that it has.
        writes: whether to try writing, too; then the tables are made if they are not there.
    """
    bare = Database(database.options, creates=False)  # it need not have the tables
    try:
        for check in _checks_of(bare, backends):
            yield check
            if not check.is_good:
                return
    finally:
        bare.close()
    if writes:
        yield Check.of("write", lambda: database.write(_write))


def _checks_of(bare: Database, backends: Collection[str]) -> Iterator[Check]:
    if bare.options.is_sqlite:
        yield Check.of("file", lambda: _file(bare.options))
    yield from reach_checks(bare)
    yield Check.of("tables", lambda: bare.read(_tables))
    yield Check.of("contents", lambda: bare.read(_contents))
    yield Check.of("copies", lambda: bare.read(lambda link: _copies(link, backends)))


def _file(options: DatabaseOptions) -> str:
    path = Path(options.place.removeprefix(SQLITE))
    if path.exists():
        return f"{path.stat().st_size / 1e6:,.1f} MB"
    if path.parent.is_dir():
        raise StorageUnavailable(
            f"{path} is not there yet: the first save makes it, or `strax catalog rebuild`; or the "
            "url is not right"
        )
    raise StorageUnavailable(
        f"{path.parent} is not there: is it mounted? If it is new, make it: mkdir -p {path.parent}"
    )


def _tables(connection: Connection) -> str:
    found = SCHEMA.version_in(connection)
    if found is None:
        return "none yet; the first save makes them, or `strax catalog rebuild`"
    SCHEMA.prepare(connection, creates=False)
    return f"of version {found}"


def _contents(connection: Connection) -> str:
    n_pieces, n_runs = (_count(connection, table) for table in (PIECES, RUNS))
    return f"{n_pieces:,} pieces of data, {n_runs:,} documents about runs"


def _count(connection: Connection, table: Table) -> int:
    if SCHEMA.version_in(connection) is None:
        return 0
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _copies(connection: Connection, backends: Collection[str]) -> str:
    numbers: dict[str, dict[str, int]] = {name: {} for name in backends}
    if SCHEMA.version_in(connection) is not None:
        query = select(COPIES.c.backend, COPIES.c.state, func.count())
        for name, state, number in connection.execute(query.group_by("backend", "state")):
            numbers.setdefault(name, {})[state] = number
    return "; ".join(
        f"{name}{'' if name in backends else ', which is not among the backends'}: {_told(states)}"
        for name, states in numbers.items()
    )


def _told(numbers: dict[str, int]) -> str:
    told = [f"{numbers[state]:,} {state}" for state in _STATES if state in numbers]
    return ", ".join(told) or "none"


def _write(connection: Connection) -> str:
    """Do in each table all that is ever done there; in one transaction, which leaves nothing."""
    name = f"doctor_{secrets.token_hex(8)}"
    lineage = {"digest": name, "document": "{}"}
    lineage_id = _entered(connection, LINEAGES, lineage)
    piece = {"run_id": name, "data_type": name, "lineage_hash": "", "lineage_id": lineage_id}
    piece_id = _entered(connection, PIECES, piece)
    copy = {"piece_id": piece_id, "backend": name, "backend_key": name, "state": WRITING}
    connection.execute(insert(COPIES).values(copy))
    run = {"run_id": name, "document": "{}", "searchable": {}}
    connection.execute(insert(RUNS).values(run))
    connection.execute(update(COPIES).where(COPIES.c.piece_id == piece_id).values(state=ABSENT))
    connection.execute(update(RUNS).where(RUNS.c.run_id == name).values(document="[]"))
    connection.execute(delete(COPIES).where(COPIES.c.piece_id == piece_id))
    connection.execute(delete(PIECES).where(PIECES.c.id == piece_id))
    connection.execute(delete(LINEAGES).where(LINEAGES.c.id == lineage_id))
    connection.execute(delete(RUNS).where(RUNS.c.run_id == name))
    return "rows were entered in all tables, changed, and taken out again"


def _entered(connection: Connection, table: Table, row: Mapping[str, object]) -> int:
    """Enter a row; return its number."""
    query = insert(table).values(row).returning(table.c.id)
    number: int = connection.execute(query).scalar_one()
    return number
