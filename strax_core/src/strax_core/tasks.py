"""Tasks in an executor: in order, bounded, and none at work when its request ends."""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from threading import Condition, Lock
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")
JOBS_AHEAD_MAX = 64  # given to a pool and not yet taken: enough for any pool, few to call off


@dataclass
class Budget:
    """How many bytes of rows may be held at once, and how many are; for one thread."""

    limit_bytes: int
    held_bytes: int = 0


class Queue(Generic[Answer]):
    """Tasks under way, whose answers are taken in the order in which the tasks were given.

    Args:
        n_max: how many tasks.
        budget: of bytes; one task always fits.
        nbytes_of: how many bytes of rows an answer brings. The next ones count as the largest so
            far; so the first task goes alone, unless `nbytes_first` says what to expect.
        nbytes_first: what to expect of an answer; None: unknown.
    """

    def __init__(
        self,
        *,
        n_max: int,
        budget: Budget,
        nbytes_of: Callable[[Answer], int],
        nbytes_first: int | None = None,
    ) -> None:
        self._n_max = n_max
        self._budget = budget
        self._nbytes_of = nbytes_of
        self._largest = nbytes_first
        self._tasks: deque[tuple[Future[Answer], int]] = deque()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def is_next_due(self) -> bool:
        """Whether the next answer is to be taken before another task is given."""
        if not self._tasks:
            return False
        if self._largest is None or len(self._tasks) >= self._n_max or self._tasks[0][0].done():
            return True
        expected_bytes = (len(self._tasks) + 1) * self._largest
        return self._budget.held_bytes + expected_bytes > self._budget.limit_bytes

    def add(self, task: Future[Answer], held_bytes: int = 0) -> None:
        """Take note of a task just started, and of the bytes that are held for it."""
        self._tasks.append((task, held_bytes))
        self._budget.held_bytes += held_bytes

    def take(self) -> Answer:
        """Wait for the next answer; raises what the task raised."""
        answer = self._tasks[0][0].result()  # still listed, in case the waiting is interrupted
        self._budget.held_bytes -= self._tasks.popleft()[1]
        self._largest = max(self._largest or 0, self._nbytes_of(answer))
        return answer

    def end(self, *, cancel: bool = True) -> list[BaseException]:
        """Wait for all that is under way, and return what it raised; safe to call again.

        Args:
            cancel: what has not begun never begins. Not for an executor that may call a task
                cancelled while it is at work.
        """
        tasks = [task for task, _ in self._tasks]
        end_all(tasks, cancel=cancel)
        self._budget.held_bytes -= sum(held_bytes for _, held_bytes in self._tasks)
        self._tasks.clear()
        raised = [task.exception() for task in tasks if not task.cancelled()]
        return [error for error in raised if error is not None]


@dataclass(frozen=True, slots=True)
class Job(Generic[Answer]):
    """Work for a thread, and its share of what may be under way at once."""

    work: Callable[[], Answer]
    share: float


def in_order(
    jobs: Iterable[Job[Answer]],
    threads: Executor | None,
    *,
    at_least: int = 1,
    are_held: bool = True,
) -> Generator[Answer, None, None]:
    """Iterate over what jobs give, in their order; some are begun before their turn.

    A single job is done here, as all are without threads: to wake a thread takes longer than to
    read a small chunk.

    Args:
        jobs: taken as they are begun.
        threads: where they are done; None: here.
        at_least: so many jobs may be under way whatever their shares; else these are 1 together.
        are_held: what a job gave counts as under way until it is taken; else until it is done, so
            that one that takes long keeps no thread idle.
    """
    jobs = iter(jobs)
    first = list(islice(jobs, 2))
    if threads is None or len(first) < 2:  # noqa: PLR2004 - not several
        for job in chain(_taken(first), jobs):
            yield job.work()
        return
    waiting: deque[tuple[Future[Answer], float]] = deque()
    try:
        for job in chain(_taken(first), jobs):
            while awaited := _awaited(waiting, job.share, at_least=at_least, are_held=are_held):
                wait(awaited, return_when=FIRST_COMPLETED)
                awaited.clear()  # else it would keep what they gave until the next
                if waiting[0][0].done():
                    yield waiting.popleft()[0].result()
            waiting.append((threads.submit(job.work), job.share))
            del job
        while waiting:
            wait([waiting[0][0]])  # before it is off the list: this may be interrupted
            yield waiting.popleft()[0].result()
    finally:
        end_all(task for task, _ in waiting)


def _awaited(
    waiting: Collection[tuple[Future[Answer], float]],
    share: float,
    *,
    at_least: int,
    are_held: bool,
) -> list[Future[Answer]]:
    """Return what to wait for, one of them, before a job of this share begins; none: it may."""
    under_way = [one for one in waiting if are_held or not one[0].done()]
    is_full = len(under_way) >= at_least and sum(each for _, each in under_way) + share > 1
    if is_full and not are_held:
        return [future for future, _ in under_way]
    next_to_take = [future for future, _ in islice(waiting, 1)]
    return next_to_take if is_full or len(waiting) >= JOBS_AHEAD_MAX else []


def _taken(things: list[Answer]) -> Iterator[Answer]:
    while things:
        yield things.pop(0)


class Crew:
    """Does the parts of a task that runs in a pool, with the help of its threads that are idle.

    The caller works through the parts itself. Helpers are given to the pool, and take parts if they
    get to run before all are taken. A helper that did not get to run is called off; one that did is
    waited for. So a task never waits for one that has not begun, and no pool, be it of one thread
    and full of such tasks, can come to a halt.

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


def end_all(tasks: Iterable[Future[Any]], *, cancel: bool = True) -> None:
    """Cancel what has not begun and wait for the rest, whose outcome no longer matters."""
    tasks = list(tasks)
    for task in tasks if cancel else ():
        task.cancel()
    for task in tasks:
        if not task.cancelled():
            task.exception()


class AtWork:
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
