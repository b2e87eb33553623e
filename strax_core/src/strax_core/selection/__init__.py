"""Selections: which rows and columns of a piece of data are query_of."""

from strax_core.selection.parse import LoadOptions, query_of
from strax_core.selection.query import ALL_ROWS, Query, dtype_with, taken
from strax_core.selection.scan import WHOLE_ROWS, Scan, TimeRange

__all__ = [
    "ALL_ROWS",
    "WHOLE_ROWS",
    "LoadOptions",
    "Query",
    "Scan",
    "TimeRange",
    "dtype_with",
    "query_of",
    "taken",
]
