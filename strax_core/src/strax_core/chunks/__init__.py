"""Chunks: rows in one stretch of time, checked, cut, joined, aligned and merged."""

from strax_core.chunks.align import Aligner
from strax_core.chunks.arrays import Columns, columns_of, fields_of, stacked, stacked_columns
from strax_core.chunks.chunk import (
    TIME_MAX_NS,
    Chunk,
    Rows,
    check_continuity,
    check_dtype,
    check_invariants,
    endtime_of,
    extrema,
    time_fields,
    times_of,
)
from strax_core.chunks.copy_rows import as_plain, masked_rows, put_bytes, put_rows
from strax_core.chunks.merge import merge_columns, merged_dtype
from strax_core.chunks.rechunk import Rechunker, rechunked, recut

__all__ = [
    "TIME_MAX_NS",
    "Aligner",
    "Chunk",
    "Columns",
    "Rechunker",
    "Rows",
    "as_plain",
    "check_continuity",
    "check_dtype",
    "check_invariants",
    "columns_of",
    "endtime_of",
    "extrema",
    "fields_of",
    "masked_rows",
    "merge_columns",
    "merged_dtype",
    "put_bytes",
    "put_rows",
    "rechunked",
    "recut",
    "stacked",
    "stacked_columns",
    "time_fields",
    "times_of",
]
