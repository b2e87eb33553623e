"""Counts of what a load has read: bytes, requests, times."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from time import perf_counter
from typing import TypeVar

Thing = TypeVar("Thing")
_MB = 1e6


@dataclass(slots=True)
class ReadReport:
    """Counts what is read of stored data. Give one to `get_array` and its likes, then print it.

    One that is given to several requests counts on. What other processes read is not counted.

    Attributes:
        stored_bytes: size of all that is stored of the data that were read.
        fetched_bytes: how much of it was fetched; more than all if something was read twice.
        requests: how often a place was asked for bytes of a chunk.
        fetching_s: how long that took, summed over threads.
        decoding_s: how long checking and decoding took, summed over threads.
        total_s: how long the requests took; for `get_iter`, how long the user waited.
    """

    stored_bytes: int = 0
    fetched_bytes: int = 0
    requests: int = 0
    fetching_s: float = 0.0
    decoding_s: float = 0.0
    total_s: float = 0.0
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    def add(
        self,
        *,
        stored_bytes: int = 0,
        fetched_bytes: int = 0,
        requests: int = 0,
        fetching_s: float = 0.0,
        decoding_s: float = 0.0,
        total_s: float = 0.0,
    ) -> None:
        """Count on; in any thread."""
        with self._lock:
            self.stored_bytes += stored_bytes
            self.fetched_bytes += fetched_bytes
            self.requests += requests
            self.fetching_s += fetching_s
            self.decoding_s += decoding_s
            self.total_s += total_s

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Count the time of this block into `total_s`."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.add(total_s=perf_counter() - begun)

    def timed(self, things: Generator[Thing, None, None]) -> Generator[Thing, None, None]:
        """Iterate over the same things, and count how long each is waited for."""
        with closing(things):
            while True:
                with self.timing():
                    thing = list(islice(things, 1))
                if not thing:
                    return
                yield thing.pop()  # not by way of a variable, which would keep it

    def __str__(self) -> str:
        share = f" ({self.fetched_bytes / self.stored_bytes:.1%})" if self.stored_bytes else ""
        return (
            f"fetched {self.fetched_bytes / _MB:.3f} of {self.stored_bytes / _MB:.3f} MB{share} "
            f"in {self.requests} requests; {self.total_s:.3f} s in all, in threads "
            f"{self.fetching_s:.3f} s fetching and {self.decoding_s:.3f} s decoding"
        )
