"""Compares what a data plugin gave with the dtype that it promised."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from strax_core.chunks import Rows, put_rows
from strax_core.errors import PluginGaveWrongOutput
from strax_core.format import packed


def promised_rows(given: Any, dtype: np.dtype[Any], *, who: str) -> Rows:
    """Return a copy of the rows, without padding; a dictionary of columns becomes rows.

    Titles of columns may differ from those that were promised, as in strax.

    Raises:
        PluginGaveWrongOutput: not rows of this dtype.
    """
    if isinstance(given, Mapping):
        return _from_columns(given, dtype, who)
    if not isinstance(given, np.ndarray):
        raise PluginGaveWrongOutput(f"{who} gave {type(given).__name__}, not an array")
    if _untitled(given.dtype) != _untitled(dtype):
        raise PluginGaveWrongOutput(f"{who} promised rows of {dtype}, and gave {given.dtype}")
    # A copy: a data plugin may fill the same array again for its next chunk, while this one still
    # waits to be stored.
    if given.dtype == dtype and given.ndim == 1:
        rows: Rows = np.empty(len(given), dtype)
        put_rows(rows, given)
        return rows
    return np.array(given, dtype=dtype)


@lru_cache(maxsize=256)
def _untitled(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.names is None:
        return packed(dtype)
    return np.dtype([(name, _untitled(dtype[name])) for name in dtype.names])


def _from_columns(columns: Mapping[str, Any], dtype: np.dtype[Any], who: str) -> Rows:
    names = dtype.names or ()
    if set(columns) != set(names):
        raise PluginGaveWrongOutput(
            f"{who} promised the columns {', '.join(names)}, "
            f"and gave {', '.join(map(str, columns))}"
        )
    try:
        rows = np.zeros(len(columns["time"]), dtype=dtype)
        for name in names:
            _fill(rows[name], np.asarray(columns[name]))
    except (ValueError, TypeError) as error:
        raise PluginGaveWrongOutput(f"{who}: its columns do not make rows: {error}") from error
    return rows


def _fill(column: Rows, values: Rows) -> None:
    """Copy one value, or one a row; what the column cannot hold is a ValueError or TypeError."""
    if values.ndim and len(values) != len(column):
        raise ValueError(f"a column of {len(values)} values among {len(column)} rows")
    np.copyto(column, values, casting="same_kind")
    if column.dtype.kind in "iu" and not np.array_equal(
        column, np.broadcast_to(values, column.shape)
    ):
        raise ValueError(f"{column.dtype} does not hold all values of a column")
