"""Filters documents about runs in SQL: what they leave out certainly does not match.

What is not said in SQL, core finds out: it looks at each document that comes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import and_, case, cast, column, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.sql.elements import ColumnElement

from strax_sql.catalogue import RUNS
from strax_sql.runs.documents import is_plain

_OTHERWISE_IN_TABLES = {"name", "number", "mode", "source", "tags", "start", "end", "livetime"}
"""Columns of a table of runs that are not just the field of that name."""
Condition = ColumnElement[bool]


def conditions_of(given: Mapping[str, Any], *, is_postgresql: bool) -> Iterator[Condition]:
    """Iterate over conditions; whatever fulfils those given fulfils each of them.

    Args:
        given: as `strax_core` gives them to `_select_runs`.
        is_postgresql: whether the database is one; else it is SQLite.
    """
    patterns = given.get("run_id")
    if patterns is not None and _are_plain(patterns):
        yield _like_any(RUNS.c.run_id, patterns)
    patterns = given.get("run_mode")
    if patterns is not None and _are_plain(patterns):
        yield (_mode_in_postgresql if is_postgresql else _mode_in_sqlite)(patterns)
    patterns = given.get("include_tags")
    if patterns is not None and _are_plain(patterns):
        if given.get("ignore_underscore"):
            patterns = [*patterns, *(f"_{each}" for each in patterns if each[:1] != "_")]
        yield (_tags_in_postgresql if is_postgresql else _tags_in_sqlite)(patterns)
    if "time_range" in given:
        first, last = given["time_range"]
        began = RUNS.c.start_us < _up(last)
        yield and_(began, or_(RUNS.c.end_us.is_(None), RUNS.c.end_us > first // 1000))
    for name, value in given.get("fields", {}).items():
        # Only texts: of numbers and truth values, databases and Python have different notions.
        is_text = isinstance(value, str) and is_plain(value) and is_plain(name)
        if is_text and name not in _OTHERWISE_IN_TABLES:
            yield (_field_in_postgresql if is_postgresql else _field_in_sqlite)(name, value)


def _up(ns: int) -> int:
    """Return a time in whole microseconds, rounded up."""
    return -(-ns // 1000)


def _are_plain(patterns: Iterable[object]) -> bool:
    """Say whether these are patterns that SQL has, too, and that fit no empty text."""
    return all(
        isinstance(each, str) and is_plain(each) and "[" not in each and not fnmatchcase("", each)
        for each in patterns
    )


def _like_any(text: ColumnElement[Any], patterns: Sequence[str]) -> Condition:
    return or_(False, *(text.like(_like(each), escape="\\") for each in patterns))  # noqa: FBT003


def _like(pattern: str) -> str:
    """Return what LIKE takes for a pattern of a shell without brackets."""
    for special in "\\%_":
        pattern = pattern.replace(special, f"\\{special}")
    return pattern.replace("*", "%").replace("?", "_")


# SQLite


def _mode_in_sqlite(patterns: Sequence[str]) -> Condition:
    kind = func.json_type(RUNS.c.searchable, "$.mode")
    text = func.json_extract(RUNS.c.searchable, "$.mode")
    return and_(kind.is_not(None), or_(kind != "text", _like_any(text, patterns)))


def _tags_in_sqlite(patterns: Sequence[str]) -> Condition:
    tags = func.json_each(RUNS.c.searchable, "$.tags").table_valued(
        column("value"), column("type"), column("atom"), name="tags"
    )
    name = func.json_extract(tags.c.value, "$.name")
    text = case((tags.c.type == "object", name), else_=tags.c.atom)
    # Tags are joined with commas and taken apart again: one with a comma stands for several.
    return (
        select(1).select_from(tags).where(or_(_like_any(text, patterns), text.like("%,%"))).exists()
    )


def _field_in_sqlite(name: str, value: str) -> Condition:
    if '"' in name or "\\" in name:
        return RUNS.c.run_id.is_not(None)
    nested = ".".join(f'"{step}"' for step in name.split("."))
    return or_(
        *(
            func.json_extract(RUNS.c.searchable, f"$.{path}") == value
            for path in (f'"{name}"', nested)
        )
    )


# PostgreSQL

_JSONB: Any = type_coerce(RUNS.c.searchable, JSONB)


def _mode_in_postgresql(patterns: Sequence[str]) -> Condition:
    mode = _JSONB["mode"]
    kind = func.jsonb_typeof(mode)
    return and_(kind.is_not(None), or_(kind != "string", _like_any(mode.astext, patterns)))


def _tags_in_postgresql(patterns: Sequence[str]) -> Condition:
    rules = [*map(_regular, patterns), ","]
    tests = [
        f'{what} like_regex {json.dumps(rule)} flag "s"'  # s: a dot is any letter, as in a shell
        for rule in rules
        for what in ("@", "@.name")
    ]
    path = f"$.tags[*] ? ({' || '.join(tests)})"
    return func.jsonb_path_exists(RUNS.c.searchable, cast(path, JSONPATH))


def _regular(pattern: str) -> str:
    letters = {"*": ".*", "?": "."}
    # A code for each other letter: so none has a meaning of its own.
    return f"^{''.join(letters.get(each) or _escaped(each) for each in pattern)}$"


def _escaped(letter: str) -> str:
    return letter if letter.isalnum() or letter == "_" else f"\\{letter}"


def _field_in_postgresql(name: str, value: str) -> Condition:
    nested: Any = value
    for step in reversed(name.split(".")):
        nested = {step: nested}
    return or_(*(_JSONB.contains(cast(each, JSONB)) for each in ({name: value}, nested)))
