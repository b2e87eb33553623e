"""Tables about runs: one line a run, which runs match, and who has their data."""

import fnmatch
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from strax_core.arguments import did_you_mean, names
from strax_core.context.data_frame import RUN_ID, imported_pandas
from strax_core.errors import ConfigError

if TYPE_CHECKING:  # pandas is an extra, and slow to import
    import pandas as pd


COLUMNS = ("name", "number", "mode", "source", "start", "end", "livetime", "tags")
_DEFAULTS = "strax_defaults"
_KEPT_NESTED = ("sub_run_spec",)
_PATTERN_TYPES = ("fnmatch", "re")
Patterns = str | Iterable[str] | None


def runs_table(documents: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return one line for each run, sorted by name.

    The columns are `COLUMNS`, then all other fields of the documents, nested ones by a dotted
    path. What a document does not say is NaN or None. As upstream has it:

    * `tags`, `mode` and `source` are texts, joined with commas; empty if there are none.
    * `number` is that of the document, else the name as a number if it is one.
    * Dates are in UTC and carry no zone.
    * `livetime` is `end - start` unless the document says it.
    * `strax_defaults` are not listed.

    Of several documents about one run the first counts. A document with neither name nor number
    is left out, and a warning is logged.

    Raises:
        ConfigError: pandas is not installed.
    """
    pd = imported_pandas()
    lines: dict[str, dict[str, Any]] = {}
    for document in documents:
        line = _line(document)
        if line is None:
            logging.getLogger("strax_core").warning(
                "a run document has neither name nor number, and is left out: %r", document
            )
            continue
        lines.setdefault(line["name"], line)
    others = dict.fromkeys(field for line in lines.values() for field in line)
    columns = dict.fromkeys([*COLUMNS, *others])
    return pd.DataFrame([lines[name] for name in sorted(lines)], columns=list(columns))


def check_conditions(given: Iterable[str]) -> None:
    """Refuse names of conditions that `select` does not take.

    Raises:
        ConfigError: an unknown condition.
    """
    known = set(inspect.signature(select).parameters) - {"table"}
    for name in given:
        if name not in known:
            hint = did_you_mean(name, {*known, "available", "check"})
            raise ConfigError(f"there is no condition {name!r} to select runs by {hint}")


def select(  # noqa: PLR0913 - upstream's arguments
    table: "pd.DataFrame",
    *,
    run_mode: Patterns = None,
    run_id: Patterns = None,
    include_tags: Patterns = None,
    exclude_tags: Patterns = None,
    pattern_type: str = "fnmatch",
    ignore_underscore: bool = True,
    time_range: tuple[int, int] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> "pd.DataFrame":
    """Return the lines of a `runs_table` that match all that is given, as upstream selects.

    Args:
        table: from `runs_table`.
        run_mode: the mode matches one of these patterns.
        run_id: the name matches one of these patterns.
        include_tags: one of the run's tags matches one of these patterns.
        exclude_tags: none of the run's tags does; this counts more than `include_tags`.
        pattern_type: `fnmatch` for patterns as in a shell, of the whole text; `re` for regular
            expressions, from the start of the text.
        ignore_underscore: patterns that do not start with `_` match tags also without their `_`.
        time_range: the run began before its end, and had not ended at its start; ns since the Unix
            epoch. A run whose start is not known does not match.
        fields: each of these columns has this value.

    Raises:
        ConfigError: an unknown pattern type, patterns that are none, or no range of time.
    """
    if pattern_type not in _PATTERN_TYPES:
        kinds = " or ".join(_PATTERN_TYPES)
        raise ConfigError(f"there is no pattern_type {pattern_type!r}; give {kinds}")
    chosen = np.ones(len(table), dtype=bool)
    for option, column, patterns in (("run_id", "name", run_id), ("run_mode", "mode", run_mode)):
        if patterns is not None:
            matches = _matcher(option, patterns, pattern_type)
            chosen &= np.array([matches(text) for text in table[column]], dtype=bool)
    for option, patterns in (("include_tags", include_tags), ("exclude_tags", exclude_tags)):
        if patterns is not None:
            matches = _matcher(option, patterns, pattern_type, underscores=ignore_underscore)
            tagged = [any(map(matches, tags.split(","))) for tags in table["tags"]]
            chosen &= np.array(tagged, dtype=bool) ^ (option == "exclude_tags")
    if time_range is not None:
        first, last = checked_time_range(time_range)
        spans = zip(table["start"], table["end"], strict=True)
        chosen &= np.array([_overlaps(*span, first, last) for span in spans], dtype=bool)
    for field, value in (fields or {}).items():
        values = table[field] if field in table else [None] * len(table)
        chosen &= np.array([_is_equal(each, value) for each in values], dtype=bool)
    return table[chosen]


def for_databases(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return those conditions of `select` that a frontend may select by, and that were given.

    Not `exclude_tags`, nor regular expressions: databases have other notions of them.
    """
    given: dict[str, Any] = {}
    if conditions.get("pattern_type", "fnmatch") == "fnmatch":
        given |= {
            name: names(conditions[name], name)
            for name in ("run_mode", "run_id", "include_tags")
            if conditions.get(name) is not None
        }
        given["ignore_underscore"] = conditions.get("ignore_underscore", True)
    if conditions.get("time_range") is not None:
        given["time_range"] = checked_time_range(conditions["time_range"])
    if conditions.get("fields") is not None:
        given["fields"] = dict(conditions["fields"])
    return given


def checked_time_range(given: Any) -> tuple[int, int]:
    """Return a range of time in ns, or raise `ConfigError`."""
    try:
        first, last = (index(each) for each in given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"time_range is {given!r}; give start and end in ns") from error
    return first, last


def _overlaps(start: Any, end: Any, first: int, last: int) -> bool:
    began, ended = _ns(start), _ns(end)
    return began is not None and began < last and (ended is None or ended > first)


def _ns(moment: Any) -> int | None:
    """Return a time without a zone, which is in UTC, in ns; None if it is none."""
    if not isinstance(moment, datetime) or moment != moment:  # noqa: PLR0124 - NaT of pandas
        return None
    return int((moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)) * 1000  # noqa: DTZ001 - as in the table


def _is_equal(stored: Any, wanted: Any) -> bool:
    return type(stored == wanted) in (bool, np.bool_) and bool(stored == wanted)


def availability_table(
    run_ids: Sequence[str],
    targets: Sequence[str],
    places: Mapping[tuple[str, str], Sequence[str]],
) -> "pd.DataFrame":
    """Return which frontends have what: a line a run, a column a data type.

    Args:
        run_ids: the index, in this order.
        targets: the columns, in this order.
        places: names of the frontends that have a data type of a run. They are joined with
            commas; where there are none, the cell is empty.

    Raises:
        ConfigError: pandas is not installed.
    """
    pd = imported_pandas()
    cells = {
        target: [",".join(places.get((run_id, target), ())) for run_id in run_ids]
        for target in targets
    }
    index = pd.Index(list(run_ids), name=RUN_ID)
    return pd.DataFrame(cells, index=index, columns=list(targets))


def _line(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The line of one run; None if nobody can tell which run it is."""
    fields = {name: value for name, value in document.items() if name != _DEFAULTS}
    name, number = fields.get("name"), fields.get("number")
    if name is None:
        if number is None:
            return None
        name = f"{number:06d}" if isinstance(number, int) else str(number)
    line: dict[str, Any] = dict.fromkeys(COLUMNS)
    line |= _flat(fields)
    line["name"] = str(name)
    if number is None and line["name"].isascii() and line["name"].isdigit():
        line["number"] = int(line["name"])
    for field in ("mode", "source", "tags"):
        line[field] = _joined(fields.get(field))
    start, end = line["start"], line["end"]
    if line["livetime"] is None and isinstance(start, datetime) and isinstance(end, datetime):
        line["livetime"] = end - start
    elif line["name"].startswith("_") and isinstance(line["livetime"], float):
        line["livetime"] = timedelta(seconds=line["livetime"])  # so that superruns store it
    return line


def _flat(fields: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and name not in _KEPT_NESTED:
            flat |= _flat(value, f"{path}{name}.")
        elif isinstance(value, datetime) and value.tzinfo is not None:
            flat[f"{path}{name}"] = value.astimezone(UTC).replace(tzinfo=None)
        else:
            flat[f"{path}{name}"] = value
    return flat


def _joined(given: object) -> str:
    """Tags, modes or sources as one text."""
    if given is None:
        return ""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return str(given)
    members = (m.get("name", "") if isinstance(m, Mapping) else m for m in given)
    return ",".join(str(member) for member in members)


def _matcher(
    option: str, patterns: str | Iterable[str], pattern_type: str, *, underscores: bool = False
) -> Callable[[str], bool]:
    """A function that tells whether a text matches any of these patterns."""
    texts = [patterns] if isinstance(patterns, str) else list(patterns)
    compiled: list[tuple[bool, re.Pattern[str]]] = []
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError(f"{option} has {text!r}; give a pattern as a text, or several")
        try:
            rule = re.compile(text if pattern_type == "re" else fnmatch.translate(text))
        except re.error as error:
            raise ConfigError(f"{option} {text!r} is no regular expression: {error}") from error
        compiled.append((underscores and not text.startswith("_"), rule))
    return lambda text: any(
        rule.match(text.removeprefix("_") if without_underscore else text) is not None
        for without_underscore, rule in compiled
    )
