import logging
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.concurrency.bounded import Budget
from strax_core.concurrency.in_flight import InFlight
from strax_core.errors import DataNotAvailable, StorageFull, StorageUnavailable
from strax_core.format.keys import DataKey, Lineage
from strax_core.medium import Buffer
from strax_core.processing.saver_group import SaverGroup
from strax_core.processing.shared_stream import SharedStream
from strax_core.saver.saver import Saver

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8")])
KEY = DataKey("7", "peaks", Lineage({"peaks": ("Peaks", "1", {})}))
METADATA = {
    "run_id": "7",
    "data_type": "peaks",
    "data_kind": "peaks",
    "dtype": repr(ROW.descr),
    "lineage": KEY.lineage.as_json(),
    "lineage_hash": KEY.lineage_hash,
}
GAP = 10_000


class FailingBackend(MemoryBackend):
    """Fails to write chunks from one of them on."""

    def __init__(self, error: Exception, *, chunk_i: int = 0) -> None:
        super().__init__()
        self.error = error
        self.chunk_i = chunk_i

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        number = path[-6:]
        if number.isdigit() and int(number) >= self.chunk_i:
            raise self.error
        super().write(path, buffers, create_only=create_only)


def source(n_chunks: int = 4) -> Iterator[Chunk]:
    for i in range(n_chunks):
        rows = np.zeros(2, ROW)
        rows["time"] = rows["endtime"] = np.array([GAP * i + 1, GAP * i + 2])
        yield Chunk(GAP * i, GAP * (i + 1), rows, "7", "peaks")


def saver(backend: MemoryBackend, compressor: str = "none") -> Saver:
    return backend.saver(KEY.name, {**METADATA, "compressor": compressor})


def keeper(*savers: Saver, target_bytes: int | None = None, executor: Any = None) -> SaverGroup:
    in_flight = InFlight(Budget(1 << 20))
    return SaverGroup(savers, target_bytes=target_bytes, executor=executor, in_flight=in_flight)


