import json
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from strax_core.backend.backend import StorageBackend
from strax_core.backend.clean import clean
from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.errors import (
    AccessDenied,
    ChunkError,
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.format.layout import Staging
from strax_core.saver import journal
from strax_core.saver.journal import Journal
from strax_core.saver.saver import Saver
from strax_core.testing import Fault, FaultyBackend, RawMemory, everything
from strax_core.testing.dataset_checks import new_saver, sample_bytes, stored_bytes
from strax_core.testing.faults import kill
from strax_core.testing.samples import (
    PEAKS,
    bytes_of_chunks,
    sample_chunks,
    sample_key,
    sample_metadata,
    sample_rows,
    save_sample,
)

KEY = sample_key()


@pytest.fixture(params=[MemoryBackend, ConditionalMemoryBackend])
def backend(request: pytest.FixtureRequest) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


class Clock:
    """Stands in for the clocks of the journal."""

    def __init__(self) -> None:
        self.monotonic_s, self.wall_s = 1000.0, 5000.0

    def __call__(self) -> tuple[float, ...]:
        return self.monotonic_s, self.wall_s


def call_off_hearts() -> None:
    """Let no heart of a saver that a test left open begin to beat by other clocks."""
    for start in list(journal._BEATS._due):
        journal._BEATS.cancel(start)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    real = journal._clocks
    call_off_hearts()
    # A heart that still beats from an earlier test keeps its clocks.
    older = {each.ident for each in threading.enumerate()} - {threading.get_ident()}
    monkeypatch.setattr(
        journal, "_clocks", lambda: real() if threading.get_ident() in older else made()
    )
    monkeypatch.setattr(journal, "SEGMENT_INTERVAL_S", 1e6)  # no beat by itself
    yield made
    call_off_hearts()


def test_where_no_clock_counts_a_suspended_machine_two_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = SimpleNamespace(monotonic=lambda: 1000.0, time=lambda: 5000.0)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "time", clocks)
        assert journal._clocks() == (1000.0, 5000.0)


def test_metadata_have_the_fields_that_strax_reads(backend: MemoryBackend) -> None:
    metadata = new_saver(backend).save_from(sample_chunks(KEY))
    chunks = metadata["chunks"]

    assert (metadata["start"], metadata["end"]) == (0, 3000)
    assert metadata["writing_started"] <= metadata["writing_ended"]
    assert metadata["lineage"] == {"peaks": ["Peaks", "0.1.0", {"gain": 2.0}]}
    assert [(c["chunk_i"], c["n"], c["start"], c["end"]) for c in chunks] == [
        (0, 3, 0, 1000),
        (1, 0, 1000, 2000),
        (2, 2, 2000, 3000),
    ]
    assert [c["nbytes"] for c in chunks] == [60, 0, 40]
    assert (chunks[0]["first_time"], chunks[0]["last_endtime"]) == (0, 25)
    assert "filename" not in chunks[1]
    assert all(c["run_id"] == "run_1" and c["subruns"] is None for c in chunks)


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(0, 10, sample_rows(1), "run_2", "peaks"),
        Chunk(0, 10, sample_rows(1), "run_1", "records"),
        Chunk(0, 10, sample_rows(1, dtype=np.dtype([*PEAKS.descr, ("n", "i1")])), "run_1", "peaks"),
    ],
)
def test_a_chunk_of_something_else_is_refused(backend: MemoryBackend, chunk: Chunk) -> None:
    saver = new_saver(backend)
    with pytest.raises(ChunkError):
        saver.save(chunk, 0)
    saver.close()

    assert everything(RawMemory(backend)) == set()


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        ((), ChunkError),
        ((1, 2), DataCorrupted),
        ((0, 2), DataCorrupted),
    ],
)
def test_missing_receipts_are_found_before_the_commit(
    backend: MemoryBackend, numbers: tuple[int, ...], error: type[StorageError]
) -> None:
    chunks = sample_chunks(KEY)
    saver = new_saver(backend)
    receipts = [saver.save(chunk, i) for i, chunk in enumerate(chunks)]
    with pytest.raises(error), saver:
        saver.commit([receipts[i] for i in numbers])

    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)


