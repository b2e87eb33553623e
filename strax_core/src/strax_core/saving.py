"""Chunks through a saver, one after the other or in an executor, with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from strax_core.chunks import Chunk
from strax_core.rechunk import Rechunker
from strax_core.tasks import Budget, end_all

IN_FLIGHT_BYTES = 256 << 20
BUFFER_BYTES = 512 << 20  # what one request may hold, unless its context says otherwise


class InFlight:
    """Tasks under way in an executor, bounded by the bytes of rows that they and others hold.

    Every task's exception surfaces: in the `make_room` that waits for it, or in `drain`.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget(IN_FLIGHT_BYTES)
        self._tasks: deque[tuple[Future[Any], int]] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    def make_room(self, size_bytes: int) -> None:
        """Wait until a task of this size fits; one task always does."""
        while self._tasks and (
            self.budget.held_bytes + size_bytes > self.budget.limit_bytes
            or self._tasks[0][0].done()
        ):
            self._wait_for_one()

    def add(self, task: Future[Any], size_bytes: int) -> None:
        """Take note of a task just started."""
        self._tasks.append((task, size_bytes))
        self.budget.held_bytes += size_bytes

    def drain(self) -> None:
        """Wait for all tasks; the first exception is raised, after all have ended."""
        try:
            while self._tasks:
                self._wait_for_one()
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Cancel what has not begun and wait for the rest, whose outcome no longer matters."""
        tasks = [task for task, _ in self._tasks]
        self.budget.held_bytes -= sum(size_bytes for _, size_bytes in self._tasks)
        self._tasks.clear()
        end_all(tasks)

    def _wait_for_one(self) -> None:
        task, size_bytes = self._tasks[0]
        try:
            task.result()
        finally:
            if task.done():  # else the waiting was interrupted, and `cancel` waits for it
                self._tasks.popleft()
                self.budget.held_bytes -= size_bytes


def save_all(
    save: Callable[[Chunk, int], object],
    chunks: Iterable[Chunk],
    *,
    target_bytes: int | None,
    executor: Executor | None,
) -> None:
    """Call `save` for each chunk with its number, rechunked unless `target_bytes` is None."""
    in_flight = InFlight()
    try:
        for chunk_i, chunk in enumerate(
            chunks if target_bytes is None else rechunked(chunks, target_bytes)
        ):
            if executor is None:
                save(chunk, chunk_i)
            else:
                in_flight.make_room(chunk.nbytes)
                in_flight.add(executor.submit(save, chunk, chunk_i), chunk.nbytes)
        in_flight.drain()
    finally:
        in_flight.cancel()


def rechunked(chunks: Iterable[Chunk], target_bytes: int) -> Iterator[Chunk]:
    """Iterate over the same rows in chunks of about the target size."""
    rechunker = Rechunker(target_bytes)
    for chunk in chunks:
        yield from rechunker.receive(chunk)
    yield from rechunker.flush()
