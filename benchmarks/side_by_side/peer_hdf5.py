"""HDF5: a dataset a column, chunks of about 1 MiB, blosc with zstd 1 and byte shuffle."""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from by_column import chunk_shape, jobs_of
from jobs import Source

FILE = "data.h5"
COMPRESSION = hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE)


def write(source: Source, place: Path, dtype: np.dtype[Any]) -> None:
    """Write each block into its part of the datasets."""
    n_rows = sum(len(rows) for _, _, rows in source)
    with h5py.File(place / FILE, "w") as file:
        for name in dtype.names or ():
            field = dtype[name]
            file.create_dataset(
                name,
                shape=(n_rows, *field.shape),
                dtype=field.base,
                chunks=chunk_shape(field, n_rows),
                compression=COMPRESSION,
            )
        at = 0
        for _, _, rows in source:
            for name in dtype.names or ():
                file[name][at : at + len(rows)] = rows[name]
            at += len(rows)


def read(place: Path, name: str) -> Any:
    """Read a column."""
    with h5py.File(place / FILE) as file:
        return file[name][:]


JOBS = jobs_of(write, read)
