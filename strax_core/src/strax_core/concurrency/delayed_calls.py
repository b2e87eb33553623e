"""Starts something a while from now, unless it is called off first.

One thread waits for all, so what is called off in time, as most is, costs no thread of its own.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

THREAD_NAME = "strax-late-starts"


_LOG = logging.getLogger("strax_core")


class LateStarts:
    """Actions that wait for their time. An action must be short: the others wait meanwhile.

    Args:
        delay_s: how long each waits. When nothing waits any more, the thread ends by itself, at
            most this long after the last was called off.
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

    def add(self, action: Callable[[], None]) -> None:
        """Have `action` called in another thread when its time has come."""
        with self._lock:
            self._due[action] = time.monotonic() + self.delay_s
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._keep_starting, name=THREAD_NAME, daemon=True
                )
                self._thread.start()

    def call_off(self, action: Callable[[], None]) -> None:
        """Forget an action; if it has begun, this returns when it is over."""
        with self._lock:
            self._due.pop(action, None)

    def _keep_starting(self) -> None:
        while (pause_s := self._start_what_is_due()) is not None:
            time.sleep(pause_s)

    def _start_what_is_due(self) -> float | None:
        """Return for how long nothing else is due; None: nothing waits, and the thread may end."""
        with self._lock:
            now = time.monotonic()
            for action in [each for each, due in self._due.items() if due <= now]:
                del self._due[action]
                try:
                    action()
                except Exception:  # noqa: BLE001 - the others still wait for this thread
                    _LOG.exception("something that was due could not be started")
            if not self._due:
                self._thread = None
                return None
            return max(0.0, min(self._due.values()) - now)
