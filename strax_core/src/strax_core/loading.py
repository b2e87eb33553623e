"""Loads a piece of data from the nearest copy that can be read."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np

from strax_core.chunks import Chunk
from strax_core.errors import DataNotAvailable
from strax_core.keys import DataKey
from strax_core.places import Found, Places

Rows = np.ndarray[Any, np.dtype[Any]]
ATTEMPTS = 3  # of a load that finds its data replaced or removed meanwhile


def load_rows(places: Places, key: DataKey, *, executor: Executor | None) -> Rows | None:
    """Return all rows, from the next copy if one cannot be read; None if nothing is stored.

    Raises:
        StorageError: no copy could be read, or no place could answer.
    """
    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        failure = None
        try:
            for found in places.find_all(key):
                try:
                    return found.loader().read_all(executor=executor)
                except Exception as error:  # noqa: BLE001 - another place may serve it
                    found.report_failure(error)
                    failure = failure or error
        except DataNotAvailable:
            return None
        if not isinstance(failure, DataNotAvailable):
            break
    raise failure or DataNotAvailable(f"{key} is not stored")


def load_chunks(
    copies: Iterable[Found], *, executor: Executor | None, read_ahead_bytes: int
) -> Generator[Chunk, None, None]:
    """Iterate over the chunks of the first copy that gives its first one.

    Raises:
        StorageError: none did, or a later chunk of that copy cannot be read.
    """
    failure: Exception | None = None
    for found in copies:
        try:
            chunks = found.loader().chunks(executor=executor, read_ahead_bytes=read_ahead_bytes)
            first = [next(chunks)]
        except Exception as error:  # noqa: BLE001 - another place may serve it
            found.report_failure(error)
            failure = failure or error
            continue
        yield first.pop()  # not by way of a variable, which would keep the rows
        yield from chunks
        return
    raise failure or DataNotAvailable("no copy to load from")


def joined(chunks: Iterable[Chunk]) -> Rows:
    """Return the rows of all chunks in an array of their own; each chunk is let go once copied.

    So about as much memory is needed as the rows take, once all have come.
    """
    parts = [chunk.data for chunk in chunks]
    rows: Rows = np.empty(sum(len(part) for part in parts), dtype=parts[0].dtype)
    # As plain bytes, field by field is several times slower.
    as_bytes = np.dtype((np.void, rows.dtype.itemsize))
    at = 0
    for part in _taken(parts):
        rows[at : at + len(part)].view(as_bytes)[:] = part.view(as_bytes)
        at += len(part)
    return rows


def _taken(parts: list[Rows]) -> Iterator[Rows]:
    parts.reverse()
    while parts:
        yield parts.pop()
