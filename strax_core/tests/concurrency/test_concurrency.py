"""Jobs in order, some ahead of their turn; and a crew that shares the parts of one task."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from places_in_memory import no_thread_left

from strax_core.concurrency.crew import WorkSharing
from strax_core.concurrency.ordered import JOBS_AHEAD_MAX, Job, in_order

PATIENCE_S = 600


def squares(n: int, begun: list[int], share: float = 0.0) -> Iterator[Job[int]]:
    for i in range(n):
        begun.append(i)
        yield Job(lambda i=i: i * i, share)  # type: ignore[misc]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("n", [0, 1, 2, 200])
def test_answers_come_in_the_order_of_the_jobs(n: int, share: float) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(in_order(squares(n, [], share), pool)) == [i * i for i in range(n)]
    assert list(in_order(squares(n, [], share), None)) == [i * i for i in range(n)]


@pytest.mark.parametrize(
    ("share", "at_least", "n_ahead"),
    [(5.0, 1, 1), (5.0, 2, 2), (0.25, 1, 4), (0.0, 1, JOBS_AHEAD_MAX)],
)
def test_no_more_is_under_way_than_fits(share: float, at_least: int, n_ahead: int) -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        answers = in_order(squares(200, begun, share), pool, at_least=at_least)
        next(answers)
        # One more job is known, for which there is no room yet.
        assert len(begun) == max(n_ahead + 1, 2)
        next(answers)
        assert len(begun) == max(n_ahead + 2, 3)
        answers.close()


def test_what_is_done_makes_room_if_it_is_not_held() -> None:
    """The first job takes long; those behind it go on, each as soon as one is done."""
    lock, gate, under_way, most, done = threading.Lock(), threading.Event(), [0], [0], [0]

    def work(i: int) -> int:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        if i == 0:
            assert gate.wait(PATIENCE_S)
        with lock:
            under_way[0] -= 1
            done[0] += 1
            if done[0] == JOBS_AHEAD_MAX - 1:  # all that may wait to be taken
                gate.set()
        return i

    jobs = [Job(partial(work, i), 0.5) for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(in_order(jobs, pool, are_held=False)) == list(range(200))
    assert most == [2]


def test_a_single_job_wakes_no_thread() -> None:
    with ThreadPoolExecutor(2) as pool, no_thread_left():
        (where,) = in_order([Job(threading.get_ident, 0)], pool)
    assert where == threading.get_ident()


def test_whoever_stops_early_leaves_no_job_at_work() -> None:
    gate, done = threading.Event(), []

    def work() -> None:
        assert gate.wait(PATIENCE_S)
        done.append(1)

    jobs: list[Job[object]] = [Job(lambda: 0, 0), *(Job(work, 0) for _ in range(20))]
    with ThreadPoolExecutor(2) as pool:
        answers = in_order(jobs, pool)
        next(answers)
        gate.set()
        answers.close()
        n_done = len(done)
        assert n_done <= 20
    assert len(done) == n_done


def test_an_error_surfaces_in_its_turn() -> None:
    def fail() -> int:
        raise ZeroDivisionError("on fire")

    with ThreadPoolExecutor(2) as pool:
        answers = in_order([Job(lambda: 1, 0), Job(fail, 0), Job(lambda: 3, 0)], pool)
        assert next(answers) == 1
        with pytest.raises(ZeroDivisionError):
            next(answers)


def numbers(n: int) -> list[Callable[[], int]]:
    return [partial(int, i) for i in range(n)]


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_a_full_pool_of_tasks_with_crews_comes_to_its_end(n: int, n_threads: int) -> None:
    with ThreadPoolExecutor(n_threads) as pool:
        crew = WorkSharing(pool, n_threads)
        tasks = [pool.submit(crew, numbers(n)) for _ in range(20)]
        answers = [task.result(PATIENCE_S) for task in tasks]

    assert answers == [list(range(n))] * 20


def test_a_part_of_a_part_comes_to_its_end_too() -> None:
    with ThreadPoolExecutor(1) as pool:
        crew = WorkSharing(pool, 1)
        task = pool.submit(crew, [lambda: crew(numbers(3)), lambda: crew(numbers(4))])

        assert task.result(PATIENCE_S) == [[0, 1, 2], [0, 1, 2, 3]]


def test_idle_threads_help() -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE_S)
    with ThreadPoolExecutor(3) as pool:
        # None goes on before three threads are at work.
        pool.submit(WorkSharing(pool, 2), [meeting.wait] * 3).result(PATIENCE_S)


def test_threads_that_are_busy_are_not_waited_for() -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(gate.wait, PATIENCE_S)
        assert pool.submit(WorkSharing(pool, 1), numbers(5)).result(PATIENCE_S) == list(range(5))
        gate.set()
        assert busy.result(PATIENCE_S)


def test_the_first_error_ends_a_task_and_no_part_is_left_at_work() -> None:
    done: list[int] = []

    def fail() -> int:
        raise ZeroDivisionError("on fire")

    with ThreadPoolExecutor(1) as pool:
        crew = WorkSharing(pool, 1)
        parts = [lambda: done.append(1), fail, lambda: done.append(2)]
        with pytest.raises(ZeroDivisionError):
            pool.submit(crew, parts).result(PATIENCE_S)
    assert done == [1]


def test_a_pool_that_takes_nothing_more_leaves_the_work_to_the_caller() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    assert WorkSharing(pool, 3)(numbers(5)) == list(range(5))
    assert WorkSharing(None, 3)(numbers(5)) == list(range(5))
