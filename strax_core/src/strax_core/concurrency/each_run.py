"""Several runs in one request: some at a time, the answers in the order of the runs."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from threading import Event
from typing import TypeVar

from strax_core.concurrency.futures import Cancelled, WaitGroup, end_all

Answer = TypeVar("Answer")
RUNS_AT_ONCE = 4


def for_each_run(
    run_ids: Sequence[str], work: Callable[[str, Event], Answer], *, at_once: int
) -> Iterator[Answer]:
    """Iterate over the answers for all runs, `at_once` of which are worked on or wait to be taken.

    The first error ends it, whichever run comes first: what has not begun is cancelled, and what is
    under way is told to stop and waited for. The error is raised as it is, with a note of its run.

    Args:
        run_ids: which runs.
        work: gives the answer for a run; it should give up soon after the event is set.
        at_once: how many runs.
    """
    stop = Event()
    at_work = WaitGroup()

    def begun(run_id: str) -> Answer:
        with at_work:
            if stop.is_set():
                raise Cancelled(f"run {run_id} was cancelled")
            return work(run_id, stop)

    waiting: deque[tuple[str, Future[Answer]]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="strax-run") as drivers:
        try:
            for run_id in run_ids:
                if len(waiting) == at_once:
                    yield _next_answer(waiting)
                waiting.append((run_id, drivers.submit(begun, run_id)))
            while waiting:
                yield _next_answer(waiting)
        finally:
            stop.set()
            end_all(task for _, task in waiting)
            at_work.wait_for_none()


def _next_answer(waiting: deque[tuple[str, Future[Answer]]]) -> Answer:
    while True:
        done = [each for each in waiting if each[1].done()]
        for run_id, task in done:
            error = task.exception()
            if error is not None:
                error.add_note(f"in run {run_id}, one of several")
                raise error
        if waiting[0] in done:
            return waiting.popleft()[1].result()
        under_way = [task for run_id, task in waiting if (run_id, task) not in done]
        wait(under_way, return_when=FIRST_COMPLETED)
