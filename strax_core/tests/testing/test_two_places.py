import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.errors import DataNotAvailable, StorageUnavailable
from strax_core.testing import Fault, FaultyBackend, RawMemory, everything
from strax_core.testing.samples import (
    bytes_of_chunks,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_core.testing.two_places import TwoPlaceFrontend

PEAKS, RECORDS = sample_key("run_1", "peaks"), sample_key("run_1", "records")


@pytest.fixture
def near() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def far() -> ConditionalMemoryBackend:
    return ConditionalMemoryBackend()


@pytest.fixture
def frontend(near: MemoryBackend, far: MemoryBackend) -> TwoPlaceFrontend:
    return TwoPlaceFrontend(near, far, near_types={"peaks"}, name="two")


def test_the_data_type_decides_where_data_are_written(
    frontend: TwoPlaceFrontend, near: MemoryBackend, far: MemoryBackend
) -> None:
    for key in (PEAKS, RECORDS):
        frontend.saver(key, sample_metadata(key)).save_from(sample_chunks(key))

    assert RawMemory(near).list("") == {PEAKS.name}
    assert RawMemory(far).list("") == {RECORDS.name}
    assert [frontend.find(key).backend for key in (PEAKS, RECORDS)] == ["near", "far"]


def test_a_copy_missing_from_the_first_place_is_loaded_from_the_second(
    frontend: TwoPlaceFrontend, near: MemoryBackend, far: MemoryBackend
) -> None:
    for mark, backend in ((1, near), (2, far)):
        save_sample(backend, PEAKS, sample_chunks(PEAKS, mark=mark))
    expected = [bytes_of_chunks(sample_chunks(PEAKS, mark=mark)) for mark in (1, 2)]

    assert frontend.loader(PEAKS).read_all().tobytes() == expected[0]
    near.remove(PEAKS.name)
    assert frontend.find(PEAKS).backend == "far"
    assert frontend.loader(PEAKS).read_all().tobytes() == expected[1]
    far.remove(PEAKS.name)
    with pytest.raises(DataNotAvailable):
        frontend.loader(PEAKS)


def test_a_place_that_is_down_or_damaged_does_not_hide_the_other(
    near: MemoryBackend, far: MemoryBackend
) -> None:
    save_sample(far, PEAKS)
    down = FaultyBackend(near, Fault(call=0, times=None))
    frontend = TwoPlaceFrontend(down, far, near_types={"peaks"}, name="two")

    assert frontend.find(PEAKS).backend == "far"
    far.remove(PEAKS.name)
    with pytest.raises(StorageUnavailable):
        frontend.find(PEAKS)
    with pytest.raises(StorageUnavailable):
        frontend.saver(PEAKS, sample_metadata(PEAKS))
    assert everything(RawMemory(far)) == set()


def test_removing_takes_every_copy(
    frontend: TwoPlaceFrontend, near: MemoryBackend, far: MemoryBackend
) -> None:
    for backend in (near, far):
        save_sample(backend, PEAKS)
    frontend.remove(PEAKS)

    assert everything(RawMemory(near)) | everything(RawMemory(far)) == set()


def test_many_keys_are_found_in_the_order_asked(
    frontend: TwoPlaceFrontend, near: MemoryBackend, far: MemoryBackend
) -> None:
    save_sample(near, PEAKS)
    save_sample(far, RECORDS)
    found = frontend.find_several([RECORDS, sample_key("run_2"), PEAKS])

    assert [location and location.backend for location in found] == ["far", None, "near"]
