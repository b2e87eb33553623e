"""Runs a callback after a delay, unless it is cancelled first.

One thread waits for all. So a callback that is cancelled in time costs no thread of its own.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

THREAD_NAME = "strax-delayed-calls"
_LOG = logging.getLogger("strax_core")


class DelayedCalls:
    """Callbacks that wait for their time. Each must be short: the others wait meanwhile.

    Args:
        delay_s: how long each waits. When none waits any more, the thread ends by itself, at most
            this long after the last was cancelled.
    """

    def __init__(self, *, delay_s: float) -> None:
        self.delay_s = delay_s
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A fork has neither our thread nor our duties; and somebody may have held the lock."""
        # A plain lock: an interrupt between taking and holding a `Condition` leaves it locked.
        self._lock = threading.Lock()
        self._due: dict[Callable[[], None], float] = {}
        self._thread: threading.Thread | None = None

    def schedule(self, callback: Callable[[], None]) -> None:
        """Have it called in another thread when its time has come."""
        with self._lock:
            self._due[callback] = time.monotonic() + self.delay_s
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()

    def cancel(self, callback: Callable[[], None]) -> None:
        """Forget a callback; if it has begun, this returns when it is over."""
        with self._lock:
            self._due.pop(callback, None)

    def _run(self) -> None:
        while (pause_s := self._call_what_is_due()) is not None:
            time.sleep(pause_s)

    def _call_what_is_due(self) -> float | None:
        """Return for how long nothing else is due; None: nothing waits, and the thread may end."""
        with self._lock:
            now = time.monotonic()
            for callback in [each for each, due in self._due.items() if due <= now]:
                del self._due[callback]
                try:
                    callback()
                except Exception:  # noqa: BLE001 - the others still wait for this thread
                    _LOG.exception("a delayed call failed")
            if not self._due:
                self._thread = None
                return None
            return max(0.0, min(self._due.values()) - now)
