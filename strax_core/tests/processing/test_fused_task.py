import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from places_in_memory import threads as threads_now

import strax_core
from strax_core import Chunk, Context, MemoryBackend, Option, Plugin, StorageError
from strax_core.concurrency.bounded import Budget, Queue
from strax_core.data_plugins.registered import DataPlugins
from strax_core.errors import StorageUnavailable
from strax_core.format.layout import Staging
from strax_core.processing.fused_task import (
    LINES_KEPT,
    Failed,
    FusedStage,
    PackedStage,
    Task,
    do_chunk,
)
from strax_core.processing.fusion import _fits
from strax_core.saver.journal import Journal

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<f8")])
N_CHUNKS, N_ROWS = 12, 100


class Raw(Plugin):
    provides = "raw"
    dtype = ROW
    parallel: bool | str = "process"
    rechunk_on_save = False
    n_chunks = Option(default=N_CHUNKS)

    def is_ready(self, chunk_i: int) -> bool:
        return bool(chunk_i < self.n_chunks)

    def source_finished(self) -> bool:
        return True

    def compute(self, chunk_i: int) -> Chunk:
        rows = np.zeros(N_ROWS, ROW)
        rows["time"] = rows["endtime"] = chunk_i * N_ROWS + np.arange(N_ROWS)
        return self.chunk(start=chunk_i * N_ROWS, end=(chunk_i + 1) * N_ROWS, data=rows)


class Counted(Raw):
    provides = "raw"
    set_ups: "list[str]" = []  # noqa: RUF012

    def setup(self) -> None:
        self.set_ups.append(self.run_id)


class Elsewhere(Executor):
    """Pickles what goes in and out, and works when it is asked for the answer."""

    def __init__(self) -> None:
        self.tasks: list[bytes] = []
        self.n_waiting = self.n_waiting_max = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        task, future = pickle.dumps((fn, args, kwargs)), Future[Any]()
        self.tasks.append(task)
        self.n_waiting += 1
        self.n_waiting_max = max(self.n_waiting_max, self.n_waiting)

        def result(timeout: float | None = None) -> Any:
            self.n_waiting -= 1
            function, arguments, options = pickle.loads(task)  # noqa: S301 - our own
            future.set_result(pickle.loads(pickle.dumps(function(*arguments, **options))))  # noqa: S301
            return Future.result(future, timeout)

        future.result = result  # type: ignore[method-assign]
        return future


def test_no_more_rows_travel_at_once_than_the_buffer_holds() -> None:
    nbytes = N_ROWS * ROW.itemsize
    at_once = []
    for n_chunks in (1, 2.5, 100):
        executor = Elsewhere()
        ctx = Context([], plugins=[Raw], buffer_bytes=int(n_chunks * nbytes * 4 / 3))
        with pytest.warns(UserWarning, match="not kept"):
            rows = ctx.get_array("1", "raw", executor=executor)
        assert len(rows) == N_CHUNKS * N_ROWS
        at_once.append(executor.n_waiting_max - 1)  # the first begins the processes

    assert at_once == [1, 2, 8]  # twice the four workers that are assumed


def packed(data_plugin: type[Plugin], run_id: str = "1") -> PackedStage:
    instances = DataPlugins([data_plugin], {}).instances(("raw",), run_id=run_id, defaults={})
    return FusedStage(instances=list(instances.values())).packed()


def test_a_worker_unpacks_a_line_once_and_keeps_as_many_as_runs_are_worked_on() -> None:
    Counted.set_ups.clear()
    lines = [packed(Counted, str(i)) for i in range(LINES_KEPT + 1)]

    def work(which: int, chunk_i: int) -> None:
        assert not isinstance(do_chunk(Task(lines[which], chunk_i, {}, frozenset())), Failed)

    with ThreadPoolExecutor(1) as worker:
        for chunk_i in range(3):
            for which in range(LINES_KEPT):
                worker.submit(work, which, chunk_i).result()
        worker.submit(work, 0, 3).result()
        worker.submit(work, LINES_KEPT, 0).result()  # puts out the one not used for longest: 1
        worker.submit(work, 0, 4).result()
        worker.submit(work, 1, 4).result()

    assert Counted.set_ups == [*map(str, range(LINES_KEPT)), str(LINES_KEPT), "1"]


def test_a_task_is_as_large_for_many_chunks_as_for_few() -> None:
    sizes = {}
    for n_chunks in (3, 300):
        ctx, executor = disk_context(n_chunks), Elsewhere()
        ctx.make("1", "raw")
        ctx.get_array("1", "later", executor=executor)
        sizes[n_chunks] = max(map(len, executor.tasks))
        assert len(executor.tasks) == n_chunks + 1

    assert sizes[300] < sizes[3] + 100


