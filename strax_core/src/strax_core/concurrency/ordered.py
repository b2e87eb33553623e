"""Runs jobs in threads, some ahead, and gives their answers in order."""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from itertools import chain, islice
from typing import Generic, TypeVar

from strax_core.concurrency.futures import end_all

Answer = TypeVar("Answer")
JOBS_AHEAD_MAX = 64  # given to a pool and not yet taken: enough for any pool, few to call off


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
        are_held: True: answers still count as under way until they are taken. False: only until
            they are done, so that a slow job keeps no thread idle.
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
