import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.errors import DataCorrupted, DataNotAvailable, NewerFormat, StorageUnavailable
from strax_core.format.metadata import Metadata
from strax_core.testing import Fault, FaultyBackend, RawMemory
from strax_core.testing.damage_checks import change_metadata, chunk_path
from strax_core.testing.dataset_checks import METADATA, sample_bytes, stored_bytes
from strax_core.testing.samples import bytes_of_chunks, sample_chunks, sample_key, save_sample

KEY = sample_key()
MANY = sample_chunks(KEY, sizes=(2, 0, 3) * 7)


@pytest.fixture(params=[MemoryBackend, ConditionalMemoryBackend])
def backend(request: pytest.FixtureRequest) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


@pytest.mark.parametrize("read_ahead_bytes", [0, 1, 100, 10**9])
def test_reading_ahead_keeps_the_order(backend: MemoryBackend, read_ahead_bytes: int) -> None:
    save_sample(backend, KEY, MANY)
    with ThreadPoolExecutor(4) as pool:
        loader = backend.loader(KEY.name)
        chunks = list(loader.chunks(executor=pool, read_ahead_bytes=read_ahead_bytes))

    assert [(c.start, c.end, c.n) for c in chunks] == [(c.start, c.end, c.n) for c in MANY]
    assert bytes_of_chunks(chunks) == bytes_of_chunks(MANY)


def test_all_rows_are_read_in_threads_too(backend: MemoryBackend) -> None:
    save_sample(backend, KEY, MANY)
    with ThreadPoolExecutor(4) as pool:
        rows = backend.loader(KEY.name).read_all(executor=pool)

    assert rows.tobytes() == bytes_of_chunks(MANY)


def test_an_error_in_a_thread_surfaces(backend: MemoryBackend) -> None:
    save_sample(backend, KEY, MANY)
    RawMemory(backend).delete(chunk_path(RawMemory(backend), 12))
    loader = backend.loader(KEY.name)

    with ThreadPoolExecutor(4) as pool:
        with pytest.raises(DataCorrupted, match="chunk 12"):
            loader.read_all(executor=pool)
        with pytest.raises(DataCorrupted, match="chunk 12"):
            list(loader.chunks(executor=pool))


def test_a_reader_that_stops_early_leaves_no_work_behind(backend: MemoryBackend) -> None:
    save_sample(backend, KEY, MANY)
    watched = FaultyBackend(backend)
    with ThreadPoolExecutor(1) as pool:
        chunks = watched.loader(KEY.name).chunks(executor=pool, read_ahead_bytes=100)
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]

    assert len(watched.calls) < 1 + 7


def test_metadata_that_came_along_are_not_read_again(backend: MemoryBackend) -> None:
    metadata = save_sample(backend, KEY)
    watched = FaultyBackend(backend)
    rows = watched.loader(KEY.name, metadata=metadata).read_all()

    assert rows.tobytes() == sample_bytes()
    assert len(watched.calls) == 2
    assert not any("metadata" in call.path for call in watched.calls)


def test_making_a_loader_reads_the_metadata_only(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    watched = FaultyBackend(backend)
    watched.loader(KEY.name)

    assert [(call.verb, call.path) for call in watched.calls] == [("read", METADATA)]


def test_bytes_hurt_on_the_way_are_read_once_more(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_sample(backend, KEY)
    loader = backend.loader(KEY.name)
    honest, answers = backend.read, [b"hurt on the way"]
    monkeypatch.setattr(backend, "read", lambda path: answers.pop() if answers else honest(path))

    assert loader.read_all().tobytes() == sample_bytes()


def test_a_reader_learns_that_data_were_replaced(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    loader = backend.loader(KEY.name)
    save_sample(backend, KEY, sample_chunks(KEY, mark=2), overwrite="always")

    with pytest.raises(DataNotAvailable, match="replaced"):
        loader.read_all()
    assert stored_bytes(backend) == sample_bytes(mark=2)


def test_a_reader_learns_that_data_were_removed(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    loader = backend.loader(KEY.name)
    backend.remove(KEY.name)

    with pytest.raises(DataNotAvailable, match="removed"):
        loader.read_all()


def test_a_place_that_is_down_is_not_called_corrupt(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)

    with pytest.raises(StorageUnavailable):
        stored_bytes(FaultyBackend(backend, Fault(call=1, times=None)))


def test_data_still_being_written_are_not_loaded(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    change_metadata(RawMemory(backend), lambda document: document.pop("writing_ended"))

    with pytest.raises(DataNotAvailable, match="not ended"):
        backend.loader(KEY.name)


def test_a_hole_between_chunks_is_corrupt(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    change_metadata(RawMemory(backend), lambda document: document["chunks"].pop(1))

    with pytest.raises(DataCorrupted, match="chunk 2 starts at 2000"):
        backend.loader(KEY.name)


def test_data_without_our_checksums_are_read_as_strax_wrote_them(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)

    def forget(document: dict[str, list[dict[str, object]]]) -> None:
        for field in ("format_version", "write_id", "data_id"):
            del document[field]
        for chunk in document["chunks"]:
            for field in ("checksum", "checksum_rows", "min_time", "max_endtime"):
                chunk.pop(field, None)

    change_metadata(RawMemory(backend), forget)

    assert stored_bytes(backend) == sample_bytes()


def test_a_newer_format_is_refused_and_says_what_to_do(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    change_metadata(RawMemory(backend), lambda document: document.update(format_version=99))

    with pytest.raises(NewerFormat, match="install a newer"):
        backend.loader(KEY.name)


def test_metadata_are_read_only_and_have_strax_s_names(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    metadata = backend.get_metadata(KEY.name)

    assert isinstance(metadata, Metadata)
    assert dict(metadata) == json.loads(RawMemory(backend).read(METADATA))
    with pytest.raises(TypeError):
        metadata["run_id"] = "other"  # type: ignore[index]
