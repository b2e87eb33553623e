"""A chunk: rows of one data type in one stretch of time, checked against its invariants."""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from strax_core.chunks import invariants
from strax_core.chunks.copy_rows import put_rows
from strax_core.errors import ChunkError, ConfigError

Rows = npt.NDArray[Any]

Columns = Rows | Mapping[str, npt.NDArray[Any]]
"""Rows, or an array for each column: ``columns[name]`` is either's column."""

Subruns = Mapping[str, Mapping[str, int]]
TIME_MAX_NS = np.iinfo(np.int64).max


def check_dtype(dtype: np.dtype[Any], where: str) -> None:
    """Check that rows of this dtype can be placed in time and stored.

    Args:
        dtype: the dtype of rows.
        where: what declares it, for the message: "data type peaks".

    Raises:
        ConfigError: time fields are missing or not int64 ns, or a field holds Python objects.
    """
    problem = _dtype_problem(dtype)
    if problem:
        raise ConfigError(f"{where}: {problem}")


def endtime_of(rows: Rows) -> npt.NDArray[np.int64]:
    """Return when each row ends, in ns: its `endtime`, else `time + dt * length`.

    This may be a view of the rows, and is always int64, so small `dt` and `length` cannot overflow.

    Raises:
        ChunkError: the rows have no usable time fields.
    """
    _time_of(rows)
    return times_of(rows)[1]


def times_of(columns: Columns) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return when each row starts and ends, in ns, of rows whose dtype was checked before.

    Args:
        columns: rows; or an array for each column, the time fields among them.
    """
    names = columns.dtype.names or () if isinstance(columns, np.ndarray) else columns
    time = np.asarray(columns["time"], dtype=np.int64)
    if "endtime" in names:
        return time, np.asarray(columns["endtime"], dtype=np.int64)
    endtime: npt.NDArray[np.int64] = np.multiply(
        columns["dt"], columns["length"], dtype=np.int64, casting="same_kind"
    )
    endtime += time
    return time, endtime


def time_fields(names: Collection[str]) -> tuple[str, ...]:
    """Return which of these fields say when a row starts and ends; empty if they do not."""
    for fields in (("time", "endtime"), ("time", "dt", "length")):
        if set(fields) <= set(names):
            return fields
    return ()


def extrema(rows: Rows) -> tuple[int, int]:
    """Return the earliest `time` and the latest end of rows; `ChunkError` if there are none."""
    if not len(rows):
        raise ChunkError("no rows, so no earliest time and no latest end")
    return int(_time_of(rows).min()), int(endtime_of(rows).max())


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Chunk:
    """The rows of one data type in `[start, end)`, ns since the Unix epoch.

    * Making one checks every row, so whoever holds a chunk can rely on its invariants: rows are
      sorted by `time`, no row ends before it starts, and all lie within `[start, end]`.
    * Chunks of one run follow one another without a hole; one without rows still covers its time.
    * The rows are not copied. Whoever changes them afterwards answers for the invariants.

    Attributes:
        start: ns, inclusive. Zero or more.
        end: ns, exclusive. A row of zero duration may lie on it.
        data: structured array of shape ``(n,)``; may be a strided or read-only view.
        run_id: the run that the rows belong to.
        data_type: their data type.
        subruns: for superruns, ``{run_id: {"start": ns, "end": ns}}``, sorted by start.

    Raises:
        ChunkError: an invariant is broken; the message names run, data type, borders, row and
            values.
    """

    start: int
    end: int
    data: Rows
    run_id: str
    data_type: str
    subruns: Subruns | None = None

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise ChunkError(f"{self.name}: {name} must be a whole number of ns")
            object.__setattr__(self, name, int(value))
        if not 0 <= self.start <= self.end <= TIME_MAX_NS:
            raise ChunkError(f"{self.name}: needs 0 <= start <= end <= {TIME_MAX_NS}")
        data: Any = self.data
        if not isinstance(data, np.ndarray) or data.ndim != 1:
            raise ChunkError(f"{self.name}: data must be a one-dimensional structured array")
        problem = _dtype_problem(data.dtype)
        if problem:
            raise ChunkError(f"{self.name}: {problem}")
        if len(self.data):
            check_invariants(self, self.data)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.data)

    @property
    def nbytes(self) -> int:
        """Size of the rows, uncompressed."""
        return self.data.nbytes

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows."""
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<Chunk {self.name}, {len(self.data)} rows>"

    @property
    def name(self) -> str:
        """Name of it in messages."""
        return f"run {self.run_id}, {self.data_type}, [{self.start}, {self.end})"

    def with_rows(self, rows: Rows) -> "Chunk":
        """Return a chunk with the same borders and these rows, unchecked.

        Args:
            rows: rows of this chunk, in their order; they may have fewer columns, even no time.
        """
        return _trusted(self, self.start, self.end, rows, self.subruns)

    def split(self, at_ns: int) -> tuple["Chunk", "Chunk"]:
        """Cut in two chunks that abut at `at_ns`; the rows are views, not copies.

        A row of zero duration on the cut goes right, or left if the cut is the end of the chunk.

        Raises:
            ChunkError: a row straddles the cut, or the cut lies outside the chunk.
        """
        at_ns = int(at_ns)
        if not self.start <= at_ns <= self.end:
            raise ChunkError(f"{self.name}: cannot be split outside itself, at {at_ns}")
        # bisect, because np.searchsorted copies a strided column first.
        n_left = self.n if at_ns == self.end else bisect_left(self.data["time"], at_ns)
        left, right = self.data[:n_left], self.data[n_left:]
        straddling = np.flatnonzero(endtime_of(left) > at_ns)
        if len(straddling):
            raise ChunkError(f"{self.name}: row {straddling[0]} straddles a split at {at_ns}")
        return (
            _trusted(self, self.start, at_ns, left, _clipped(self.subruns, self.start, at_ns)),
            _trusted(self, at_ns, self.end, right, _clipped(self.subruns, at_ns, self.end)),
        )


