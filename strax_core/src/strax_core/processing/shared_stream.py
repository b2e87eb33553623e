"""One stream for several readers, holding only what some of them have yet to take."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Part = TypeVar("Part")


class SharedStream(Generic[Item]):
    """Runs a source once for a known number of readers, of which each must be asked for.

    Each reader takes a part of every item, so that what only others need is not held for it.
    Not `itertools.tee`: that frees items by blocks of 57, which for chunks are gigabytes.
    """

    def __init__(self, source: Iterator[Item], *, n_readers: int) -> None:
        self._source = source
        self._n_readers = n_readers
        self._queues: list[tuple[deque[Any], Callable[[Item], Any]]] = []

    def reader(self, part_of: Callable[[Item], Part]) -> Iterator[Part]:
        """Return the next of the readers, which gets `part_of` each item."""
        if self._n_readers == 1:
            return map(part_of, self._source)
        queue: deque[Part] = deque()
        self._queues.append((queue, part_of))
        return self._read(queue)

    def _read(self, queue: deque[Part]) -> Iterator[Part]:
        while queue or self._fetch():
            yield queue.popleft()

    def _fetch(self) -> bool:
        for item in self._source:
            for queue, part_of in self._queues:
                queue.append(part_of(item))
            return True
        return False
