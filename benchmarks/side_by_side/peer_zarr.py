"""zarr 3: an array a column, chunks of about 1 MiB, blosc with zstd 1 and byte shuffle."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from by_column import chunk_shape, jobs_of
from jobs import Source
from zarr.codecs import BloscCodec

COMPRESSOR = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")


def write(source: Source, place: Path, dtype: np.dtype[Any]) -> None:
    """Write each block into its part of the arrays."""
    n_rows = sum(len(rows) for _, _, rows in source)
    group = zarr.create_group(store=str(place), overwrite=True)
    arrays = {}
    for name in dtype.names or ():
        field = dtype[name]
        arrays[name] = group.create_array(
            name,
            shape=(n_rows, *field.shape),
            dtype=field.base,
            chunks=chunk_shape(field, n_rows),
            compressors=COMPRESSOR,
        )
    gathered: dict[str, list[Any]] = {name: [] for name in arrays}
    written = dict.fromkeys(arrays, 0)
    for number, (_, _, rows) in enumerate(source):
        is_last = number == len(source) - 1
        for name, array in arrays.items():
            gathered[name].append(rows[name])
            values = np.concatenate(gathered[name])
            step = array.chunks[0]
            n = len(values) if is_last else len(values) // step * step  # only whole chunks
            if n:
                array[written[name] : written[name] + n] = values[:n]
                written[name] += n
            gathered[name] = [values[n:]]


def read(place: Path, name: str) -> Any:
    """Read a column."""
    return zarr.open_array(f"{place}/{name}", mode="r")[:]


JOBS = jobs_of(write, read)
