"""The contract of saving: in executors, rechunked, broken off, and in the right order."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from strax_core.backend import MemoryBackend, StorageBackend
from strax_core.chunks import Chunk
from strax_core.concurrency import THREAD_NAME
from strax_core.errors import DataNotAvailable, StorageError, StorageFull
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import (
    KEY,
    METADATA,
    SHAPES,
    named_paths,
    new_saver,
    sample_bytes,
    stored_bytes,
)
from strax_core.testing.fault_checks import committing_call, is_chunk_write, watched_save
from strax_core.testing.faults import Fault, FaultyBackend
from strax_core.testing.raw import RawAccess, RawMemory, everything
from strax_core.testing.samples import (
    PEAKS,
    bytes_of_chunks,
    sample_chunks,
    sample_metadata,
    save_sample,
)

DESCRIPTORS = Path("/proc/self/fd")


class SavingChecks(BackendBase):
    """`save_from` with an executor, rechunking, `close`; the order of a save."""

    def test_an_error_in_a_worker_ends_the_save(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        calls = watched_save(backend)
        for call in [i for i, each in enumerate(calls) if is_chunk_write(each)]:
            faulty = FaultyBackend(backend, Fault(call=call, error=StorageFull))
            outcome: StorageError | None = None
            with ThreadPoolExecutor(2) as pool:
                try:
                    new_saver(faulty).save_from(sample_chunks(KEY), executor=pool)
                except StorageError as error:
                    outcome = error

            assert isinstance(outcome, StorageFull), "the save claims success"
            assert METADATA not in everything(raw)
            with pytest.raises(DataNotAvailable):
                backend.get_metadata(KEY.name)

    def test_chunks_are_saved_by_many_threads(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        chunks = sample_chunks(KEY, sizes=tuple(range(20)))
        with ThreadPoolExecutor(8) as pool:
            new_saver(backend).save_from(chunks, executor=pool)
            loaded = list(backend.loader(KEY.name).chunks(executor=pool))

        assert [(c.start, c.end, c.n) for c in loaded] == [(c.start, c.end, c.n) for c in chunks]
        assert bytes_of_chunks(loaded) == bytes_of_chunks(chunks)
        assert everything(raw) == named_paths(raw)

    @pytest.mark.parametrize("sizes", SHAPES)
    @pytest.mark.parametrize("rows_a_chunk", [1, 3, 1000])
    def test_rechunking_keeps_rows_order_and_ends(
        self, backend: StorageBackend, sizes: tuple[int, ...], rows_a_chunk: int
    ) -> None:
        chunks = sample_chunks(KEY, sizes=sizes)
        metadata = sample_metadata(KEY)
        metadata["chunk_target_size_mb"] = rows_a_chunk * PEAKS.itemsize / 1e6
        backend.saver(KEY.name, metadata).save_from(chunks, rechunk=True)
        loaded = list(backend.loader(KEY.name))

        assert bytes_of_chunks(loaded) == bytes_of_chunks(chunks)
        assert (loaded[0].start, loaded[-1].end) == (chunks[0].start, chunks[-1].end)
        assert all(one.end == other.start for one, other in pairwise(loaded))

    def test_the_metadata_come_last(self, backend: StorageBackend) -> None:
        calls = watched_save(backend)
        late = calls[committing_call(calls) + 1 :]

        assert [call for call in late if call.verb in {"write", "rename"}] == []

    def test_a_saver_closes_twice_and_takes_nothing_after(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        saver = new_saver(backend)
        saver.save(sample_chunks(KEY)[0], 0)
        saver.close()
        saver.close()
        for use in (lambda: saver.save(sample_chunks(KEY)[0], 0), saver.commit):
            with pytest.raises(StorageError):
                use()

        assert everything(raw) == set()

    def test_a_reader_that_stops_early_hurts_nobody(self, backend: StorageBackend) -> None:
        save_sample(backend, KEY)

        def read_one() -> None:
            for _ in backend.loader(KEY.name):
                raise ZeroDivisionError("in the middle of a for loop")

        with pytest.raises(ZeroDivisionError):
            read_one()
        assert stored_bytes(backend) == sample_bytes()

    def test_saving_and_loading_leave_no_thread_and_no_open_file(
        self, backend: StorageBackend
    ) -> None:
        def work(mark: int) -> None:
            save_sample(backend, KEY, sample_chunks(KEY, mark=mark), overwrite="always")
            stored_bytes(backend)
            with pytest.raises(ZeroDivisionError), new_saver(backend, overwrite="always"):
                raise ZeroDivisionError

        work(1)  # what is opened once and kept is no leak
        before = _open_things()
        for mark in range(2, 8):
            work(mark)

        assert _open_things() <= before

    def test_a_copy_that_went_there_and_back_is_the_same(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        elsewhere = MemoryBackend()
        save_sample(elsewhere, KEY, sample_chunks(KEY, sizes=(3, 0, 4, 1)))
        original = _stored(RawMemory(elsewhere))
        for source, target in ((elsewhere, backend), (backend, elsewhere)):
            loader = source.loader(KEY.name)
            _copy(loader.metadata, list(loader), target)

        assert _stored(RawMemory(elsewhere)) == original
        assert _stored(raw) == original


def _copy(metadata: object, chunks: list[Chunk], target: StorageBackend) -> None:
    known = dict(metadata)  # type: ignore[call-overload]
    target.saver(KEY.name, known, overwrite="always").save_from(chunks)


def _stored(raw: RawAccess) -> list[bytes]:
    """Return the files of the chunks, in their order; their names differ between savers."""
    document = json.loads(raw.read(METADATA))
    names = [chunk["filename"] for chunk in document["chunks"] if "filename" in chunk]
    return [raw.read(f"{KEY.name}/{name}") for name in names]


def _open_things() -> tuple[int, int]:
    """Count threads and, where the system tells, open files."""
    n_files = len(os.listdir(DESCRIPTORS)) if DESCRIPTORS.is_dir() else 0  # noqa: PTH208 - a count
    # One thread of core ends by itself, a moment after the last save.
    n_threads = sum(thread.name != THREAD_NAME for thread in threading.enumerate())
    return n_threads, n_files
