"""A query: the rows and columns that are wanted, by times, chunks, conditions, columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from strax_core.arguments import did_you_mean
from strax_core.chunks import (
    TIME_MAX_NS,
    Chunk,
    Rows,
    fields_of,
    masked_rows,
    time_fields,
    times_of,
)
from strax_core.errors import ConfigError
from strax_core.format import ChunkInfo
from strax_core.selection.filters import Condition, Mask, check_columns, columns_in, mask_of
from strax_core.selection.scan import Scan, TimeRange

FULLY_CONTAINED, TOUCHING, SKIP = "fully_contained", "touching", "skip"
_NS_PER_S = 10**9


@dataclass(frozen=True, kw_only=True)
class Query:
    """The rows and columns that a user wants. Made by `query_of`, which checks.

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
        """True if every row of the run is wanted, with all columns."""
        selects_rows_or_columns = self.where or self.columns is not None or self.drop_columns
        return not self.is_partial and not selects_rows_or_columns

    @property
    def is_partial(self) -> bool:
        """True if less than the whole run is read: a time range, or some chunks."""
        limits = (self.time_range, self.seconds_range, self.chunk_numbers)
        return any(limit is not None for limit in limits)

    def with_run_start(self, start_ns: int) -> "Query":
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
        return dtype_with(dtype, kept)

    def rows_of(self, rows: Rows) -> Rows:
        """Return the wanted rows: by time, then by `where`, then their columns.

        The same object if nothing is to be left out, else a copy, so that a small selection does
        not keep all rows in memory.

        Raises:
            ConfigError: see `dtype_of`; or a condition cannot be evaluated on these rows.
        """
        within = self.within
        if within is not None:
            mask = within.mask(*times_of(rows))
            if not mask.all():
                if not self.where:
                    return taken(rows, mask, self.dtype_of(rows.dtype))
                rows = masked_rows(rows, mask)
        return self.rows_where(rows)

    def rows_where(self, rows: Rows) -> Rows:
        """Return the rows that fulfil all conditions, with the columns wanted, whatever the time.

        The same object if nothing is to be left out; else they are copied once. Errors as
        `rows_of`.
        """
        dtype = self.dtype_of(rows.dtype)
        mask: Mask | None = None
        # A function need not know what to do with no rows.
        for condition in self.where if len(rows) else ():
            holds = mask_of(condition, rows)
            mask = holds if mask is None else mask & holds
        return taken(rows, mask, dtype)

    def chunk_of(self, chunk: Chunk) -> Chunk:
        """Return the chunk with the wanted rows only, and the same borders."""
        rows = self.rows_of(chunk.data)
        return chunk if rows is chunk.data else chunk.with_rows(rows)

    @property
    def within(self) -> TimeRange | None:
        """The time range, if rows are selected by it."""
        span = self._span()
        if span is None or self.time_selection == SKIP:
            return None
        return TimeRange(*span, touching=self.time_selection == TOUCHING)

    def resolved(self, dtype: np.dtype[Any]) -> "Query":
        """Return the same of rows of this dtype, with the columns that `drop_columns` leaves."""
        if not self.drop_columns:
            return self
        return replace(self, columns=self.dtype_of(dtype).names, drop_columns=())

    def scan(self, dtype: np.dtype[Any], *, with_times: bool = False) -> Scan:
        """Return what must be read of rows of this dtype: also the columns that `where` names.

        What is read so is selected by `after_scan`.

        Args:
            dtype: of the rows.
            with_times: read the time fields, too.
        """
        columns = self.resolved(dtype).columns
        looked_at = [columns_in(condition) for condition in self.where]
        if columns is None or None in looked_at:
            return Scan(within=self.within)
        more = sorted({name for names in looked_at for name in names or ()})
        times = time_fields(dtype.names or ()) if with_times else ()
        return Scan(tuple(dict.fromkeys((*columns, *more, *times))), self.within)

    def after_scan(self, dtype: np.dtype[Any]) -> "Query":
        """Return what is still to be selected of the rows of an `scan`: not the time."""
        return Query(columns=self.resolved(dtype).columns, where=self.where)

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


ALL_ROWS = Query()


def dtype_with(dtype: np.dtype[Any], names: Sequence[str] | None) -> np.dtype[Any]:
    """Return the packed dtype with these fields; None: the dtype as it is."""
    return dtype if names is None else np.dtype(fields_of(dtype, names))


def taken(rows: Rows, mask: Mask | None, dtype: np.dtype[Any]) -> Rows:
    """Return the rows of a mask (None: all) with the columns of a dtype, copied once if at all."""
    if mask is not None and mask.all():
        mask = None
    if rows.dtype == dtype:
        return rows if mask is None else masked_rows(rows, mask)
    selected = np.empty(len(rows) if mask is None else np.count_nonzero(mask), dtype)
    for name in dtype.names or ():
        selected[name] = rows[name] if mask is None else rows[name][mask]
    return selected
