"""Merges the columns of data types of one kind, row by row."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from strax_core.chunks.arrays import fields_of
from strax_core.chunks.chunk import Chunk
from strax_core.errors import ChunkError


def merge_columns(chunks: Mapping[str, Chunk], *, kind: str) -> np.ndarray[Any, Any]:
    """Return one array with the columns of several data types of one kind.

    Of a column that several have, the last one's is taken, as in strax.

    Raises:
        ChunkError: they do not have the same rows.
    """
    if len(chunks) == 1:
        return next(iter(chunks.values())).data
    first_name, first = next(iter(chunks.items()))
    for name, chunk in chunks.items():
        if chunk.n != first.n or not np.array_equal(chunk.data["time"], first.data["time"]):
            raise ChunkError(
                f"{name} and {first_name} are of the kind {kind}, but do not have the same rows"
            )
    dtype = merged_dtype({name: chunk.dtype for name, chunk in chunks.items()}, kind=kind)
    merged = np.empty(first.n, dtype)
    holders = {field: chunk for chunk in chunks.values() for field in chunk.dtype.names or ()}
    for field, chunk in holders.items():
        merged[field] = chunk.data[field]
    return merged


def merged_dtype(dtypes: Mapping[str, np.dtype[Any]], *, kind: str) -> np.dtype[Any]:
    """Return the dtype of what `merge_columns` makes of data types with these dtypes.

    The columns stand in the order of the data types' names, whatever the order they are given in,
    as in strax. Of a column that several have, it is the last one's.

    Raises:
        ChunkError: a title of one is the name or title of another column.
    """
    if len(dtypes) == 1:
        return next(iter(dtypes.values()))
    last = {field: dtype for dtype in dtypes.values() for field in dtype.names or ()}
    order = dict.fromkeys(field for name in sorted(dtypes) for field in dtypes[name].names or ())
    try:
        return np.dtype([each for field in order for each in fields_of(last[field], [field])])
    except ValueError as error:
        raise ChunkError(
            f"{', '.join(dtypes)} are of the kind {kind}, but their columns cannot stand side by "
            f"side: {error}"
        ) from error
