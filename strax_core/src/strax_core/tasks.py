"""Tasks in an executor: no request ends while one of its tasks is still at work."""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any


def end_all(tasks: Iterable[Future[Any]]) -> None:
    """Cancel what has not begun and wait for the rest, whose outcome no longer matters."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    for task in tasks:
        if not task.cancelled():
            task.exception()
