"""Bounds the bytes of tasks under way whose answers nobody needs."""

from collections import deque
from concurrent.futures import Future
from typing import Any

from strax_core.concurrency.bounded import Budget
from strax_core.concurrency.futures import end_all

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
        """True if nothing is under way."""
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
