"""Rows as tables: a pandas DataFrame, an array for each column, a column that names the run."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from strax_core.chunks import Rows
from strax_core.errors import ConfigError
from strax_core.row_bytes import put_rows

if TYPE_CHECKING:  # pandas is an extra, and slow to import
    import pandas as pd

Columns = Mapping[str, npt.NDArray[Any]]

RUN_ID = "run_id"


def imported_pandas() -> ModuleType:
    """Return pandas; `ConfigError` if it is not installed."""
    try:
        return import_module("pandas")
    except ImportError as error:
        raise ConfigError(
            'tables need pandas, which is not installed here: pip install "strax-core[pandas]"'
        ) from error


def data_frame(columns: Columns) -> "pd.DataFrame":
    """Return what `columns_of` returned as a DataFrame, which may use those arrays uncopied.

    A column that holds several values a row becomes one of Python objects, and a warning is
    logged, because pandas can do little with it.

    Raises:
        ConfigError: pandas is not installed.
    """
    pd = imported_pandas()
    nested = [name for name, column in columns.items() if column.ndim > 1 or column.dtype.names]
    if nested:
        logging.getLogger("strax_core").warning(
            "columns %s hold several values a row: they become objects in the DataFrame, which "
            "groupby and the like cannot use",
            ", ".join(nested),
        )
    return pd.DataFrame(
        {
            name: _as_objects(column) if name in nested else _as_pandas_takes_it(column)
            for name, column in columns.items()
        },
        copy=False,
    )


def columns_of(rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Return a contiguous copy of each column."""
    return {name: rows[name].copy() for name in rows.dtype.names or ()}


def columns_with_run_id(columns: Columns, run_id: str, width: int) -> dict[str, Rows]:
    """Return these columns with a first column `run_id`; arguments and errors as `with_run_id`."""
    _check_run_id(columns, run_id, width)
    n = len(next(iter(columns.values())))
    return {RUN_ID: np.full(n, run_id, f"<U{width}"), **columns}


def with_run_id(rows: Rows, run_id: str, width: int) -> Rows:
    """Return a copy of the rows with a first column `run_id`, as for several runs at once.

    Args:
        rows: rows of one run.
        run_id: the run.
        width: the length of the longest run id of all, so that rows of all runs can be joined.

    Raises:
        ConfigError: there is such a column already, or the run id is longer than `width`.
    """
    names = rows.dtype.names or ()
    _check_run_id(names, run_id, width)
    labelled = np.empty(len(rows), [(RUN_ID, f"<U{width}"), *fields_of(rows.dtype, names)])
    labelled[RUN_ID] = run_id
    for name in names:
        labelled[name] = rows[name]
    return labelled


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


def _as_objects(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    objects = np.empty(len(column), dtype=object)
    for row, value in enumerate(column):
        objects[row] = value
    return objects


def _as_pandas_takes_it(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if column.dtype.kind == "S":  # pandas has no dtype for bytes
        return column.astype(object)
    # pandas holds numbers in the byte order of another machine, but cannot compute with them.
    return column.astype(column.dtype.newbyteorder("="), copy=False)


def _check_run_id(names: Collection[str], run_id: str, width: int) -> None:
    if RUN_ID in names:
        raise ConfigError(
            f"rows of run {run_id} have a column `{RUN_ID}` already, so none can be added for "
            "several runs; load one run at a time, or drop that column"
        )
    if len(run_id) > width:
        raise ConfigError(f"run {run_id} is longer than the {width} characters of its column")


def _taken(parts: list[Rows]) -> Iterator[Rows]:
    parts.reverse()
    while parts:
        yield parts.pop()
