"""The jobs of formats that keep one array a column: zarr and HDF5."""

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jobs import TWO_COLUMNS, Job, Source, Task, Work, source_of, warm_up_source
from simulation import Rows, dtype_of

CHUNK_BYTES = 1 << 20
Write = Callable[[Source, Path, np.dtype[Any]], None]
Read = Callable[[Path, str], Any]


def chunk_shape(field: np.dtype[Any], n_rows: int) -> tuple[int, ...]:
    """Return the shape of a chunk of about 1 MiB of a column."""
    return (max(1, min(n_rows, CHUNK_BYTES // field.itemsize)), *field.shape)


def jobs_of(write: Write, read: Read) -> dict[str, Job]:
    """Return the jobs of a format.

    Args:
        write: writes all blocks to a folder.
        read: gives one column of a folder.
    """

    def save_all(source: Source, task: Task, place: Path) -> int:
        place.mkdir(parents=True, exist_ok=True)
        write(source, place, dtype_of(task.data))
        return source.nbytes

    def load_all(task: Task, place: Path, columns: Iterable[str]) -> Rows:
        stored = dtype_of(task.data)
        dtype = np.dtype([(name, stored.fields[name][0]) for name in columns])  # type: ignore[index]
        rows: Rows = np.empty(0, dtype)
        for name in dtype.names or ():
            values = read(place, name)
            if not len(rows):
                rows = np.empty(len(values), dtype)
            rows[name] = values
        return rows

    def warmed_up(task: Task) -> None:
        place = Path(f"{task.place}-warm-up")
        save_all(warm_up_source(task)[0], task, place)
        load_all(task, place, dtype_of(task.data).names or ())
        shutil.rmtree(place)

    def save(task: Task) -> Work:
        warmed_up(task)
        return partial(save_all, source_of(task), task, Path(task.place))

    def load(task: Task) -> Work:
        warmed_up(task)
        return partial(load_all, task, Path(task.place), dtype_of(task.data).names or ())

    def load_two_columns(task: Task) -> Work:
        warmed_up(task)
        return partial(load_all, task, Path(task.place), TWO_COLUMNS)

    return {"save": save, "load": load, "two_columns": load_two_columns}