def check_invariants(chunk: Chunk, columns: Columns, first_row: int = 0) -> None:
    """Check every row against the invariants of its chunk.

    Args:
        chunk: gives the borders.
        columns: rows of it, or at least their time fields.
        first_row: how many rows come before them, for the message.

    Raises:
        ChunkError: an invariant is broken.
    """
    time, endtime = times_of(columns)
    invariant, row = invariants.first_violation(time, endtime, chunk.start, chunk.end)
    if invariant == invariants.FINE:
        return
    # Rows with endtime == time are let through: upstream 2.2.3 makes, stores and loads them,
    # also on the chunk's end. (It does not refuse endtime < time either; that is no row.)
    before = f"row {first_row + row - 1} at {time[row - 1]}"
    broken = {
        invariants.UNSORTED: f"starts before {before}; sort rows by time",
        invariants.NEGATIVE_DURATION: "ends before it starts",
        invariants.TOO_EARLY: "starts before the chunk",
        invariants.TOO_LATE: "ends after the chunk",
    }[invariant]
    raise ChunkError(
        f"{chunk.name}: row {first_row + row} at [{time[row]}, {endtime[row]}) {broken}"
    )


def concatenate(chunks: Sequence[Chunk]) -> Chunk:
    """Join chunks that abut. A single chunk is returned as it is, else the rows are copied once.

    Raises:
        ChunkError: no chunks, a hole or overlap between them, or different runs, types or dtypes.
    """
    if not chunks:
        raise ChunkError("no chunks to concatenate")
    first = chunks[0]
    if len(chunks) == 1:
        return first
    end = first.end
    for chunk in chunks[1:]:
        check_same_kind(first.run_id, first.data_type, first.dtype, chunk)
        end = check_continuity(end, chunk)
    data = np.empty(sum(chunk.n for chunk in chunks), dtype=first.dtype)
    filled = 0
    for chunk in chunks:
        put_rows(data[filled : filled + chunk.n], chunk.data)
        filled += chunk.n
    return _trusted(first, first.start, end, data, _merged(chunks))


