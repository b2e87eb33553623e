"""Rechunking: chunks of any size in, chunks near a target size out."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from strax_core.chunks import invariants
from strax_core.chunks.chunk import (
    Chunk,
    Rows,
    check_continuity,
    check_same_kind,
    endtime_of,
    extended,
)
from strax_core.chunks.copy_rows import put_rows
from strax_core.errors import ConfigError


def rechunked(chunks: Iterable[Chunk], target_bytes: int) -> Iterator[Chunk]:
    """Iterate over the same rows in chunks of about the target size."""
    rechunker = Rechunker(target_bytes)
    for chunk in chunks:
        yield from rechunker.receive(chunk)
    yield from rechunker.flush()


# Rows closer together than this may belong together, so they are never cut apart; a cut lies half
# of it before the row it precedes. Upstream's numbers, so that both cut the same data alike.
MIN_GAP_NS = 1000
CUT_BEFORE_ROW_NS = 500
GROWTH = 8  # times the rows so far, and all that are expected if that is nearly in sight: so at
# most one row in seven is copied again, and few rows do not ask for the memory of many


class Rechunker:
    """Joins and cuts a stream of chunks to a target size.

    * Cuts lie on borders of received chunks, and in gaps of more than `MIN_GAP_NS` within one.
    * Once the rows at hand reach the target, the possible cut nearest to it is taken; of two
      equally near ones, the earlier. Without gaps a chunk may so become larger than the target.
    * The emitted chunks hold the received rows, and cover the received time without a hole.
    * Holds less than one target of rows, and during `receive` the received chunk.

    Args:
        target_bytes: uncompressed size to aim at; one row a chunk if a row is larger than this.
    """

    def __init__(self, target_bytes: int) -> None:
        if target_bytes < 1:
            raise ConfigError(f"a target chunk size must be at least 1 byte, not {target_bytes}")
        self._target_bytes = target_bytes
        self._kind: tuple[str, str, np.dtype[Any]] | None = None
        self._previous_end: int | None = None
        self._pending = _Accumulator()

    @property
    def pending_bytes(self) -> int:
        """Uncompressed size of the rows received and not yet emitted."""
        return self._pending.n * self._kind[2].itemsize if self._kind else 0

    def receive(self, chunk: Chunk) -> list[Chunk]:
        """Take the next chunk; return those that are now complete, in order of time.

        Raises:
            ChunkError: it does not abut the one before, or is of another run, data type or dtype.
        """
        self._check(chunk)
        target_rows = max(1, self._target_bytes // max(1, chunk.dtype.itemsize))
        if self._pending.n + chunk.n < target_rows:
            self._pending.add(chunk, n_expected=target_rows + chunk.n)
            return []
        return self._cut(chunk, target_rows)

    def flush(self) -> list[Chunk]:
        """Return what is left as one chunk, perhaps without rows; an empty list if nothing is."""
        return [] if self._pending.is_empty else [self._pending.take()]

    def _check(self, chunk: Chunk) -> None:
        if self._kind is None:
            self._kind = (chunk.run_id, chunk.data_type, chunk.dtype)
        check_same_kind(*self._kind, chunk)
        self._previous_end = check_continuity(self._previous_end, chunk)

    def _cut(self, chunk: Chunk, target_rows: int) -> list[Chunk]:
        """Emit until less than the target is left.

        Only the newest chunk has to be searched for gaps: what was pending is smaller than the
        target, so its end is nearer to the target than any cut within it.
        """
        emitted: list[Chunk] = []
        n_expected = target_rows + chunk.n
        cuts = _possible_cuts(chunk)
        rest, done = chunk, 0  # `done` rows of the chunk are emitted, `rest` are the others
        while self._pending.n + rest.n >= target_rows:
            first = done - self._pending.n  # a cut here would emit no row
            cut = _nearest(cuts, first, first + target_rows)
            if cut == chunk.n:
                self._pending.add(rest, n_expected=n_expected)
                return [*emitted, self._pending.take()]
            if cut > done:
                part, rest = rest.split(int(chunk.data["time"][cut]) - CUT_BEFORE_ROW_NS)
                self._pending.add(part, n_expected=n_expected)
                done = cut
            emitted.append(self._pending.take())
        self._pending.add(_released(rest, chunk), n_expected=n_expected)
        return emitted


def recut(chunks: Iterable[Chunk], n_rows: float) -> Iterator[Chunk]:
    """Iterate over the same rows in chunks of about so many; across a hole none are joined."""
    rechunker: Rechunker | None = None
    end: int | None = None
    for chunk in chunks:
        if rechunker is None or chunk.start != end:
            if rechunker is not None:
                yield from rechunker.flush()
            rechunker = Rechunker(max(1, int(n_rows * chunk.dtype.itemsize)))
        end = chunk.end
        pieces = rechunker.receive(chunk)
        del chunk  # or it would be held while the user works on what is cut from it
        while pieces:
            yield pieces.pop(0)
    if rechunker is not None:
        yield from rechunker.flush()


def _possible_cuts(chunk: Chunk) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows before which one may cut, with both borders of the chunk."""
    time = np.asarray(chunk.data["time"], dtype=np.int64)
    gaps = invariants.rows_after_gaps(time, endtime_of(chunk.data), MIN_GAP_NS)
    return np.concatenate((np.zeros(1, np.int64), gaps, np.full(1, chunk.n, np.int64)))


def _nearest(cuts: npt.NDArray[np.int64], first: int, wanted: int) -> int:
    """Return the cut nearest to `wanted` and after `first`; of two, the smaller.

    The last cut is never before `wanted`, which is after `first`.
    """
    i = int(np.searchsorted(cuts, wanted))
    after = int(cuts[i])
    before = int(cuts[i - 1]) if i else first
    return before if first < before and wanted - before <= after - wanted else after


def _released(rest: Chunk, whole: Chunk) -> Chunk:
    """Return the rest of a chunk, copied if as a view it would keep a much larger array alive."""
    if 2 * rest.nbytes >= whole.nbytes:
        return rest
    return Chunk(rest.start, rest.end, rest.data.copy(), rest.run_id, rest.data_type, rest.subruns)


class _Accumulator:
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
