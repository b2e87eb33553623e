"""Pauses between tries, each about twice as long as the one before."""

import random
import time


class Backoff:
    """Pauses between tries of one thing, shortened at random: so that many do not come at once.

    Args:
        first_s: the first pause is between half of this and all of it.
        longest_s: no pause is longer.
    """

    def __init__(self, *, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s

    def pause(self) -> None:
        """Wait before the next try."""
        time.sleep(self._next_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
        self._next_s = min(2 * self._next_s, self._longest_s)

    def begin_anew(self) -> None:
        """Let the next pause be the first again, since there was progress."""
        self._next_s = self._first_s
