"""All benches by name, in the order of the tables."""

from collections.abc import Callable
from functools import partial

from asking_benches import availability, chunks, fuzzy, small, start
from cases import HDF5, PARQUET, UPSTREAM, ZARR, ZSTD, Bench, Settings
from stored_benches import limit, loads, memory, save, size

COLUMNAR = (UPSTREAM, ZSTD, PARQUET, ZARR, HDF5)
BENCHES: dict[str, Callable[[Settings], Bench]] = {
    "size": size,
    "save": save,
    "load": partial(loads, job="load", what="load all", target="load"),
    "columns": partial(
        loads,
        job="two_columns",
        what="load 2 of 22 columns",
        target="two columns",
        data_types=("peak_basics",),
        peers=COLUMNAR,
    ),
    "time": partial(
        loads,
        job="part_of_time",
        what="load 1 % of the time",
        target="part of the time",
        peers=(UPSTREAM, ZSTD),
    ),
    "table": partial(
        loads,
        job="table",
        what="`get_df` of 22 columns",
        target="table",
        data_types=("peak_basics",),
        peers=(UPSTREAM, ZSTD),
    ),
    "memory": memory,
    "chunks": chunks,
    "availability": availability,
    "fuzzy": fuzzy,
    "limit": limit,
    "start": start,
    "small": small,
}
