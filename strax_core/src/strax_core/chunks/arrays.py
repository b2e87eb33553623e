"""Rows as tables: a pandas DataFrame, an array for each column, a column that names the run."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from strax_core.chunks.chunk import Rows
from strax_core.chunks.copy_rows import put_rows
from strax_core.errors import ConfigError

if TYPE_CHECKING:  # pandas is an extra, and slow to import
    pass


Columns = Mapping[str, npt.NDArray[Any]]


def columns_of(rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Return a contiguous copy of each column."""
    return {name: rows[name].copy() for name in rows.dtype.names or ()}


def fields_of(dtype: np.dtype[Any], names: Iterable[str]) -> list[tuple[Any, Any]]:
    """Return these fields as numpy's list form of a dtype has them: with titles, without holes."""
    if dtype.fields is None:
        raise ConfigError(f"rows of dtype {dtype} have no columns")
    fields: list[tuple[Any, Any]] = []
    for name in names:
        of_type, _, *title = dtype.fields[name]
        fields.append(((title[0], name) if title else name, of_type))
    return fields


def stacked(parts: list[Rows], dtype: np.dtype[Any] | None = None) -> Rows:
    """Return the rows of all parts in one array; each part is let go once copied.

    So about as much memory is needed as the rows take. A single part is returned as it is, unless
    a dtype is given.

    Args:
        parts: arrays of one dtype; the list is emptied.
        dtype: theirs; needed if there may be no part.

    Raises:
        ConfigError: the parts have different dtypes.
    """
    if dtype is None:
        if len(parts) == 1:
            return parts.pop()
        dtype = parts[0].dtype
    for part in parts:
        if part.dtype != dtype:
            raise ConfigError(f"rows of {part.dtype} and of {dtype} cannot stand in one array")
    rows: Rows = np.empty(sum(len(part) for part in parts), dtype=dtype)
    at = 0
    for part in _taken(parts):
        put_rows(rows[at : at + len(part)], part)
        at += len(part)
    return rows


def stacked_columns(parts: list[dict[str, Rows]]) -> dict[str, Rows]:
    """Return the values of all parts in one array a column; each is let go once copied.

    Args:
        parts: at least one; an array a column, of the same columns; they are emptied.

    Raises:
        ConfigError: the parts have different columns or dtypes.
    """
    if len(parts) == 1:
        return parts.pop()
    dtypes = [{name: (each.dtype, each.shape[1:]) for name, each in part.items()} for part in parts]
    for other in dtypes:
        if other != dtypes[0]:
            raise ConfigError(f"columns {dtypes[0]} and {other} cannot stand in one array each")
    columns: dict[str, Rows] = {}
    for name, (dtype, shape) in dtypes[0].items():
        values = [part.pop(name) for part in parts]
        columns[name] = np.empty((sum(map(len, values)), *shape), dtype)
        at = 0
        for each in _taken(values):
            columns[name][at : at + len(each)] = each
            at += len(each)
    return columns


def _taken(parts: list[Rows]) -> Iterator[Rows]:
    parts.reverse()
    while parts:
        yield parts.pop()
