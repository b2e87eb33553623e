"""The invariants of chunks, and gaps between rows, held against the times of rows.

In tiles, which stay in the processor's cache; so plain numpy is as fast as a compiled loop, and the
first rows of a run need not wait for a compiler.
"""

import numpy as np
import numpy.typing as npt

FINE, UNSORTED, NEGATIVE_DURATION, TOO_EARLY, TOO_LATE = range(5)
TILE_ROWS = 1 << 14
Int64s = npt.NDArray[np.int64]


def first_violation(time: Int64s, endtime: Int64s, start: int, end: int) -> tuple[int, int]:
    """Return (invariant, row) of the first row that breaks one, else (FINE, -1)."""
    before = np.iinfo(np.int64).min
    for first in range(0, len(time), TILE_ROWS):
        begin = np.ascontiguousarray(time[first : first + TILE_ROWS])
        ends = np.ascontiguousarray(endtime[first : first + TILE_ROWS])
        is_lawful = (
            begin[0] >= max(before, start)
            and ends.max() <= end
            and bool((begin[1:] >= begin[:-1]).all())
            and bool((ends >= begin).all())
        )
        if not is_lawful:
            invariant, row = _first_broken(begin, ends, before, (start, end))
            return invariant, first + row
        before = begin[-1]
    return FINE, -1


def _first_broken(
    time: Int64s, endtime: Int64s, before: int, span: tuple[int, int]
) -> tuple[int, int]:
    broken = np.stack(
        (
            time < np.append(before, time[:-1]),
            endtime < time,
            time < span[0],
            endtime > span[1],
        )
    )
    row = int(np.flatnonzero(broken.any(axis=0))[0])
    return UNSORTED + int(np.flatnonzero(broken[:, row])[0]), row


def rows_after_gaps(time: Int64s, endtime: Int64s, min_gap: int) -> Int64s:
    """Return the rows that start more than `min_gap` after every earlier row has ended."""
    found = [np.empty(0, np.int64)]
    latest = np.int64(-1)
    for first in range(1, len(time), TILE_ROWS):
        end = min(first + TILE_ROWS, len(time))
        # A long early row may outlast many later ones: compare with the latest end so far.
        ends = np.maximum.accumulate(np.append(latest, endtime[first - 1 : end - 1]))
        latest = ends[-1]
        found.append(np.flatnonzero(time[first:end] - ends[1:] > min_gap) + first)
    return np.concatenate(found)
