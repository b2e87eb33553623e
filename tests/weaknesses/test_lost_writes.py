"""A failed write is never forgotten (W1, W24), nor a place that cannot be written (W31)."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_line import (
    N_CHUNKS,
    PEAKS,
    RECORDS,
    RUN,
    context,
    files_in,
    full_disk,
    left_by_writers,
    loading,
    local,
    values,
)

from strax_core import ReadOnlyError, StorageError, StorageFull, StorageUnavailable


@pytest.mark.weakness("W1")
@pytest.mark.parametrize("chunk_i", [0, 3, N_CHUNKS - 1])
@pytest.mark.parametrize("max_workers", [1, 2])
def test_a_chunk_that_a_thread_could_not_write_fails_the_save(
    tmp_path: Path, max_workers: int, chunk_i: int
) -> None:
    ctx = context(full_disk(tmp_path, f"-{chunk_i:06d}"))

    with pytest.raises(StorageFull, match=f"records-.*-{chunk_i:06d} did not fit"):
        ctx.make(RUN, "records", max_workers=max_workers)
    assert not ctx.is_stored(RUN, "records")
    assert left_by_writers(tmp_path) == []
    (note,) = (json.loads(text) for text in files_in(tmp_path).values())
    assert "the disk is full" in note["reason"]
    assert values(context(tmp_path).get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W1")
def test_a_saver_waits_for_every_thread_and_raises_what_it_raised(tmp_path: Path) -> None:
    made = context().get_iter(RUN, "records")
    with pytest.warns(UserWarning, match="no place"):
        chunks = list(made)
    ctx = context(tmp_path)
    ctx.make(RUN, "records")
    metadata = {**ctx.get_metadata(RUN, "records")}
    for name in ("chunks", "start", "end", "writing_ended"):
        del metadata[name]

    (tmp_path / "other").mkdir()
    place = full_disk(tmp_path / "other", "-000003")
    key = ctx.key_for(RUN, "records")
    with ThreadPoolExecutor(2) as threads, pytest.raises(StorageFull):
        place.saver(key, metadata).save_from(chunks, executor=threads)
    assert not loading(place).is_stored(RUN, "records")


@pytest.mark.weakness("W24")
@pytest.mark.parametrize(
    "name",
    [
        "ticket.json",
        *(f"-{chunk_i:06d}" for chunk_i in (0, 3, N_CHUNKS - 1)),
        "-metadata.json",
    ],
)
def test_a_place_that_fails_does_not_fail_the_others(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [tmp_path / place for place in ("first", "full", "last")]
    places = [local(folders[0]), full_disk(folders[1], name), local(folders[2])]
    with caplog.at_level(logging.WARNING, "strax_core"):
        context(*places).make(RUN, "records")

    assert "did not fit: the disk is full" in caplog.text
    for folder in (folders[0], folders[2]):
        assert values(loading(folder).get_array(RUN, "records")) == RECORDS
        assert left_by_writers(folder) == []
    assert not loading(folders[1]).is_stored(RUN, "records")
    assert left_by_writers(folders[1]) == []


@pytest.mark.weakness("W31")
@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(30, "read-only")], ids=repr)
def test_a_place_that_may_not_be_written_is_named_in_the_log(
    tmp_path: Path,
    error: OSError,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed, usual = local(tmp_path / "closed"), local(tmp_path / "usual")

    def refused(*_: object) -> str:
        raise error

    monkeypatch.setattr(closed.backends["main"], "_made", refused)
    with caplog.at_level(logging.WARNING, "strax_core"):
        context(closed, usual).make(RUN, "records")

    assert "is not kept in closed: " in caplog.text
    assert str(tmp_path / "closed") in caplog.text
    assert loading(tmp_path / "usual").is_stored(RUN, "records")
    caplog.clear()
    with pytest.raises(StorageError, match=r"closed|no place of this context takes records"):
        context(closed).make(RUN, "records")
    assert "is not kept in closed: " in caplog.text


@pytest.mark.weakness("W31")
def test_a_disk_that_is_not_mounted_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    for ask in ("make", "get_array"):
        with pytest.raises(StorageUnavailable, match="is it mounted"):
            getattr(context(tmp_path / "disk" / "data"), ask)(RUN, "records")


@pytest.mark.weakness("W31")
def test_with_nowhere_to_write_make_is_an_error_and_get_array_warns(tmp_path: Path) -> None:
    places = [local(tmp_path, readonly=True), local(tmp_path / "b", exclude=("records", "peaks"))]
    ctx = context(*places)

    with pytest.raises(ReadOnlyError, match="no place of this context takes peaks"):
        ctx.make(RUN, "peaks")
    with pytest.warns(UserWarning, match=r"no place of this context takes peaks: .* is not kept"):
        rows = ctx.get_array(RUN, "peaks")
    assert values(rows) == PEAKS
    assert files_in(tmp_path) == {}
