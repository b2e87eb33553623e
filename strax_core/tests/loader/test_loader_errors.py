"""What a loader asks for, holds back and tells; each was found by changing the code."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.codecs import codec_named
from strax_core.codecs.encoded_chunk import encode_chunk
from strax_core.errors import ConfigError, DataCorrupted, DataNotAvailable, ObjectMissing
from strax_core.loader.segments import ReadOptions
from strax_core.selection.scan import WHOLE_ROWS
from strax_core.testing import RawMemory
from strax_core.testing.damage_checks import change_metadata, chunk_path
from strax_core.testing.dataset_checks import METADATA, sample_bytes, stored_bytes
from strax_core.testing.samples import (
    PEAKS,
    bytes_of_chunks,
    sample_chunks,
    sample_key,
    save_sample,
)

KEY = sample_key()


@pytest.fixture(params=[MemoryBackend, ConditionalMemoryBackend])
def backend(request: pytest.FixtureRequest) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


class AtOnce(Executor):
    """Does all it is given at once, and counts."""

    submitted = 0

    def submit(self, action: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        self.submitted += 1
        task: Future[Any] = Future()
        task.set_result(action(*arguments, **options))
        return task


@pytest.mark.parametrize(
    ("read_ahead_bytes", "submitted"), [(80, [3, 3, 4, 5, 6, 6]), (79, [2, 3, 3, 4, 6, 6])]
)
def test_no_more_is_read_ahead_than_was_allowed(
    backend: MemoryBackend, read_ahead_bytes: int, submitted: list[int]
) -> None:
    chunks = sample_chunks(KEY, sizes=(2, 1, 1, 3, 1, 1))  # of 20 bytes a row
    save_sample(backend, KEY, chunks)
    pool = AtOnce()
    loaded, seen = [], []
    for chunk in backend.loader(KEY.name).chunks(executor=pool, read_ahead_bytes=read_ahead_bytes):
        loaded.append(chunk)
        seen.append(pool.submitted)

    assert PEAKS.itemsize == 20
    assert seen == submitted
    assert bytes_of_chunks(loaded) == bytes_of_chunks(chunks)


def test_small_chunks_are_read_ahead_if_nothing_is_said(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    pool = AtOnce()
    next(backend.loader(KEY.name).chunks(executor=pool))

    assert pool.submitted == 3


@pytest.mark.parametrize("read_ahead_bytes", [80, 10**9])
def test_a_chunk_that_is_read_does_not_wait_for_the_next(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, read_ahead_bytes: int
) -> None:
    save_sample(backend, KEY, sample_chunks(KEY, sizes=(2, 2, 2)))
    may_read = threading.Event()
    last = chunk_path(RawMemory(backend), 1)
    honest = backend.read

    def late(path: str) -> bytes:
        if path == last:
            assert may_read.wait(600)
        return honest(path)

    loader = backend.loader(KEY.name)
    monkeypatch.setattr(backend, "read", late)
    with ThreadPoolExecutor(3) as pool:
        chunks = loader.chunks(executor=pool, read_ahead_bytes=read_ahead_bytes)
        first = next(chunks)
        may_read.set()
        assert [first.start, *(chunk.start for chunk in chunks)] == [0, 1000, 2000]


def test_some_chunks_are_read_in_the_order_asked_for(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    loader = backend.loader(KEY.name)
    infos = [loader.metadata.chunks[i] for i in (2, 0)]

    assert [chunk.start for chunk in loader.chunks(infos)] == [2000, 0]
    assert [chunk.start for chunk in loader.chunks(infos, executor=AtOnce())] == [2000, 0]
    assert list(loader.chunks([])) == []
    assert [chunk.start for chunk in loader] == [0, 1000, 2000]


def test_only_threads_can_fill_an_array(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    with pytest.raises(ConfigError, match="AtOnce cannot fill an array"):
        backend.loader(KEY.name).read_all(executor=AtOnce())


@pytest.mark.parametrize("n_threads", [None, 2])
def test_who_watches_sees_each_chunk_once_and_in_order(
    backend: MemoryBackend, n_threads: int | None
) -> None:
    save_sample(backend, KEY)
    seen: list[int] = []

    def watch(infos: Any) -> Any:
        for info in infos:
            seen.append(info.chunk_i)
            yield info

    loader = backend.loader(KEY.name)
    with ThreadPoolExecutor(n_threads) as pool:
        means = ReadOptions(executor=pool if n_threads else None)
        rows = loader.read(loader.metadata.chunks, WHOLE_ROWS, means, watch=watch)

    assert seen == [0, 1, 2]
    assert np.asarray(rows).tobytes() == sample_bytes()


def test_a_loader_without_its_chunks_still_reads_one(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    loader = backend.loader(KEY.name)
    small = loader.without_chunks()

    assert small.metadata["chunks"] == []
    assert small.metadata.place == loader.metadata.place
    assert len(loader.metadata["chunks"]) == 3
    assert bytes_of_chunks([small.read_chunk(info) for info in loader.metadata.chunks]) == (
        sample_bytes()
    )


def test_a_codec_that_is_not_here_is_named_with_the_place(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    change_metadata(RawMemory(backend), lambda document: document.update(compressor="zstdd"))
    with pytest.raises(ConfigError, match=rf"{KEY.name} is stored with the codec 'zstdd'") as got:
        backend.loader(KEY.name).read_all()

    assert isinstance(got.value.__cause__, ConfigError)


def test_damage_names_the_chunk_and_has_its_cause(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    save_sample(backend, KEY)
    loader = backend.loader(KEY.name)
    path = chunk_path(raw, 2)
    raw.write(path, b"damaged")
    with pytest.raises(DataCorrupted, match=r"run run_1, peaks, chunk 2: .*bytes.*again") as of:
        loader.read_all()
    raw.delete(path)
    with pytest.raises(DataCorrupted, match=r"chunk 2: its file .* is missing.*again=True") as gone:
        loader.read_all()
    raw.write(METADATA, b"damaged too")
    with pytest.raises(DataCorrupted, match=r"chunk 2: its file .* is missing"):
        loader.read_all()
    raw.delete(METADATA)
    with pytest.raises(DataNotAvailable, match="removed") as removed:
        loader.read_all()

    assert isinstance(of.value.__cause__, DataCorrupted)
    assert isinstance(gone.value.__cause__, ObjectMissing)
    assert isinstance(removed.value.__cause__, ObjectMissing)


def test_rows_that_break_a_law_are_damage(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    loader = backend.loader(KEY.name)

    def early(document: dict[str, Any]) -> None:
        document["chunks"][0]["end"] = document["chunks"][1]["start"] = 15
        del document["chunks"][0]["max_endtime"]  # which would tell before anything is read

    change_metadata(RawMemory(backend), early)
    with pytest.raises(DataCorrupted, match="chunk 0") as caught:
        backend.loader(KEY.name).read_chunk(backend.get_metadata(KEY.name).chunks[0])

    assert caught.value.__cause__ is not None
    assert loader.read_all().tobytes() == sample_bytes()


def test_an_entry_that_says_no_size_is_read(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)

    def forget(document: dict[str, Any]) -> None:
        for chunk in document["chunks"]:
            chunk.pop("filesize", None)

    change_metadata(RawMemory(backend), forget)

    assert stored_bytes(backend) == sample_bytes()


def test_the_entry_of_a_chunk_says_what_is_in_it() -> None:
    rows = np.zeros(3, PEAKS)
    rows["time"] = [10, 20, 40]
    rows["endtime"] = [35, 25, 41]
    subruns = {"run_1a": {"start": 0, "end": 100}}
    chunk = Chunk(5, 100, rows, "run_1", "peaks", subruns=subruns)
    encoded = encode_chunk(chunk, codec_named("none"))
    info = encoded.info

    assert b"".join(encoded.buffers) == rows.tobytes()
    assert (info.chunk_i, info.n, info.start, info.end) == (0, 3, 5, 100)
    assert (info.run_id, info.subruns, info.filename) == ("run_1", subruns, None)
    assert (info.nbytes, info.filesize, info.codec) == (60, 60, None)
    assert (info.first_time, info.first_endtime) == (10, 35)
    assert (info.last_time, info.last_endtime) == (40, 41)
    assert (info.min_time, info.max_endtime) == (10, 41)


def test_the_entry_of_a_chunk_without_rows_names_no_file() -> None:
    encoded = encode_chunk(Chunk(5, 100, np.zeros(0, PEAKS), "run_1", "peaks"), codec_named("zstd"))
    info = encoded.info

    assert list(encoded.buffers) == []
    assert (info.n, info.nbytes, info.filesize, info.filename) == (0, 0, None, None)
    assert (info.start, info.end, info.first_time) == (5, 100, None)


def test_fewer_rows_than_the_metadata_say_are_damage(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_sample(backend, KEY)
    monkeypatch.setattr("strax_core.loader.loader.read_segment", lambda *_: 1)
    with pytest.raises(DataCorrupted, match="chunk 0: 1 rows were decoded, not "):
        backend.loader(KEY.name).read_all()
