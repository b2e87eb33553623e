"""Tasks in an executor: in order, bounded, and none at work when its request ends."""

from collections.abc import Iterable
from concurrent.futures import Future
from threading import Condition
from typing import Any, TypeVar

from strax_core.errors import StorageError

Answer = TypeVar("Answer")


class Cancelled(StorageError):  # noqa: N818 - it never reaches a user
    """The request was cancelled; never recorded as a failed save."""


def end_all(tasks: Iterable[Future[Any]], *, cancel: bool = True) -> None:
    """Cancel what has not begun and wait for the rest, whose outcome no longer matters."""
    tasks = list(tasks)
    for task in tasks if cancel else ():
        task.cancel()
    for task in tasks:
        if not task.cancelled():
            task.exception()


class WaitGroup:
    """Counts those inside its block, in any thread, so that one can wait for them to leave it.

    Whoever submits a task and is interrupted may not hold its future, while the task runs.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._n = 0

    def __enter__(self) -> None:
        with self._changed:
            self._n += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._n -= 1
            self._changed.notify_all()

    def wait_for_none(self) -> None:
        """Wait until nobody is inside; who enters later has to see that it is too late."""
        with self._changed:
            self._changed.wait_for(lambda: not self._n)
