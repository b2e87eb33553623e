"""Rows as a pandas DataFrame, and the column that names the run."""

import logging
from collections.abc import Collection
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from strax_core.chunks import Rows
from strax_core.errors import ConfigError

if TYPE_CHECKING:  # pandas is an extra, and slow to import
    import pandas as pd
from strax_core.chunks import Columns, fields_of

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
