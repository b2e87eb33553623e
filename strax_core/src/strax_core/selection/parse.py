"""Parses a user's selection from the options of a request; checked as far as possible."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypedDict, TypeVar

import numpy as np

from strax_core.arguments import did_you_mean
from strax_core.chunks import Chunk, Rows, endtime_of
from strax_core.errors import ChunkError, ConfigError
from strax_core.selection.filters import checked_conditions
from strax_core.selection.query import FULLY_CONTAINED, SKIP, TOUCHING, Query

_TIME_SELECTIONS = (FULLY_CONTAINED, TOUCHING, SKIP)
_WAYS_TO_GIVE_TIME = ("time_range", "seconds_range", "time_within")
_OF_UPSTREAM = {
    "selection": "where",
    "keep_columns": "columns",
    "chunk_number": "chunk_numbers",
}

_Exact = TypeVar("_Exact", int, Fraction)
Number = int | float | Decimal | Fraction | np.integer[Any] | np.floating[Any]


class LoadOptions(TypedDict, total=False):
    """Options of `get_array` and its likes that select; `None` is as if not given."""

    time_range: Sequence[int] | None
    """(start, end) in ns since the Unix epoch, half-open."""
    seconds_range: Sequence[Number] | None
    """(start, end) in s from the start of the run, rounded to the nearest ns."""
    time_within: Rows | np.void | Chunk | None
    """A row, such as one event, or a chunk: its time range."""
    time_selection: str
    """`fully_contained`, `touching`, or `skip`: the chunks that overlap, with all their rows."""
    columns: str | Sequence[str] | None
    """The columns to give, in this order."""
    drop_columns: str | Sequence[str] | None
    """The columns to leave out."""
    where: str | Callable[[Rows], Any] | Sequence[str | Callable[[Rows], Any]] | None
    """A numexpr text, a function that takes rows and returns booleans, or several: all hold."""
    chunk_numbers: int | Iterable[int] | None
    """The chunks to read."""
    selection: str | Callable[[Rows], Any] | Sequence[str | Callable[[Rows], Any]] | None
    """Upstream's name of `where`."""
    keep_columns: str | Sequence[str] | None
    """Upstream's name of `columns`."""
    chunk_number: int | Iterable[int] | None
    """Upstream's name of `chunk_numbers`."""


def query_of(options: Mapping[str, Any]) -> Query:
    """Return what these options ask for, checked as far as possible without data.

    Args:
        options: names of `LoadOptions`, and no others.

    Raises:
        ConfigError: a value that no data can satisfy, or two options that say the same thing.
    """
    given = _in_our_spelling(options)
    times = [name for name in _WAYS_TO_GIVE_TIME if name in given]
    if len(times) > 1:
        raise ConfigError(f"{' and '.join(times)} give the time twice; give one of them")
    if "columns" in given and "drop_columns" in given:
        raise ConfigError("columns and drop_columns exclude each other; give one of them")
    time_selection = given.get("time_selection", FULLY_CONTAINED)
    if time_selection not in _TIME_SELECTIONS:
        hint = did_you_mean(str(time_selection), _TIME_SELECTIONS)
        raise ConfigError(f"there is no time_selection {time_selection!r} {hint}")
    columns = _names("columns", given.get("columns"))
    if columns == ():
        raise ConfigError("columns names no column; leave it out to get all of them")
    return Query(
        time_range=_time_range(given),
        seconds_range=_pair("seconds_range", given.get("seconds_range"), _seconds),
        time_selection=time_selection,
        columns=columns,
        drop_columns=_names("drop_columns", given.get("drop_columns")) or (),
        where=checked_conditions(given["where"]) if "where" in given else (),
        chunk_numbers=_chunk_numbers(given.get("chunk_numbers")),
    )


def _in_our_spelling(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are given, by our names."""
    given: dict[str, Any] = {}
    for option, value in options.items():
        if value is None:
            continue
        name = _OF_UPSTREAM.get(option, option)
        if name in given:
            upstream = next(theirs for theirs, ours in _OF_UPSTREAM.items() if ours == name)
            raise ConfigError(f"{name} and {upstream} are the same option; give one of them")
        given[name] = value
    return given


def _time_range(given: Mapping[str, Any]) -> tuple[int, int] | None:
    if "time_within" not in given:
        return _pair("time_range", given.get("time_range"), _whole_ns)
    within = given["time_within"]
    if isinstance(within, Chunk):
        return within.start, within.end
    row = np.atleast_1d(np.asarray(within))
    if row.shape != (1,):
        raise ConfigError(f"time_within must be one row or a chunk, not shape {row.shape}")
    try:
        borders = int(endtime_of(row)[0])
        return _pair("time_within", (int(row["time"][0]), borders), _whole_ns)
    except ChunkError as error:
        raise ConfigError(f"time_within must be one row or a chunk: {error}") from error


def _pair(
    option: str, given: object, number_of: Callable[[str, object], _Exact]
) -> tuple[_Exact, _Exact] | None:
    if given is None:
        return None
    borders = tuple(given) if isinstance(given, Sequence | np.ndarray) else ()
    try:
        start, end = borders
    except ValueError as error:
        raise ConfigError(f"{option} is {given!r}; give (start, end)") from error
    start, end = number_of(option, start), number_of(option, end)
    if start > end:
        raise ConfigError(f"{option} ends at {end}, before it starts at {start}")
    return start, end


def _whole_ns(option: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{option} has {value!r}; give whole numbers of ns since the Unix epoch")
    return int(value)


def _seconds(option: str, value: object) -> Fraction:
    """The number as it is, without rounding: what binary digits cannot hold is off by < 1 ns."""
    if isinstance(value, np.number):
        value = value.item()
    if not isinstance(value, bool) and isinstance(value, int | float | Decimal | Fraction):
        try:
            return Fraction(value)
        except (ValueError, OverflowError):
            pass  # not a number, or infinite
    raise ConfigError(f"{option} has {value!r}; give finite numbers of s from the run's start")


def _chunk_numbers(given: object) -> frozenset[int] | None:
    if given is None:
        return None
    # A mapping is upstream's way to process a part of the chunks, which is another thing.
    if isinstance(given, str | bytes | Mapping):
        raise ConfigError(f"chunk_numbers is {given!r}; give a whole number, or several")
    if isinstance(given, np.ndarray):
        given = given.tolist() if given.dtype.kind in "iu" and given.ndim <= 1 else [given]
    numbers = tuple(given) if isinstance(given, Iterable) else (given,)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise ConfigError(f"chunk_numbers has {number!r}; give whole numbers from 0 on")
    if not numbers:
        raise ConfigError("chunk_numbers names no chunk; leave it out to get all of them")
    return frozenset(int(number) for number in numbers)


def _names(option: str, given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise ConfigError(f"{option} is {given!r}; give the name of a column, or several")
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{option} has {name!r}, which is no name of a column")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{option} names {', '.join(twice)} twice")
    return tuple(str(name) for name in names)
