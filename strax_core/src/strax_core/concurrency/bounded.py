"""Bounds of what is under way: bytes held, and tasks whose answers come in order."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from strax_core.concurrency.futures import end_all

Answer = TypeVar("Answer")


@dataclass
class Budget:
    """Bytes of rows that may be held at once, and that are; for one thread."""

    limit_bytes: int
    held_bytes: int = 0


class Queue(Generic[Answer]):
    """Tasks under way, whose answers are taken in the order in which the tasks were given.

    Args:
        n_max: how many tasks.
        budget: of bytes; one task always fits.
        nbytes_of: how many bytes of rows an answer brings. Later answers are assumed as large as
            the largest so far. Until one is known, tasks run one at a time.
        nbytes_first: what to expect of an answer; None: unknown.
    """

    def __init__(
        self,
        *,
        n_max: int,
        budget: Budget,
        nbytes_of: Callable[[Answer], int],
        nbytes_first: int | None = None,
    ) -> None:
        self._n_max = n_max
        self._budget = budget
        self._nbytes_of = nbytes_of
        self._largest = nbytes_first
        self._tasks: deque[tuple[Future[Answer], int]] = deque()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def is_next_due(self) -> bool:
        """True if the next answer is to be taken before another task is given."""
        if not self._tasks:
            return False
        if self._largest is None or len(self._tasks) >= self._n_max or self._tasks[0][0].done():
            return True
        expected_bytes = (len(self._tasks) + 1) * self._largest
        return self._budget.held_bytes + expected_bytes > self._budget.limit_bytes

    def add(self, task: Future[Answer], held_bytes: int = 0) -> None:
        """Take note of a task just started, and of the bytes that are held for it."""
        self._tasks.append((task, held_bytes))
        self._budget.held_bytes += held_bytes

    def take(self) -> Answer:
        """Wait for the next answer; raises what the task raised."""
        answer = self._tasks[0][0].result()  # still listed, in case the waiting is interrupted
        self._budget.held_bytes -= self._tasks.popleft()[1]
        self._largest = max(self._largest or 0, self._nbytes_of(answer))
        return answer

    def end(self, *, cancel: bool = True) -> list[BaseException]:
        """Wait for all that is under way, and return what it raised; safe to call again.

        Args:
            cancel: what has not begun never begins. Not for an executor that may call a task
                cancelled while it is at work.
        """
        tasks = [task for task, _ in self._tasks]
        end_all(tasks, cancel=cancel)
        self._budget.held_bytes -= sum(held_bytes for _, held_bytes in self._tasks)
        self._tasks.clear()
        raised = [task.exception() for task in tasks if not task.cancelled()]
        return [error for error in raised if error is not None]