def test_a_chunk_saved_twice_must_have_the_same_rows(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    saver.save(sample_chunks(KEY, mark=1)[0], 0)
    saver.save(sample_chunks(KEY, mark=2)[0], 0)
    with pytest.raises(DataCorrupted, match="twice"), saver:
        pass

    assert {p for p in everything(RawMemory(backend)) if "/failed-" not in p} == set()


def test_a_hole_between_chunks_is_found_before_the_commit(backend: MemoryBackend) -> None:
    chunks = sample_chunks(KEY)
    with pytest.raises(ChunkError, match="chunk 1"), new_saver(backend) as saver:  # noqa: PT012 - `with` commits
        saver.save(chunks[0], 0)
        saver.save(chunks[2], 1)

    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)


def test_a_receipt_that_claims_other_sizes_is_found_before_the_commit(
    backend: MemoryBackend,
) -> None:
    saver = new_saver(backend)
    receipts = [saver.save(chunk, i) for i, chunk in enumerate(sample_chunks(KEY))]
    receipts[0] = replace(receipts[0], filesize=1)
    with pytest.raises(DataCorrupted, match="chunk 0"), saver:
        saver.commit(receipts)


def test_what_no_receipt_names_is_removed_at_the_commit(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    receipts = [saver.save(chunk, i) for i, chunk in enumerate(sample_chunks(KEY))]
    saver.save(Chunk(3000, 4000, sample_rows(1, start=3000), "run_1", "peaks"), 3)
    metadata = saver.commit(receipts)
    names = {chunk["filename"] for chunk in metadata["chunks"] if "filename" in chunk}

    assert len(names) == 2
    assert len(everything(RawMemory(backend))) == 3


def test_a_closed_saver_takes_nothing_more(backend: MemoryBackend) -> None:
    chunks = sample_chunks(KEY)
    saver = new_saver(backend)
    saver.save_from(chunks)
    for _ in range(2):
        saver.close()
        saver.abort(ValueError("too late"))

    with pytest.raises(StorageError, match="closed"):
        saver.save(chunks[0], 0)
    with pytest.raises(StorageError, match="closed"):
        saver.commit()
    assert stored_bytes(backend) == sample_bytes()
    assert not [path for path in everything(RawMemory(backend)) if path.startswith(".staging")]


def test_no_thread_stays_behind(backend: MemoryBackend) -> None:
    savers = [new_saver(backend) for _ in range(2)]
    savers[0].save_from(sample_chunks(KEY))
    savers[1].abort()
    threads = {thread.name for thread in threading.enumerate()}

    assert not any(saver.write_id in name for saver in savers for name in threads)


def test_chunks_are_saved_in_the_threads_of_an_executor(backend: MemoryBackend) -> None:
    with ThreadPoolExecutor(4) as pool:
        new_saver(backend).save_from(sample_chunks(KEY, sizes=(2,) * 20), executor=pool)

    assert stored_bytes(backend) == bytes_of_chunks(sample_chunks(KEY, sizes=(2,) * 20))


def test_the_exception_of_a_worker_surfaces_and_nothing_is_committed(
    backend: MemoryBackend,
) -> None:
    faulty = FaultyBackend(backend, Fault(call=10, error=StorageUnavailable))
    with ThreadPoolExecutor(4) as pool, pytest.raises(StorageUnavailable, match="injected"):
        new_saver(faulty).save_from(sample_chunks(KEY, sizes=(2,) * 20), executor=pool)

    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)


def test_the_exception_of_the_source_surfaces_and_nothing_is_committed(
    backend: MemoryBackend,
) -> None:
    def source() -> Iterator[Chunk]:
        yield sample_chunks(KEY)[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        new_saver(backend).save_from(source())

    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)


def test_small_chunks_are_joined_if_that_is_asked(backend: MemoryBackend) -> None:
    chunks = sample_chunks(KEY, sizes=(2,) * 20)
    metadata = new_saver(backend).save_from(chunks, rechunk=True)

    assert len(metadata["chunks"]) == 1
    assert stored_bytes(backend) == bytes_of_chunks(chunks)


def test_whoever_asked_learns_of_success_and_failure(backend: MemoryBackend) -> None:
    heard: list[Any] = []
    for chunks in ([], sample_chunks(KEY)):
        saver = new_saver(backend)
        saver.after_commit = lambda metadata: heard.append(metadata["end"])
        saver.after_failure = lambda error: heard.append(type(error))
        try:
            saver.save_from(chunks)
        except ChunkError:
            continue

    assert heard == [ChunkError, 3000]


