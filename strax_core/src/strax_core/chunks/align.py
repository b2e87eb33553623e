"""Aligns several inputs of one data plugin: each step has the same stretch of time of all."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from strax_core.chunks.chunk import Chunk, check_continuity, concatenate, endtime_of
from strax_core.errors import ChunkError


class Aligner:
    """Iterates over aligned chunks of several data types; a single one passes as it is.

    - A row of `time` t is in the step with ``start <= t < end``, and no row is cut.
    - Rows of zero duration at the very end come in a last step of zero duration.
    - Nothing is read further ahead than that needs.

    Args:
        inputs: the chunks of each data type.
        who: whose inputs they are, for messages.
        from_ns: rows before this time are of no interest. The inputs may then start at different
            times up to it, as stored chunks do: rows before the latest start are left out.

    Raises:
        ChunkError: the inputs do not start, or do not end, at the same time; or one has no chunks;
            or a row that would be left out reaches beyond `from_ns`.
    """

    def __init__(
        self,
        inputs: Mapping[str, Iterator[Chunk]],
        *,
        who: str = "",
        from_ns: int | None = None,
    ) -> None:
        self._inputs = [_Input(name, chunks) for name, chunks in inputs.items()]
        self._who = f"{who}: " if who else ""
        self._from_ns = from_ns

    def __iter__(self) -> Iterator[dict[str, Chunk]]:
        for each in self._inputs:
            if not each.fetch():
                raise ChunkError(f"{self._who}the input {each.name} has no chunks")
        if self._from_ns is not None:
            self._leave_out_before(self._from_ns)
        if len(self._inputs) == 1:
            yield from self._inputs[0].alone()
            return
        if len({each.start for each in self._inputs}) > 1:
            raise ChunkError(f"{self._who}{self._spans()}: they do not start at the same time")
        yield from self._steps()

    def _leave_out_before(self, from_ns: int) -> None:
        """Let all inputs start at the latest of their starts."""
        start = max(each.start for each in self._inputs)
        if start > from_ns:
            raise ChunkError(f"{self._who}{self._spans()}: they do not all reach back to {from_ns}")
        for each in [each for each in self._inputs if each.start < start]:
            latest_end = each.leave_out_before(start)
            if each.start != start:
                raise ChunkError(f"{self._who}{self._spans()}: {each.name} ends before {start}")
            if latest_end > from_ns:
                raise ChunkError(
                    f"{self._who}a row of {each.name} that starts before {start} ends at "
                    f"{latest_end}, so this time range cannot be cut out at {from_ns}: "
                    "make the data first, or ask for the whole run"
                )

    def _steps(self) -> Iterator[dict[str, Chunk]]:
        n_given = 0
        while True:
            for each in self._inputs:
                each.fetch_some_time()
            start, end = self._inputs[0].start, self._common_end()
            if end == start and self._fetch_shortest():
                continue
            if end == start and any(each.end > start for each in self._inputs):
                raise ChunkError(f"{self._who}{self._spans()}: they do not end at the same time")
            if end > start or not n_given or any(each.has_rows for each in self._inputs):
                yield {each.name: each.take(end) for each in self._inputs}
                n_given += 1
            if end == start:
                return

    def _common_end(self) -> int:
        """The latest time at which every input may be cut."""
        end = min(each.end for each in self._inputs)
        while True:
            earlier = min(each.latest_cut(end) for each in self._inputs)
            if earlier == end:
                return end
            end = earlier

    def _fetch_shortest(self) -> bool:
        end = min(each.end for each in self._inputs)
        fetched = [each.fetch() for each in self._inputs if each.end == end]
        return any(fetched)

    def _spans(self) -> str:
        return ", ".join(f"{each.name} [{each.start}, {each.end})" for each in self._inputs)


class _Input:
    """One input: the chunks that were fetched and not yet taken."""

    def __init__(self, name: str, chunks: Iterator[Chunk]) -> None:
        self.name = name
        self._chunks = chunks
        self._waiting: deque[Chunk] = deque()

    @property
    def start(self) -> int:
        return self._waiting[0].start

    @property
    def end(self) -> int:
        return self._waiting[-1].end

    @property
    def has_rows(self) -> bool:
        return any(chunk.n for chunk in self._waiting)

    def alone(self) -> Iterator[dict[str, Chunk]]:
        while self._waiting:
            end = self.end
            yield {self.name: self._waiting.pop()}
            if self.fetch():
                check_continuity(end, self._waiting[0])

    def fetch(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        if self._waiting:
            check_continuity(self.end, chunk)
        self._waiting.append(chunk)
        return True

    def leave_out_before(self, start: int) -> int:
        """Drop the rows that start before this time; return the latest end of them (0: none)."""
        latest_end = 0
        while True:
            chunk = self._waiting[-1]
            n_out = bisect_left(chunk.data["time"], start)
            if n_out:
                latest_end = max(latest_end, int(endtime_of(chunk.data[:n_out]).max()))
            if chunk.end >= start:
                kept = replace(chunk, data=chunk.data[n_out:])
                self._waiting[-1] = _split_before(kept, start)[1]
            if chunk.end >= start or not self.fetch():
                return latest_end
            self._waiting.popleft()

    def fetch_some_time(self) -> None:
        """Fetch until there is something to cut, or nothing more comes."""
        while self.end == self.start and self.fetch():
            pass

    def latest_cut(self, at_ns: int) -> int:
        """Return the latest time up to `at_ns` that cuts no row; borders of chunks never do."""
        for chunk in self._waiting:
            if at_ns <= chunk.end:
                return latest_cut(chunk, at_ns)
        return self.end

    def take(self, end: int) -> Chunk:
        """Return the rows before `end`; in a step of zero duration, the last, all that is left."""
        if end == self.start:
            return concatenate(list(self._waiting))
        taken: list[Chunk] = []
        while self._waiting[0].end < end:
            taken.append(self._waiting.popleft())
        before, after = _split_before(self._waiting.popleft(), end)
        if after.n or after.end > after.start or not self._waiting:
            self._waiting.appendleft(after)
        return concatenate([*taken, before])


def _split_before(chunk: Chunk, at_ns: int) -> tuple[Chunk, Chunk]:
    """Split so that rows of zero duration on the cut go right, also at the end of the chunk.

    Otherwise the same row could go left in one input and right in another, by their borders.
    """
    n_left = bisect_left(chunk.data["time"], at_ns)
    if at_ns < chunk.end or n_left == chunk.n:
        return chunk.split(at_ns)
    return (
        replace(chunk, data=chunk.data[:n_left]),
        replace(chunk, start=at_ns, data=chunk.data[n_left:], subruns=None),
    )


def latest_cut(chunk: Chunk, at_ns: int) -> int:
    """Return the latest time up to `at_ns` at which no row of the chunk is cut."""
    n_before = bisect_left(chunk.data["time"], at_ns)
    if not n_before:
        return at_ns
    times = np.asarray(chunk.data["time"][:n_before], dtype=np.int64)
    # A long early row may outlast many later ones: compare with the latest end so far.
    latest_ends = np.maximum.accumulate(endtime_of(chunk.data[:n_before]))
    if latest_ends[-1] <= at_ns:
        return at_ns
    free = np.flatnonzero(latest_ends[:-1] <= times[1:])
    return int(times[free[-1] + 1 if len(free) else 0])
