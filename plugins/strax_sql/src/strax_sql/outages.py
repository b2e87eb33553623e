"""Which backends did not answer this process lately; nobody else is told, and it is forgotten."""

import time
from collections.abc import Callable


class Outages:
    """Remembers outages for a while; in another process, or after pickling, there were none.

    Args:
        lasts_s: for how long.
        clock: instead of the process's own, for tests.
    """

    def __init__(self, lasts_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lasts_s = lasts_s
        self._clock = clock
        self._until: dict[str, float] = {}

    def __reduce__(self) -> tuple[type["Outages"], tuple[float]]:
        return Outages, (self._lasts_s,)

    def note(self, backend: str) -> None:
        """Remember that a backend did not answer."""
        self._until[backend] = self._clock() + self._lasts_s

    def is_out(self, backend: str) -> bool:
        """Say whether it did not answer a short while ago."""
        return self._clock() < self._until.get(backend, -1.0)
