"""Joins chunks as they come."""

import numpy as np

from strax_core.chunks.chunk import Chunk, Rows, extended
from strax_core.chunks.copy_rows import put_rows

GROWTH = 8  # times the rows so far, and all that are expected if that is nearly in sight: so at
# most one row in seven is copied again, and few rows do not ask for the memory of many


class Accumulator:
    """Makes one chunk of several that abut.

    Rows are copied as they come, so what they came in can be let go at once. A chunk that stays
    alone is given back as it is.
    """

    def __init__(self) -> None:
        self._joined: Chunk | None = None
        self._room: Rows | None = None

    @property
    def n(self) -> int:
        """How many rows have come."""
        return 0 if self._joined is None else self._joined.n

    @property
    def is_empty(self) -> bool:
        """Whether no chunk has come."""
        return self._joined is None

    def add(self, chunk: Chunk, *, n_expected: int) -> None:
        """Join the next chunk, of the same run, data type and dtype.

        Args:
            chunk: starts where the one before ends.
            n_expected: how many rows all may have; only a guess.
        """
        if self._joined is None:
            self._joined = chunk
            return
        before = self._joined
        n = before.n + chunk.n
        if self._room is None or n > len(self._room):
            n_room = n_expected if n_expected <= GROWTH**2 * n else GROWTH * n
            self._room = np.empty(max(n, n_room), chunk.dtype)
            put_rows(self._room[: before.n], before.data)
        put_rows(self._room[before.n : n], chunk.data)
        self._joined = extended(before, chunk, self._room[:n])

    def take(self) -> Chunk:
        """Return the joined chunk, and begin anew; there must be one."""
        joined, self._joined, self._room = self._joined, None, None
        if joined is None:
            raise ValueError("no chunk was added")
        return joined
