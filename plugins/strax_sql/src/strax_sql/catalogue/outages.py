"""Outages: backends that did not answer this process lately; kept in memory for a while only."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outage:
    """That a backend did not answer."""

    ago_s: float
    left_s: float
    """For how long it is still remembered."""
    why: str


class Outages:
    """Remembers outages for a while; in another process, or after pickling, there were none.

    Args:
        lasts_s: for how long.
        clock: instead of the process's own, for tests.
    """

    def __init__(self, lasts_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lasts_s = lasts_s
        self._clock = clock
        self._noted: dict[str, tuple[float, str]] = {}

    def __reduce__(self) -> tuple[type["Outages"], tuple[float]]:
        return Outages, (self._lasts_s,)

    def note(self, backend: str, why: str) -> None:
        """Remember that a backend did not answer."""
        self._noted[backend] = self._clock(), why

    def is_out(self, backend: str) -> bool:
        """Say whether it did not answer a short while ago."""
        return self.of(backend) is not None

    def of(self, backend: str) -> Outage | None:
        """Return its last outage, if that was a short while ago."""
        if backend not in self._noted:
            return None
        noted_s, why = self._noted[backend]
        ago_s = self._clock() - noted_s
        return Outage(ago_s, self._lasts_s - ago_s, why) if ago_s < self._lasts_s else None
