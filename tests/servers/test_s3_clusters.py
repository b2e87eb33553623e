"""Ceph that loses power, and Ceph that loses one of three object stores in mid-write."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ceph_server import Ceph
from raw_s3 import RawS3
from s3_places import backend_on
from server_fixtures import started

from strax_core import Chunk, DataKey, StorageError, StorageUnavailable, metadata_path
from strax_core.testing import (
    clean,
    everything,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)

pytestmark = [pytest.mark.servers, pytest.mark.long]
WAVES = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("wave", "<i2", (10_000,))])


def chunks_of(key: DataKey, *, mark: int = 1) -> list[Chunk]:
    """Return chunks of 1.8 MB and an empty one."""
    return sample_chunks(key, sizes=(90, 0, 90), dtype=WAVES, mark=mark)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Ceph]:
    (tmp_path / "ceph").mkdir()
    yield from started(Ceph(tmp_path / "ceph", store="bluestore"))


@pytest.fixture
def of_three(tmp_path: Path) -> Iterator[Ceph]:
    (tmp_path / "ceph").mkdir()
    yield from started(Ceph(tmp_path / "ceph", n_osds=3))


def test_what_was_saved_is_there_after_a_power_cut_and_what_was_not_can_be_cleaned(
    on_disk: Ceph, tmp_path: Path
) -> None:
    backend = backend_on(on_disk.server, "", tmp_path, timeout_s=1.0, retry_for_s=0.5)
    saved, cut = (sample_key(run) for run in ("run_1", "run_2"))
    save_sample(backend, saved, chunks_of(saved))
    chunks = chunks_of(cut)
    saver = backend.saver(cut.name, sample_metadata(cut, dtype=WAVES))
    saver.save(chunks[0], 0)
    on_disk.kill()
    with pytest.raises(StorageUnavailable):
        saver.save(chunks[2], 2)
    with pytest.raises(StorageUnavailable):
        backend.read(metadata_path(saved.name))
    saver.abort()
    on_disk.start()

    loaded = [chunk.data.tobytes() for chunk in backend.loader(saved.name)]
    assert loaded == [chunk.data.tobytes() for chunk in chunks_of(saved)]
    assert clean(backend, grace_s=0, dry_run=False)
    raw = RawS3(on_disk.server, "")
    assert not [path for path in everything(raw) if cut.name in path]
    save_sample(backend, cut, chunks)
    backend.verify(cut.name)


def test_one_of_three_stores_may_die_in_mid_write(of_three: Ceph, tmp_path: Path) -> None:
    backend = backend_on(of_three.server, "", tmp_path)
    keys = [sample_key(f"run_{i}") for i in range(12)]
    is_under_way = threading.Event()
    errors: list[StorageError] = []

    def save_all() -> None:
        for number, key in enumerate(keys):
            try:
                save_sample(backend, key, chunks_of(key, mark=number + 1))
            except StorageError as error:
                errors.append(error)
            if number == 1:
                is_under_way.set()

    writer = threading.Thread(target=save_all)
    writer.start()
    is_under_way.wait()
    of_three.kill_osd(2)
    writer.join()

    assert errors == []
    for number, key in enumerate(keys):
        expected = chunks_of(key, mark=number + 1)
        loaded = [chunk.data.tobytes() for chunk in backend.loader(key.name)]
        assert loaded == [chunk.data.tobytes() for chunk in expected]