@pytest.mark.parametrize("which", ["monotonic_s", "wall_s"])
@pytest.mark.parametrize("act", ["save", "commit"])
def test_a_writer_silent_for_half_its_grace_time_is_fenced_for_good(
    backend: MemoryBackend, clock: Clock, which: str, act: str
) -> None:
    saver = new_saver(backend, grace_time_s=100)
    chunks = sample_chunks(KEY)
    actions: dict[str, Callable[[], object]] = {
        "save": lambda: saver.save(chunks[1], 1),
        "commit": saver.commit,
    }
    setattr(clock, which, getattr(clock, which) + 49)
    saver.save(chunks[0], 0)
    setattr(clock, which, getattr(clock, which) + 2)

    with pytest.raises(StorageUnavailable, match="silent"):
        actions[act]()
    saver.abort()
    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)


def test_a_writer_is_fenced_between_the_tries_of_a_commit_too(
    backend: MemoryBackend, clock: Clock
) -> None:
    slow = FaultyBackend(backend, settle_time_s=0.01)
    saver = new_saver(slow, grace_time_s=100)
    saver.save(sample_chunks(KEY)[0], 0)
    tries: list[str] = []

    def no_answer(*arguments: Any, **_: Any) -> None:
        tries.append(str(arguments[0]))
        clock.monotonic_s += 51
        raise StorageUnavailable("no answer")

    slow.rename = no_answer  # type: ignore[method-assign]
    if isinstance(backend, ConditionalMemoryBackend):
        slow.write = no_answer  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable, match="unknown"):
        saver.commit()

    assert len(tries) == 1
    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)


def noted_chunks(backend: MemoryBackend, n_segments: int) -> list[dict[str, Any]]:
    """Wait for this many segments of the journal, and return what they list."""
    raw = RawMemory(backend)
    segments: list[str] = []
    for _ in range(120_000):
        segments = sorted(path for path in everything(raw) if "/journal-" in path)
        if len(segments) >= n_segments:
            break
        threading.Event().wait(0.005)

    assert len(segments) == n_segments
    return [chunk for path in segments for chunk in json.loads(raw.read(path))["chunks"]]


