"""Which rows and columns a user wants: times, chunks, conditions, columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypedDict, TypeVar

import numpy as np

from strax_core.chunk_info import ChunkInfo
from strax_core.chunks import TIME_MAX_NS, Chunk, Rows, endtime_of
from strax_core.conditions import Condition, Mask, check_columns, checked_conditions, mask_of
from strax_core.errors import ChunkError, ConfigError
from strax_core.suggestions import did_you_mean
from strax_core.tables import fields_of

FULLY_CONTAINED, TOUCHING, SKIP = "fully_contained", "touching", "skip"
_TIME_SELECTIONS = (FULLY_CONTAINED, TOUCHING, SKIP)
_WAYS_TO_GIVE_TIME = ("time_range", "seconds_range", "time_within")
_OF_UPSTREAM = {
    "selection": "where",
    "keep_columns": "columns",
    "chunk_number": "chunk_numbers",
}
_OF_A_CONTEXT = (  # strax takes them in requests, too
    "config",
    "storage",
    "fuzzy_for",
    "fuzzy_for_options",
    "allow_incomplete",
    "use_per_run_defaults",
    "forbid_creation_of",
)
_NS_PER_S = 10**9

_Exact = TypeVar("_Exact", int, Fraction)
Number = int | float | Decimal | Fraction | np.integer[Any] | np.floating[Any]


class LoadOptions(TypedDict, total=False):
    """What `get_array` and its likes take to select; `None` is as if not given."""

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


def wanted(options: Mapping[str, Any]) -> "Wanted":
    """Return what these `LoadOptions` ask for, checked as far as possible without data.

    Raises:
        ConfigError: an unknown option, a value that no data can satisfy, or two options that say
            the same thing.
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
    return Wanted(
        time_range=_time_range(given),
        seconds_range=_pair("seconds_range", given.get("seconds_range"), _seconds),
        time_selection=time_selection,
        columns=columns,
        drop_columns=_names("drop_columns", given.get("drop_columns")) or (),
        where=checked_conditions(given.get("where")),
        chunk_numbers=_chunk_numbers(given.get("chunk_numbers")),
    )


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The rows and columns that a user wants. Make one with `wanted`, which checks.

    Attributes:
        time_range: ``(start, end)`` in ns since the Unix epoch, half-open; `None` is no limit.
        seconds_range: the same in s from the start of the run, until `with_run_start`.
        time_selection: which rows belong to the time range: `fully_contained` if
            ``start <= time and endtime <= end``, `touching` if ``endtime > start and time < end``;
            `skip`: all rows of the chunks that overlap.
        columns: the columns to give, in this order; `None` is all.
        drop_columns: the columns to leave out.
        where: conditions that all must hold.
        chunk_numbers: the chunks to read; `None` is all.
    """

    time_range: tuple[int, int] | None = None
    seconds_range: tuple[Fraction, Fraction] | None = None
    time_selection: str = FULLY_CONTAINED
    columns: tuple[str, ...] | None = None
    drop_columns: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    chunk_numbers: frozenset[int] | None = None

    @property
    def is_all(self) -> bool:
        """Whether every row of the run is wanted, with all columns."""
        selects_rows_or_columns = self.where or self.columns is not None or self.drop_columns
        return not self.is_partial and not selects_rows_or_columns

    @property
    def is_partial(self) -> bool:
        """Whether less than the whole run is read: a time range, or some chunks."""
        limits = (self.time_range, self.seconds_range, self.chunk_numbers)
        return any(limit is not None for limit in limits)

    def with_run_start(self, start_ns: int) -> "Wanted":
        """Return the same, with `seconds_range` as the `time_range` of a run that starts then."""
        if self.seconds_range is None:
            return self
        start, end = (int(start_ns) + round(s * _NS_PER_S) for s in self.seconds_range)
        return replace(self, time_range=(start, end), seconds_range=None)

    def chunks_of(self, infos: Sequence[ChunkInfo], *, where: str) -> list[ChunkInfo]:
        """Return the chunks that must be read, none if the time range lies outside the data.

        Args:
            infos: all chunks of the data.
            where: the place of the data, for messages.

        Raises:
            ConfigError: `chunk_numbers` names a chunk that the data do not have.
        """
        numbers = self.chunk_numbers
        if numbers is not None:
            absent = sorted(numbers - {info.chunk_i for info in infos})
            if absent:
                last = f", numbered 0 to {len(infos) - 1}" if infos else ""
                raise ConfigError(
                    f"{where} has {len(infos)} chunks{last}; there is no chunk "
                    f"{', '.join(map(str, absent))}"
                )
        span = self._span()
        return [
            info
            for info in infos
            if (numbers is None or info.chunk_i in numbers)
            and (span is None or self._may_hold_rows_of(info, *span))
        ]

    def chunks_within(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Iterate over those chunks that may hold wanted rows; none beyond is asked for.

        Args:
            chunks: of what is not stored, in order of time. (Of stored data, see `chunks_of`.)
        """
        start, end = self._span() or (0, TIME_MAX_NS)
        last_start = max(end - 1, start)
        if self.time_selection == FULLY_CONTAINED:
            last_start = end  # there may be a row of zero duration at the very end
        for chunk in chunks:
            is_last = chunk.end > last_start
            if self.time_selection != SKIP or max(chunk.end, chunk.start + 1) > start:
                yield chunk
            del chunk  # or it would be held while the next one is made
            if is_last:
                return

    def dtype_of(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype that selected rows have: packed if columns are selected, else the same.

        Raises:
            ConfigError: a column does not exist, also one that `where` names; or none is left.
        """
        names = dtype.names or ()
        for name in (*(self.columns or ()), *self.drop_columns):
            if name not in names:
                raise ConfigError(f"there is no column {name!r} {did_you_mean(name, names)}")
        for condition in self.where:
            check_columns(condition, dtype)
        if self.columns is None and not self.drop_columns:
            return dtype
        kept = self.columns or [name for name in names if name not in self.drop_columns]
        if not kept:
            raise ConfigError(f"drop_columns leaves no column of {', '.join(names)}")
        return np.dtype(fields_of(dtype, kept))

    def rows_of(self, rows: Rows) -> Rows:
        """Return the wanted rows: by time, then by `where`, then their columns.

        The same object if nothing is to be left out, else a copy, so that a small selection does
        not keep all rows in memory.

        Raises:
            ConfigError: see `dtype_of`; or a condition cannot be evaluated on these rows.
        """
        dtype = self.dtype_of(rows.dtype)
        span = self._span()
        if span is not None and self.time_selection != SKIP:
            start, end = span
            time, endtime = rows["time"], endtime_of(rows)
            if self.time_selection == TOUCHING:
                rows = _only(rows, (endtime > start) & (time < end))
            else:
                rows = _only(rows, (start <= time) & (endtime <= end))
        for condition in self.where:
            # A function need not know what to do with no rows.
            if len(rows):
                rows = _only(rows, mask_of(condition, rows))
        if dtype == rows.dtype:
            return rows
        selected = np.empty(len(rows), dtype)
        for name in dtype.names or ():
            selected[name] = rows[name]
        return selected

    def chunk_of(self, chunk: Chunk) -> Chunk:
        """Return the chunk with the wanted rows only, and the same borders."""
        rows = self.rows_of(chunk.data)
        return chunk if rows is chunk.data else chunk.with_rows(rows)

    def _span(self) -> tuple[int, int] | None:
        if self.seconds_range is not None:
            raise ConfigError("seconds_range counts from the start of a run: use with_run_start")
        return self.time_range

    def _may_hold_rows_of(self, info: ChunkInfo, start: int, end: int) -> bool:
        # What lasts no time at all counts as one ns here: a chunk, or the range around a row.
        if max(info.end, info.start + 1) > start and info.start < max(end, start + 1):
            return True
        # A row of zero duration on the border is fully contained, and may lie on either side of it.
        if self.time_selection != FULLY_CONTAINED or not info.n:
            return False
        if info.end == start:
            return info.last_time is None or info.last_time == start
        return info.start == end and (info.first_time is None or info.first_time == end)


ALL_ROWS = Wanted()


def check_known(options: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names of options that a request does not have.

    Raises:
        ConfigError: says what was meant, perhaps, or that it is an option of a context.
    """
    for option in options:
        if option in _OF_A_CONTEXT:
            raise ConfigError(
                f"{option} is an option of a context, not of a request: "
                f"ask ctx.new_context({option}=…)"
            )
        if option not in known:
            raise ConfigError(f"there is no option {option!r} {did_you_mean(option, known)}")


def _in_our_spelling(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are given, by our names."""
    check_known(options, LoadOptions.__annotations__)
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


def _only(rows: Rows, mask: Mask) -> Rows:
    return rows if mask.all() else rows[mask]
