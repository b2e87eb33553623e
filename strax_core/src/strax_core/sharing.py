"""One stream for several readers, holding only what some of them have yet to take."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class SharedStream(Generic[Item]):
    """Runs a source once for a known number of readers, of which each must be asked for.

    Not `itertools.tee`: that frees items by blocks of 57, which for chunks are gigabytes.
    """

    def __init__(self, source: Iterator[Item], *, n_readers: int) -> None:
        self._source = source
        self._queues: list[deque[Item]] = [deque() for _ in range(n_readers)]
        self._n_given = 0

    def reader(self) -> Iterator[Item]:
        """Return the next of the readers."""
        queue = self._queues[self._n_given]
        self._n_given += 1
        return self._source if len(self._queues) == 1 else self._read(queue)

    def _read(self, queue: deque[Item]) -> Iterator[Item]:
        while queue or self._fetch():
            yield queue.popleft()

    def _fetch(self) -> bool:
        for item in self._source:
            for queue in self._queues:
                queue.append(item)
            return True
        return False