class Later(Plugin):
    provides = "later"
    depends_on = "raw"
    dtype = ROW
    parallel = "process"
    save_when = strax_core.SaveWhen.EXPLICIT

    def compute(self, raw: Any) -> Any:
        return raw


class PicklingBackend(MemoryBackend):
    """In one process, a pickled copy is the same memory."""

    def __reduce__(self) -> Any:
        IN_THIS_PROCESS[id(self)] = self
        return in_this_process, (id(self),)


IN_THIS_PROCESS: dict[int, PicklingBackend] = {}


def in_this_process(number: int) -> PicklingBackend:
    return IN_THIS_PROCESS[number]


def disk_context(n_chunks: int) -> Context:
    place = strax_core.DirectoryFrontend(PicklingBackend())
    return Context([place], plugins=[Raw, Later], config={"n_chunks": n_chunks})


# The queue


def queue(n_max: int = 3, limit_bytes: int = 100, **options: Any) -> Queue[int]:
    return Queue[int](
        n_max=n_max, budget=Budget(limit_bytes), nbytes_of=lambda answer: answer, **options
    )


def test_the_first_answer_tells_how_many_tasks_fit() -> None:
    tasks = queue(n_max=9)
    futures = [Future[int]() for _ in range(4)]
    assert not tasks.is_next_due
    tasks.add(futures[0])
    assert tasks.is_next_due
    futures[0].set_result(40)
    assert tasks.take() == 40
    tasks.add(futures[1])
    assert not tasks.is_next_due
    tasks.add(futures[2])
    assert tasks.is_next_due  # a third one would make it 120 bytes
    futures[1].set_result(10)
    assert tasks.take() == 10
    assert not tasks.is_next_due
    tasks.add(futures[3], 25)
    assert tasks.is_next_due


def test_a_done_task_is_taken_before_the_next_is_given() -> None:
    tasks = queue(nbytes_first=0)
    done, waiting = Future[int](), Future[int]()
    tasks.add(waiting)
    tasks.add(done)
    done.set_result(1)
    assert not tasks.is_next_due  # in order
    waiting.set_result(0)
    assert tasks.is_next_due
    assert [tasks.take(), tasks.take()] == [0, 1]


def test_the_end_gives_back_what_was_held() -> None:
    budget = Budget(100)
    tasks = Queue[int](n_max=3, budget=budget, nbytes_of=int, nbytes_first=0)
    tasks.add(Future(), 30)
    tasks.add(Future(), 20)
    assert budget.held_bytes == 50
    tasks.end()
    tasks.end()

    assert (budget.held_bytes, len(tasks)) == (0, 0)


def test_a_task_whose_answer_was_being_waited_for_is_still_to_be_ended() -> None:
    tasks, interrupted = queue(), Future[int]()

    def result(timeout: float | None = None) -> int:
        raise KeyboardInterrupt(timeout)

    interrupted.result = result  # type: ignore[method-assign]
    tasks.add(interrupted)
    with pytest.raises(KeyboardInterrupt):
        tasks.take()

    assert len(tasks) == 1


# A copy of a writer


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> tuple[float, ...]:
        return (self.now_s,)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("strax_core.saver.journal._clocks", clock)
    return clock


@pytest.fixture
def copy_of_journal(clock: Clock) -> Iterator[tuple[Journal, Journal]]:
    del clock
    owner = Journal(MemoryBackend(), Staging("7-raw-abc", "0123456789abcdef"), grace_time_s=1e6)
    owner.open({})
    copy = Journal.__new__(Journal)
    copy.__setstate__(owner.__getstate__())
    yield owner, copy
    owner.close()


def test_a_copy_that_waits_long_for_its_next_task_resumes_while_the_owner_is_there(
    copy_of_journal: tuple[Journal, Journal], clock: Clock
) -> None:
    _, copy = copy_of_journal
    for _ in range(3):
        copy.resume()
        copy.check_alive()
        clock.now_s += 6e5


def test_a_copy_that_does_not_resume_is_fenced_for_good(
    copy_of_journal: tuple[Journal, Journal], clock: Clock
) -> None:
    _, copy = copy_of_journal
    copy.check_alive()
    clock.now_s += 4e5
    copy.check_alive()
    clock.now_s += 2e5

    with pytest.raises(StorageUnavailable, match="silent"):
        copy.check_alive()


def test_a_copy_does_not_resume_a_writing_that_has_ended(
    copy_of_journal: tuple[Journal, Journal], clock: Clock
) -> None:
    owner, copy = copy_of_journal
    copy.resume()
    owner._medium.delete(owner._staging.folder)
    copy.resume()  # asked a moment ago
    clock.now_s += 3e5

    with pytest.raises(StorageUnavailable, match="has ended"):
        copy.resume()


