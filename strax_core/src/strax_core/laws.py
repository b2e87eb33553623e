"""Compiled loops over the times of rows. Importing this imports numba: do it inside functions."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit, types

FINE, UNSORTED, NEGATIVE_DURATION, TOO_EARLY, TOO_LATE = range(5)

Int64s = npt.NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

# The most general int64 array: strided, read-only, unaligned. Every other one converts to it
# without a copy, so one compile at import, kept on disk, serves all dtypes of users.
_INT64S = types.Array(types.int64, 1, "A", readonly=True, aligned=False)
_uncached: list[str] = []


def compiled(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these argument types; without a cache on disk if none can be kept."""

    def compile_one(function: Function) -> Function:
        try:
            return cast("Function", njit(arguments, nogil=True, cache=True)(function))
        except (RuntimeError, OSError) as error:
            # numba has no error class of its own for "nowhere to keep a cache".
            if isinstance(error, RuntimeError) and "locator" not in str(error):
                raise
            _warn_once(error)
            return cast("Function", njit(arguments, nogil=True)(function))

    return compile_one


def _warn_once(error: Exception) -> None:
    if not _uncached:
        logging.getLogger("strax_core").warning(
            "numba cannot keep its compiled code on disk, so every start takes seconds longer; "
            "set NUMBA_CACHE_DIR to a writable folder (%s)",
            error,
        )
    _uncached.append(str(error))


@compiled(_INT64S, _INT64S, types.int64, types.int64)
def first_broken_law(time: Int64s, endtime: Int64s, start: int, end: int) -> tuple[int, int]:
    """Return (law, row) of the first row that breaks a law of chunks, else (FINE, -1)."""
    for row in range(len(time)):
        if row > 0 and time[row] < time[row - 1]:
            return UNSORTED, row
        if endtime[row] < time[row]:
            return NEGATIVE_DURATION, row
        if time[row] < start:
            return TOO_EARLY, row
        if endtime[row] > end:
            return TOO_LATE, row
    return FINE, -1


@compiled(_INT64S, _INT64S, types.int64)
def rows_after_gaps(time: Int64s, endtime: Int64s, min_gap: int) -> Int64s:
    """Return the rows that start more than `min_gap` after every earlier row has ended."""
    found = np.empty(len(time), dtype=np.int64)
    n_found = 0
    latest = np.int64(-1)
    for row in range(1, len(time)):
        # A long early row may outlast many later ones: compare with the latest end so far.
        latest = max(latest, endtime[row - 1])
        if time[row] - latest > min_gap:
            found[n_found] = row
            n_found += 1
    return found[:n_found].copy()
