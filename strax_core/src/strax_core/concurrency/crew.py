"""Shares the parts of one task with idle threads of its pool."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from threading import Lock
from typing import Any, Generic, TypeVar

from strax_core.concurrency.futures import end_all

Answer = TypeVar("Answer")


class WorkSharing:
    """Does the parts of a task that runs in a pool, with the help of its threads that are idle.

    The caller works through the parts itself. Helpers are given to the pool, and take parts if they
    get to run before all are taken. A helper that did not get to run is cancelled; one that did is
    waited for. The caller waits only for helpers that have started. So it cannot deadlock, even in
    a full pool of one thread.

    Args:
        threads: the pool in which the caller runs; None: the caller works alone.
        n_helpers: how many to ask for at most.
    """

    def __init__(self, threads: Executor | None, n_helpers: int) -> None:
        self._threads = threads
        self._n_helpers = n_helpers

    def __call__(self, parts: Sequence[Callable[[], Answer]], /) -> list[Answer]:
        """Return what the parts give, in their order; the first error ends it."""
        work = _Parts(parts)
        helpers: list[Future[None]] = []
        # If the pool takes nothing more, it is about to end, and waits for this task.
        with suppress(RuntimeError):
            helpers.extend(self._helpers(work, len(parts) - 1))
        work.do()
        end_all(helpers)
        return work.answers()

    def _helpers(self, work: "_Parts[Any]", n: int) -> Iterator[Future[None]]:
        if self._threads is not None:
            for _ in range(min(self._n_helpers, n)):
                yield self._threads.submit(work.do)


class _Parts(Generic[Answer]):
    """Parts of one task, each of which is taken by one thread."""

    def __init__(self, parts: Sequence[Callable[[], Answer]]) -> None:
        self._parts = parts
        self._numbers: Iterator[int] = iter(range(len(parts)))
        self._lock = Lock()
        self._answers: dict[int, Answer] = {}
        self._errors: dict[int, BaseException] = {}

    def do(self) -> None:
        """Take one part after the other, until all are taken."""
        while (number := self._next()) is not None:
            try:
                self._answers[number] = self._parts[number]()
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                self._errors[number] = error
                self.give_up()

    def give_up(self) -> None:
        """Let nobody take another part."""
        with self._lock:
            self._numbers = iter(())

    def answers(self) -> list[Answer]:
        """Return all answers, now that all parts are done; or raise the first error."""
        for number in sorted(self._errors):
            raise self._errors[number]
        return [self._answers[number] for number in range(len(self._parts))]

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)