# Threads, for a data plugin that says `parallel = True`


class Met(Plugin):
    """Its steps wait for one another: two at once, or never."""

    provides = "met"
    depends_on = "raw"
    dtype = ROW
    parallel: bool | str = True
    fails_at = Option(default=-1, track=False)
    meeting = threading.Barrier(2, timeout=600)

    def compute(self, raw: Any, chunk_i: int) -> Any:
        self.meeting.wait()
        if chunk_i == self.fails_at:
            raise ZeroDivisionError("half-way")
        rows = raw.copy()
        rows["x"] = chunk_i
        return rows


class Source(Raw):
    """Gives no chunk before the next one is asked for as well."""

    provides = "raw"
    parallel = True
    meeting = threading.Barrier(2, timeout=600)

    def compute(self, chunk_i: int) -> Chunk:
        if chunk_i:
            self.meeting.wait()
        return super().compute(chunk_i)


class Plain(Raw):
    provides = "raw"
    parallel = False


def in_threads(*data_plugins: type[Plugin], **config: Any) -> Context:
    return Context(["memory://"], plugins=data_plugins, config=config)


def test_steps_are_computed_at_once_and_their_order_is_kept() -> None:
    # The first goes alone, to learn how large they are; so an odd number makes pairs.
    Met.meeting = threading.Barrier(1)
    first = in_threads(Plain, Met, n_chunks=1).get_array("1", "met")
    assert len(first) == N_ROWS

    class Pairs(Met):
        provides = "met"

        def compute(self, raw: Any, chunk_i: int) -> Any:
            if chunk_i:
                meeting.wait()
            rows = raw.copy()
            rows["x"] = chunk_i
            return rows

    meeting = threading.Barrier(2, timeout=600)
    rows = in_threads(Plain, Pairs, n_chunks=13).get_array("1", "met", max_workers=2)

    assert rows["x"].tolist() == [i for i in range(13) for _ in range(N_ROWS)]
    assert rows["time"].tolist() == list(range(13 * N_ROWS))


def test_a_source_is_asked_for_several_chunks_at_once() -> None:
    rows = in_threads(Source, n_chunks=13).get_array("1", "raw", max_workers=2)

    assert rows["time"].tolist() == list(range(13 * N_ROWS))


@pytest.mark.parametrize("parallel", [False, "process"])
def test_others_are_computed_one_by_one_in_the_thread_that_asks(parallel: bool | str) -> None:  # noqa: FBT001
    threads: list[int] = []

    class Single(Plugin):
        provides = "single"
        depends_on = "raw"
        dtype = ROW

        def compute(self, raw: Any) -> Any:
            threads.append(threading.get_ident())
            return raw

    Single.parallel = parallel
    in_threads(Plain, Single).make("1", "single")

    assert threads == [threading.get_ident()] * N_CHUNKS


def test_an_error_in_a_thread_surfaces_and_nothing_is_kept() -> None:
    Met.meeting = threading.Barrier(1)
    ctx = in_threads(Plain, Met, fails_at=7)

    with pytest.raises(ZeroDivisionError, match="half-way") as caught:
        ctx.make("1", "met")
    assert "data plugin Met" in caught.value.__notes__[0]
    assert not ctx.is_stored("1", "met")


def test_what_is_left_half_way_ends_its_threads() -> None:
    Met.meeting = threading.Barrier(1)
    before = threads_now()
    chunks = in_threads(Plain, Met).get_iter("1", "met")
    next(chunks)
    chunks.close()

    assert threads_now() == before


def test_an_error_from_elsewhere_keeps_how_it_came_about() -> None:
    failed = do_chunk(Task(PackedStage("t", b"no pickle"), 0, {}, frozenset()))

    assert isinstance(failed, Failed)
    error = failed.as_error()
    assert isinstance(error, strax_core.ConfigError)
    assert isinstance(error.__cause__, StorageError)
    assert "UnpicklingError" in str(error.__cause__)


def test_inputs_with_rows_on_their_borders_do_not_go_elsewhere_together() -> None:
    class OnTheBorder(Plugin):
        provides = "on_the_border"
        dtype = ROW
        rechunk_on_save = False

        def chunks(self) -> Iterator[Chunk]:
            rows = np.zeros(1, ROW)
            rows["time"] = rows["endtime"] = 10
            yield self.chunk(start=0, end=10, data=rows)  # one process gives it to the next step

    ctx = Context(storage=["memory://on_the_border"], plugins=[OnTheBorder])
    ctx.make("7", "on_the_border")
    metadata = ctx.get_metadata("7", "on_the_border")

    assert _fits(FusedStage(), [metadata])
    assert not _fits(FusedStage(), [metadata, metadata])
