"""Documents about runs, as the catalogue keeps them."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import JSON, Connection, Text, case, cast, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from strax_core import decode_run_document
from strax_sql.catalogue import RUNS, insert_into
from strax_sql.database import Database

RUNS_AT_ONCE = 1000
_NOT_IN_DATABASES = ("NaN", "Infinity", "\\u0000", "\\ud")
"""What may stand in JSON as Python writes it: numbers that are none, letters that are none."""
_STRANGE = re.compile("[\0\ud800-\udfff]")
_INSTEAD = "\N{REPLACEMENT CHARACTER}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write(connection: Connection, run_id: str, text: str, *, only_if_new: bool = False) -> None:
    """Keep a document, replacing an older one.

    Args:
        connection: in a transaction.
        run_id: which run it is about.
        text: as `encode_run_document` gives it.
        only_if_new: keep the older one, if there is one.
    """
    row = {"run_id": run_id, "document": text, **_searched(run_id, text)}
    insert = insert_into(connection, RUNS)
    if only_if_new:
        connection.execute(insert.on_conflict_do_nothing(index_elements=[RUNS.c.run_id]), [row])
        return
    replaced = {name: insert.excluded[name] for name in row if name != "run_id"}
    connection.execute(
        insert.on_conflict_do_update(index_elements=[RUNS.c.run_id], set_=replaced), [row]
    )


def text_of(connection: Connection, run_id: str) -> str | None:
    """Return the document about a run; None if there is none."""
    return connection.execute(select(RUNS.c.document).where(RUNS.c.run_id == run_id)).scalar()


def run_ids(database: Database) -> set[str]:
    """Return all runs that have a document."""
    return database.read(lambda connection: set(connection.scalars(select(RUNS.c.run_id))))


def _page(connection: Connection, after: str, conditions: Sequence[Any]) -> list[tuple[str, str]]:
    """Return runs and their documents, those that follow this run in the order of names."""
    query = (
        select(RUNS.c.run_id, RUNS.c.document)
        .where(RUNS.c.run_id > after, *conditions)
        .order_by(RUNS.c.run_id)
        .limit(RUNS_AT_ONCE)
    )
    return [(run_id, text) for run_id, text in connection.execute(query)]


def fields_pages(
    database: Database, fields: Sequence[str]
) -> Iterator[tuple[str, dict[str, str], str | None]]:
    """Iterate over runs, JSON texts of some fields, and the whole document if it is no plain JSON.

    A field that a document does not have is left out. Dots reach inside, as in `select_fields`.
    """
    after = ""
    while page := database.read(partial(_fields_page, after=after, fields=fields)):
        for run_id, whole, *texts in page:
            found = dict(_first_found(fields, iter(texts)))
            yield run_id, found, whole
        after = page[-1][0]


def _fields_page(connection: Connection, after: str, fields: Sequence[str]) -> list[Any]:
    is_wide = or_(*(RUNS.c.document.contains(each, autoescape=True) for each in _NOT_IN_DATABASES))
    columns = [
        case((is_wide, None), else_=_at_path(connection, path))
        for field in fields
        for path in paths_of(field)
    ]
    query = (
        select(RUNS.c.run_id, case((is_wide, RUNS.c.document), else_=None), *columns)
        .where(RUNS.c.run_id > after)
        .order_by(RUNS.c.run_id)
        .limit(RUNS_AT_ONCE)
    )
    return list(connection.execute(query))


def paths_of(field: str) -> list[list[str]]:
    """Return where a dotted name may lead, the first that is there counts."""
    steps = field.split(".")
    return [[*steps[:i], ".".join(steps[i:])] for i in range(len(steps))]


def _at_path(connection: Connection, path: Sequence[str]) -> ColumnElement[Any]:
    """Return the JSON text at a path; NULL if there is nothing."""
    if connection.dialect.name == "postgresql":
        return cast(func.json_extract_path(cast(RUNS.c.document, JSON), *path), Text)
    steps = "".join(f'."{step}"' for step in path)
    return RUNS.c.document.op("->")(f"${steps}")


def _first_found(fields: Sequence[str], texts: Iterator[str | None]) -> Iterator[tuple[str, str]]:
    for field in fields:
        found = [text for _, text in zip(paths_of(field), texts, strict=False) if text is not None]
        if found:
            yield field, found[0]


def _searched(run_id: str, text: str) -> dict[str, Any]:
    """Return what of a document is searched: JSON without NaN, and the times of the run."""
    document = decode_run_document(text.encode(), run_id)
    return {
        "searchable": _without_strange_letters(json.loads(text, parse_constant=lambda _: None)),
        "start_us": _microseconds(document.get("start")),
        "end_us": _microseconds(document.get("end")),
    }


def is_plain(text: str) -> bool:
    """Say whether a text has only letters that stand as they are in what is searched."""
    return _STRANGE.search(text) is None


def _without_strange_letters(value: Any) -> Any:
    """Return JSON with another letter for each that PostgreSQL has not."""
    if isinstance(value, str):
        return _STRANGE.sub(_INSTEAD, value)
    if isinstance(value, list):
        return [_without_strange_letters(each) for each in value]
    if isinstance(value, dict):
        return {
            _STRANGE.sub(_INSTEAD, name): _without_strange_letters(each)
            for name, each in value.items()
        }
    return value


def _microseconds(moment: object) -> int | None:
    if not isinstance(moment, datetime):
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1)


def pages(database: Database, conditions: Sequence[Any] = ()) -> Iterator[tuple[str, str]]:
    """Iterate over runs and their documents, some at a time: none waits for a slow reader."""
    after = ""
    while page := database.read(partial(_page, after=after, conditions=conditions)):
        yield from page
        after = page[-1][0]