def extended(before: Chunk, chunk: Chunk, rows: Rows) -> Chunk:
    """Return one chunk of two that abut, whose rows were joined already; unchecked."""
    return _trusted(before, before.start, chunk.end, rows, _merged((before, chunk)))


def check_continuity(previous_end: int | None, chunk: Chunk) -> int:
    """Return the chunk's end; `ChunkError` if it does not start at `previous_end` (None: any)."""
    if previous_end is not None and chunk.start != previous_end:
        kind = "a hole" if chunk.start > previous_end else "an overlap"
        raise ChunkError(f"{chunk!r} leaves {kind}: it should start at {previous_end}")
    return chunk.end


def check_same_kind(run_id: str, data_type: str, dtype: np.dtype[Any], chunk: Chunk) -> None:
    """Check that a chunk is of this run, data type and dtype; `ChunkError` if not."""
    if (chunk.run_id, chunk.data_type) != (run_id, data_type):
        raise ChunkError(f"{chunk!r} does not belong to run {run_id}, {data_type}")
    if chunk.dtype != dtype:
        raise ChunkError(f"{chunk!r} has dtype {chunk.dtype}, those before it {dtype}")


def _trusted(like: Chunk, start: int, end: int, data: Rows, subruns: Subruns | None) -> Chunk:
    """Make a chunk of rows that come from checked chunks, without checking them again."""
    chunk = object.__new__(Chunk)
    values = (start, end, data, like.run_id, like.data_type, subruns)
    for name, value in zip(Chunk.__slots__, values, strict=True):
        object.__setattr__(chunk, name, value)
    return chunk


def _time_of(rows: Rows) -> npt.NDArray[np.int64]:
    problem = _dtype_problem(rows.dtype)
    if problem:
        raise ChunkError(problem)
    return np.asarray(rows["time"], dtype=np.int64)


def _dtype_problem(dtype: np.dtype[Any]) -> str | None:
    names = dtype.names or ()
    if "time" not in names or not ("endtime" in names or {"dt", "length"} <= set(names)):
        return f"rows need the fields `time`, and `endtime` or (`dt` and `length`), not {names}"
    for name in ("time", "endtime"):
        if name in names and not _is_integer(dtype[name], size_bytes=8):
            return f"field `{name}` must be int64 (ns since the Unix epoch), not {dtype[name]}"
    for name in () if "endtime" in names else ("dt", "length"):
        if not _is_integer(dtype[name]):
            return f"field `{name}` must be an integer, not {dtype[name]}"
    if dtype.hasobject:
        return f"fields cannot hold Python objects: {dtype}"
    return None


def _is_integer(dtype: np.dtype[Any], size_bytes: int | None = None) -> bool:
    # `kind` also tells a sub-array (V) from a number; byte order does not matter.
    if size_bytes is not None:
        return dtype.kind == "i" and dtype.itemsize == size_bytes
    return dtype.kind in "iu"


def _clipped(subruns: Subruns | None, start: int, end: int) -> Subruns | None:
    """Return the parts of the subruns within `[start, end)`, or None if there are none."""
    parts = {
        run_id: {"start": max(run["start"], start), "end": min(run["end"], end)}
        for run_id, run in (subruns or {}).items()
    }
    return {run_id: run for run_id, run in parts.items() if run["start"] < run["end"]} or None


def _merged(chunks: Sequence[Chunk]) -> Subruns | None:
    """Return the subruns of chunks in time order, each from its first start to its last end."""
    merged: dict[str, dict[str, int]] = {}
    for chunk in chunks:
        for run_id, run in (chunk.subruns or {}).items():
            known = merged.setdefault(run_id, dict(run))
            known["end"] = max(known["end"], run["end"])
    return merged or None
