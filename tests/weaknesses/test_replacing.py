"""Old data stay whole until the new are there (W11), and are replaced when asked (W26)."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from small_line import (
    CORRECTED,
    N_CHUNKS,
    RECORDS,
    RUN,
    Corrected,
    chunk_files,
    context,
    files_in,
    folder_of,
    full_disk,
    left_by_writers,
    loading,
    local,
    values,
)

from strax_core import Buffer, DataExistsError, StorageFull
from strax_local import LocalBackend, LocalFrontend, LocalOptions


class LookedAt(LocalBackend):
    """A directory into which a reader looks after every step of a writer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalOptions(path=str(folder), fsync=False))
        self.folder = folder
        self.seen: list[list[float]] = []

    def _look(self) -> None:
        self.seen.append(values(loading(self.folder).get_array(RUN, "records")))

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        super().write(path, buffers, create_only=create_only)
        self._look()

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self._look()

    def delete(self, path: str) -> None:
        super().delete(path)
        self._look()

    def delete_files(self, paths: Sequence[str]) -> None:
        super().delete_files(paths)
        self._look()

    def drop_empty(self, folder: str) -> None:
        super().drop_empty(folder)
        self._look()


@pytest.mark.weakness("W11")
def test_at_every_step_of_a_replacement_a_reader_gets_the_old_data_or_the_new(
    tmp_path: Path,
) -> None:
    context(tmp_path).make(RUN, "records")
    backend = LookedAt(tmp_path)
    place = LocalFrontend(backend, name="looked at")
    context(place, plugins=[Corrected]).make(RUN, "records", again=True)

    n_old = backend.seen.count(RECORDS)
    assert backend.seen == [RECORDS] * n_old + [CORRECTED] * (len(backend.seen) - n_old)
    assert n_old > N_CHUNKS
    assert len(backend.seen) > n_old + 1  # the old files are deleted after that
    assert left_by_writers(tmp_path) == []


@pytest.mark.weakness("W11")
@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_replacement_that_fails_leaves_what_was_there(
    tmp_path: Path, *, is_damaged: bool
) -> None:
    ctx = context(tmp_path)
    ctx.make(RUN, "records")
    if is_damaged:
        chunk_files(ctx, "records", tmp_path)[3].unlink()
    before = files_in(folder_of(ctx, "records", tmp_path))
    with pytest.raises(StorageFull):
        context(full_disk(tmp_path, "-000005")).make(RUN, "records", again=True)

    assert files_in(folder_of(ctx, "records", tmp_path)) == before
    assert left_by_writers(tmp_path) == []


@pytest.mark.weakness("W26")
@pytest.mark.parametrize("overwrite", ["if_broken", "always"])
def test_complete_data_are_replaced_when_that_is_asked(tmp_path: Path, overwrite: str) -> None:
    context(tmp_path).make(RUN, "records")
    ctx = context(local(tmp_path, overwrite=overwrite), plugins=[Corrected])
    ctx.make(RUN, "records")
    assert values(ctx.get_array(RUN, "records")) == RECORDS  # make alone makes what is missing

    ctx.make(RUN, "records", again=True)
    assert values(loading(tmp_path).get_array(RUN, "records")) == CORRECTED


@pytest.mark.weakness("W26")
def test_a_saver_replaces_complete_data_where_the_place_says_always(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    context(tmp_path).make(RUN, "records")
    other = context(tmp_path / "new", plugins=[Corrected])
    chunks = list(other.get_iter(RUN, "records"))
    metadata = dict(other.get_metadata(RUN, "records"))
    for name in ("chunks", "start", "end", "writing_ended"):
        del metadata[name]
    key = other.key_for(RUN, "records")

    for overwrite in ("never", "if_broken"):
        with pytest.raises(DataExistsError):
            local(tmp_path, overwrite=overwrite).saver(key, metadata)
    local(tmp_path, overwrite="always").saver(key, metadata).save_from(chunks)
    assert values(loading(tmp_path).get_array(RUN, "records")) == CORRECTED


@pytest.mark.weakness("W26")
def test_what_may_never_be_replaced_is_an_error_and_stays(tmp_path: Path) -> None:
    context(tmp_path).make(RUN, "records")
    before = files_in(tmp_path)

    with pytest.raises(DataExistsError):
        context(local(tmp_path, overwrite="never")).make(RUN, "records", again=True)
    assert files_in(tmp_path) == before
