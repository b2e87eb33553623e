"""Parquet by pyarrow: zstd 1, values split into byte streams, a row group for each block."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jobs import TWO_COLUMNS, Job, Source, Task, Work, source_of, warm_up_source
from simulation import Rows, dtype_of

FILE = "data.parquet"


def column_of(values: Rows) -> Any:
    """Return a field as a column; an array in each row as a list of fixed size."""
    if values.ndim == 1:
        return pa.array(np.ascontiguousarray(values))
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def write(source: Source, place: Path, data_type: str) -> int:
    """Write block after block."""
    place.mkdir(parents=True, exist_ok=True)
    names = dtype_of(data_type).names or ()
    schema = pa.schema([(name, column_of(source.pieces[0][2][name]).type) for name in names])
    options: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": False,
        "use_byte_stream_split": True,
    }
    with pq.ParquetWriter(place / FILE, schema, **options) as writer:
        for _, _, rows in source:
            columns = [column_of(rows[name]) for name in names]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return source.nbytes


def read(place: Path, data_type: str, columns: tuple[str, ...] | None) -> Rows:
    """Read into a structured array."""
    table = pq.read_table(place / FILE, columns=columns and list(columns))
    stored = dtype_of(data_type)
    dtype = np.dtype([(name, stored.fields[name][0]) for name in table.column_names])  # type: ignore[index]
    rows: Rows = np.empty(len(table), dtype)
    for name in table.column_names:
        at = 0
        for part in table[name].chunks:
            values = part.flatten() if dtype[name].shape else part
            rows[name][at : at + len(part)] = values.to_numpy().reshape(-1, *dtype[name].shape)
            at += len(part)
    return rows


def warmed_up(task: Task) -> None:
    """Write and read a few rows, so that everything is imported."""
    place = Path(f"{task.place}-warm-up")
    write(warm_up_source(task)[0], place, task.data)
    read(place, task.data, None)
    (place / FILE).unlink()
    place.rmdir()


def save(task: Task) -> Work:
    """Save what a source gives."""
    warmed_up(task)
    return partial(write, source_of(task), Path(task.place), task.data)


def load(task: Task) -> Work:
    """Load all rows and columns."""
    warmed_up(task)
    return partial(read, Path(task.place), task.data, None)


def load_two_columns(task: Task) -> Work:
    """Load two columns of all rows."""
    warmed_up(task)
    return partial(read, Path(task.place), task.data, TWO_COLUMNS)


JOBS: dict[str, Job] = {"save": save, "load": load, "two_columns": load_two_columns}