def test_the_heart_beats_by_itself(
    backend: MemoryBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strax_core.saver.journal.SEGMENT_INTERVAL_S", 0.01)
    saver = new_saver(backend, grace_time_s=100)
    for n_beats in (1, 2, 3):
        clock.monotonic_s += 30
        assert noted_chunks(backend, n_beats) == []
    saver.save_from(sample_chunks(KEY))

    assert stored_bytes(backend) == sample_bytes()


def test_receipts_are_soon_in_the_journal(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strax_core.saver.journal.SEGMENT_INTERVAL_S", 0.01)
    saver = new_saver(backend)
    saver.save(sample_chunks(KEY)[0], 0)
    noted = noted_chunks(backend, 1)
    saver.abort()

    assert [(chunk["chunk_i"], chunk["n"]) for chunk in noted] == [(0, 3)]


def test_a_copy_whose_parent_has_ended_may_not_go_on() -> None:
    backend = MemoryBackend()
    staging = Staging(KEY.name, "0123456789abcdef")
    owner = Journal(backend, staging, grace_time_s=100)
    owner.open({})
    state = owner.__getstate__()
    copies = [Journal.__new__(Journal) for _ in range(2)]
    for copy in copies:
        copy.__setstate__(state)
    copies[0].check_alive()
    owner.close()
    backend.delete(staging.folder)

    with pytest.raises(StorageUnavailable, match="ended"):
        copies[1].check_alive()


def test_a_saver_whose_place_stays_in_this_process_does_not_pickle() -> None:
    with pytest.raises(ConfigError, match="memory"):
        pickle.dumps(new_saver(MemoryBackend()))


def test_a_failed_ticket_means_no_saver(backend: MemoryBackend) -> None:
    with pytest.raises(StorageUnavailable):
        new_saver(FaultyBackend(backend, Fault(call=0)))

    assert everything(RawMemory(backend)) == set()


def test_an_unknown_way_to_overwrite_is_refused(backend: MemoryBackend) -> None:
    with pytest.raises(ConfigError, match="if_broken"):
        new_saver(backend, overwrite="yes")


def test_a_saver_of_ones_own_needs_three_methods() -> None:
    class Kept(Saver):
        files: dict[str, bytes] = {}  # noqa: RUF012 - one test long
        published: Any = None

        def _write(self, name: str, buffers: Any) -> None:
            self.files[name] = b"".join(buffers)

        def _publish(self, metadata: Any) -> None:
            type(self).published = metadata

        def _discard(self) -> None:
            self.files.clear()

    class Backend(MemoryBackend):
        saver_class = Kept

    assert issubclass(Backend, StorageBackend)
    Backend().saver(KEY.name, sample_metadata(KEY)).save_from(sample_chunks(KEY))

    assert len(Kept.files) == 2
    assert Kept.published["end"] == 3000
    with pytest.raises(ReadOnlyError):
        StorageBackend.saver(_Named(), KEY.name, sample_metadata(KEY))


class _Named(StorageBackend):
    @property
    def place(self) -> str:
        return "nowhere"


@pytest.mark.parametrize("error", [AccessDenied, ConfigError, StorageFull])
@pytest.mark.parametrize("occupied", [False, True])
def test_a_commit_that_landed_is_never_discarded_because_it_cannot_be_read(
    backend: MemoryBackend, error: type[StorageError], *, occupied: bool
) -> None:
    raw = RawMemory(backend)
    if occupied:
        raw.write(f"{KEY.name}/{KEY.name.partition('-')[2]}-metadata.json", b"unreadable")
    faulty = FaultyBackend(backend, settle_time_s=0.01)
    landed: list[str] = []

    def committing(verb: Callable[..., None], path: str, *arguments: Any, **options: Any) -> None:
        verb(path, *arguments, **options)
        names_all = path.endswith("-metadata.json") and path.startswith(KEY.name)
        if names_all or (arguments[0] == KEY.name):
            landed.append(path)
            raise StorageUnavailable("the answer was lost")

    def denied(path: str) -> bytes:
        if landed:
            raise error("the credentials have expired")
        return backend.read(path)

    faulty.read = denied  # type: ignore[method-assign]
    faulty.write = lambda *a, **o: committing(backend.write, *a, **o)  # type: ignore[method-assign]
    faulty.rename = lambda *a: committing(backend.rename, *a)  # type: ignore[method-assign]
    saver = new_saver(faulty)
    for chunk_i, chunk in enumerate(sample_chunks(KEY)):
        saver.save(chunk, chunk_i)
    with suppress(StorageUnavailable), saver:
        pass

    assert landed
    assert stored_bytes(backend) == sample_bytes()


def test_a_chunk_is_counted_from_zero_in_whole_numbers(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    with pytest.raises(ChunkError, match="counted from 0"):
        saver.save(sample_chunks(KEY)[0], -1)
    assert type(saver.save(sample_chunks(KEY)[0], np.int64(0)).chunk_i) is int
    saver.commit()


def test_data_of_another_key_under_this_name_are_neither_replaced_nor_called_ours(
    backend: MemoryBackend,
) -> None:
    raw = RawMemory(backend)
    other = sample_key("run_2")
    save_sample(backend, other)
    for path in [path for path in everything(raw) if path.startswith(other.name)]:
        raw.write(path.replace(other.name, KEY.name), raw.read(path))
    before = {path: raw.read(path) for path in everything(raw)}
    for overwrite in ("never", "if_broken", "always"):
        with pytest.raises(DataCorrupted, match="run_2"):
            save_sample(backend, KEY, overwrite=overwrite)

    after = {path: raw.read(path) for path in everything(raw) if "/failed-" not in path}
    assert after == before


def test_a_frozen_writer_that_wakes_while_it_is_cleaned_commits_nothing() -> None:
    backend = MemoryBackend()
    saver = new_saver(backend)
    saver.save(sample_chunks(KEY)[0], 0)
    kill(saver)
    woken: list[str] = []
    delete_files = backend.delete_files

    def waking(paths: Sequence[str]) -> None:
        if any("/dead-" in path for path in paths):
            with pytest.raises(ObjectMissing):
                backend.rename(saver.staging.data, KEY.name)
            woken.extend(paths)
        delete_files(paths)

    backend.delete_files = waking  # type: ignore[method-assign]
    clean(backend, grace_s=0, dry_run=False)

    assert woken
    assert everything(RawMemory(backend)) == set()


def test_an_abort_waits_for_a_write_in_another_thread(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    writes, may_write = threading.Event(), threading.Event()
    order: list[str] = []
    write, discard = saver._write, saver._discard

    def late(name: str, buffers: Any) -> None:
        writes.set()
        assert may_write.wait(600)
        write(name, buffers)
        order.append("written")

    def tidied() -> None:
        order.append("discarded")
        discard()

    saver._write, saver._discard = late, tidied  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        saving = pool.submit(saver.save, sample_chunks(KEY)[0], 0)
        assert writes.wait(600)
        aborting = pool.submit(saver.abort)
        while not saver._is_closed:
            pass
        may_write.set()
        aborting.result()
        saving.result()

    assert order == ["written", "discarded"]
    assert everything(RawMemory(backend)) == set()