def kept(keeper: SaverGroup, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """As a pipeline does: pass chunks through while they are kept; an end that is none aborts."""
    try:
        for chunk in chunks:
            keeper.receive(chunk)
            yield chunk
        keeper.finish()
    except BaseException as error:
        keeper.abort(error)
        raise


def n_stored(backend: MemoryBackend) -> list[int]:
    return [chunk.n for chunk in backend.loader(KEY.name)]


def names(backend: MemoryBackend) -> set[str]:
    return {entry.name for entry in backend.list("")}


@pytest.mark.parametrize("in_threads", [False, True])
def test_all_places_get_the_same_chunks_each_in_its_own_codec(in_threads: bool) -> None:  # noqa: FBT001
    backends = [MemoryBackend(), ConditionalMemoryBackend(), MemoryBackend()]
    savers = [
        saver(backend, codec)
        for backend, codec in zip(backends, ["none", "zstd", "none"], strict=True)
    ]
    with ThreadPoolExecutor(4) as pool:
        passed = list(kept(keeper(*savers, executor=pool if in_threads else None), source()))

    assert [chunk.start for chunk in passed] == [0, GAP, 2 * GAP, 3 * GAP]
    assert [n_stored(backend) for backend in backends] == [[2, 2, 2, 2]] * 3
    assert {backend.get_metadata(KEY.name).compressor for backend in backends} == {"none", "zstd"}


def test_chunks_are_stored_at_the_target_size_and_passed_on_as_they_came() -> None:
    backend = MemoryBackend()
    passed = list(kept(keeper(saver(backend), target_bytes=4 * ROW.itemsize), source()))

    assert [chunk.n for chunk in passed] == [2, 2, 2, 2]
    assert n_stored(backend) == [4, 4]


@pytest.mark.parametrize("error", [StorageFull("disk full"), OSError("raw")])
@pytest.mark.parametrize("in_threads", [False, True])
def test_a_saver_that_fails_is_aborted_and_reported_and_the_others_go_on(
    error: Exception,
    in_threads: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = FailingBackend(error, chunk_i=1), MemoryBackend()
    failures: list[BaseException] = []
    failing = saver(bad)
    failing.after_failure = failures.append
    with ThreadPoolExecutor(4) as pool, caplog.at_level(logging.WARNING, "strax_core"):
        list(kept(keeper(failing, saver(good), executor=pool if in_threads else None), source()))

    assert n_stored(good) == [2, 2, 2, 2]
    assert names(bad) == {".staging"}
    assert failures == [error]
    assert f"saving goes on without {failing!r}: {error}" in caplog.text


def test_a_failed_saver_lets_go_of_its_place_at_once() -> None:
    bad = FailingBackend(StorageFull("disk full"), chunk_i=1)
    passing = kept(keeper(saver(bad), saver(MemoryBackend())), source())
    for _ in range(3):
        next(passing)
    (staged,) = bad.list(".staging")
    left = [entry.name for entry in bad.list(f".staging/{staged.name}")]
    passing.close()

    assert len(left) == 1
    assert left[0].startswith("failed-")


def test_if_no_saver_is_left_the_first_error_is_raised_at_once() -> None:
    fetched = []

    def counted() -> Iterator[Chunk]:
        for chunk in source(100):
            fetched.append(chunk.start)
            yield chunk

    bad = FailingBackend(StorageFull("disk full"))
    with pytest.raises(StorageFull, match="disk full"):
        list(kept(keeper(saver(bad)), counted()))
    assert len(fetched) == 2


def test_an_unknown_codec_hurts_only_its_own_places() -> None:
    good, strange = MemoryBackend(), MemoryBackend()
    list(kept(keeper(saver(strange, "no_such_codec"), saver(good)), source()))

    assert n_stored(good) == [2, 2, 2, 2]
    assert names(strange) == {".staging"}


def test_who_comes_second_keeps_the_data_of_the_first() -> None:
    backend = MemoryBackend()
    late = kept(keeper(saver(backend)), source())
    next(late)
    list(kept(keeper(saver(backend)), source(2)))
    first = backend.get_metadata(KEY.name).write_id
    list(late)

    assert backend.get_metadata(KEY.name).write_id == first
    assert names(backend) == {KEY.name} | ({".staging"} & names(backend))


def test_one_place_that_cannot_commit_does_not_stop_the_next() -> None:
    class CannotPublish(MemoryBackend):
        def rename(self, source: str, target: str) -> None:  # noqa: ARG002
            raise StorageFull("no inode")

    bad, good = CannotPublish(), MemoryBackend()
    list(kept(keeper(saver(bad), saver(good)), source()))

    assert n_stored(good) == [2, 2, 2, 2]
    with pytest.raises(DataNotAvailable):
        bad.get_metadata(KEY.name)


def test_an_abort_that_fails_does_not_keep_the_others_from_theirs() -> None:
    class Stubborn(MemoryBackend):
        def delete(self, path: str) -> None:  # noqa: ARG002
            raise OSError("busy")

    stubborn, other = Stubborn(), MemoryBackend()
    passing = kept(keeper(saver(stubborn), saver(other)), source())
    next(passing)
    passing.close()

    assert names(other) == set()


def test_tasks_in_flight_stay_within_the_budget_that_others_share() -> None:
    budget = Budget(100, held_bytes=60)
    in_flight = InFlight(budget)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            in_flight.make_room(50)
            in_flight.add(pool.submit(int), 50)

            assert budget.held_bytes == 110
    in_flight.drain()

    assert budget.held_bytes == 60


def test_a_task_that_fails_surfaces_and_leaves_nothing_held() -> None:
    budget = Budget(100)
    in_flight = InFlight(budget)

    def fail() -> None:
        raise StorageUnavailable("down")

    with ThreadPoolExecutor(1) as pool:
        in_flight.add(pool.submit(fail), 50)
        in_flight.add(pool.submit(int), 50)
        with pytest.raises(StorageUnavailable):
            in_flight.drain()
    assert budget.held_bytes == 0


def test_the_rechunkers_rows_count_in_the_budget() -> None:
    budget = Budget(1 << 20)
    in_flight = InFlight(budget)
    savers = [saver(MemoryBackend())]
    rechunking = SaverGroup(savers, target_bytes=1 << 20, executor=None, in_flight=in_flight)
    chunks = kept(rechunking, source())
    next(chunks)
    next(chunks)

    assert budget.held_bytes == 4 * ROW.itemsize
    chunks.close()


def test_a_shared_stream_runs_its_source_once_and_holds_only_what_is_not_taken() -> None:
    class Item:
        pass

    def itself(item: Item) -> Item:
        return item

    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for _ in range(100):
            item = Item()
            alive.append(weakref.ref(item))
            yield item
            del item

    shared = SharedStream(items(), n_readers=2)
    one, other = shared.reader(itself), shared.reader(itself)
    for _ in range(50):
        next(one)
    for _ in range(48):
        next(other)

    assert len(alive) == 50
    assert sum(reference() is not None for reference in alive) <= 4
    assert len(list(one)) == 50
    assert len(list(other)) == 52


def test_an_interrupt_while_a_write_is_waited_for_leaves_no_write_behind() -> None:
    in_flight = InFlight(Budget(10))
    task: Future[None] = Future()
    task.set_running_or_notify_cancel()
    result, ends = task.result, []

    def interrupted(timeout: float | None = None) -> None:
        if not ends:
            raise KeyboardInterrupt
        result(timeout)

    def exception(timeout: float | None = None) -> None:
        del timeout
        ends.append("waited for")

    task.result, task.exception = interrupted, exception  # type: ignore[method-assign, assignment]
    in_flight.add(task, 8)

    with pytest.raises(KeyboardInterrupt):
        in_flight.make_room(8)
    in_flight.cancel()
    assert ends == ["waited for"]
    assert in_flight.budget.held_bytes == 0
