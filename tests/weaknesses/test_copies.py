"""Rewriting loses nothing (W2, W12), a copy shows only when whole (W18), and moves bytes (W43)."""

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from small_line import (
    N_CHUNKS,
    N_ROWS,
    RECORDS,
    ROW,
    RUN,
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

from strax_core import Buffer, Context, DataCorrupted, DataExistsError, StorageFull
from strax_core.codecs.zstd import ZstdCodec
from strax_local import LocalBackend, LocalFrontend, LocalOptions

FORMS = [
    {"chunk_size_bytes": 3 * N_ROWS * ROW.itemsize},
    {"compressor": "bz2"},
    {"chunk_size_bytes": 3 * N_ROWS * ROW.itemsize, "compressor": "none"},
]


class Watched(LocalBackend):
    """A directory that somebody looks into after every step of a writer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalOptions(path=str(folder), fsync=False))
        self.folder = folder
        self.seen: list[Any] = []

    def look(self) -> Any:
        return values(loading(self.folder).get_array(RUN, "records"))

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        super().write(path, buffers, create_only=create_only)
        self.seen.append(self.look())

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self.seen.append(self.look())

    def delete_files(self, paths: Sequence[str]) -> None:
        super().delete_files(paths)
        self.seen.append(self.look())


class CopiedTo(Watched):
    """A directory where somebody looks whether a copy shows before it is whole."""

    def look(self) -> tuple[bool, bool]:
        claims = (raw for name, raw in files_in(self.folder).items() if name.endswith(".json"))
        begun = folder_of(loading(self.folder), "records", self.folder).exists()
        return begun, begun or any("writing_ended" in json.loads(raw) for raw in claims)


class Lying(LocalBackend):
    """A directory that stores other bytes than it was given, of one chunk."""

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        if path.endswith("-000001"):
            raw = bytearray(b"".join(buffers))
            raw[-1] ^= 1
            buffers = [raw]
        super().write(path, buffers, create_only=create_only)


class TwoAtOnce(LocalBackend):
    """A directory whose first read of a chunk waits until there is a second one."""

    def __init__(self, options: LocalOptions) -> None:
        super().__init__(options)
        self.both = Barrier(2, timeout=600)

    def read(self, path: str) -> bytes:
        if path.endswith(("-000000", "-000001")):
            self.both.wait()
        return super().read(path)


def on(backend: LocalBackend, name: str) -> LocalFrontend:
    return LocalFrontend(backend, name=name)


def made(folder: Path) -> Context:
    folder.mkdir(exist_ok=True)
    ctx = context(local(folder, compressor="zstd"))
    ctx.make(RUN, "records")
    return ctx


@pytest.mark.weakness("W2")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("max_workers", [1, 2])
def test_a_rewriting_whose_chunk_cannot_be_written_fails_and_leaves_the_data(
    tmp_path: Path, form: dict[str, Any], max_workers: int
) -> None:
    before = files_in(folder_of(made(tmp_path), "records", tmp_path))
    ctx = loading(full_disk(tmp_path, "-000001"))
    with pytest.raises(StorageFull):
        ctx.rewrite(RUN, "records", tmp_path.name, max_workers=max_workers, **form)

    assert files_in(folder_of(ctx, "records", tmp_path)) == before
    assert left_by_writers(tmp_path) == []


@pytest.mark.weakness("W2")
@pytest.mark.parametrize("form", FORMS)
def test_a_rewriting_whose_chunk_was_written_wrong_fails_and_leaves_the_data(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    before = files_in(folder_of(made(tmp_path), "records", tmp_path))
    ctx = loading(on(Lying(LocalOptions(path=str(tmp_path), fsync=False)), "here"))
    with pytest.raises(DataCorrupted, match="chunk 1"):
        ctx.rewrite(RUN, "records", "here", **form)

    assert files_in(folder_of(ctx, "records", tmp_path)) == before
    assert left_by_writers(tmp_path) == []


@pytest.mark.weakness("W12")
@pytest.mark.parametrize("form", FORMS)
def test_at_every_step_of_a_rewriting_the_data_can_be_loaded(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    old = chunk_files(made(tmp_path), "records", tmp_path)
    backend = Watched(tmp_path)
    ctx = loading(on(backend, "here"))
    (done,) = ctx.rewrite(RUN, "records", "here", **form)

    assert len(backend.seen) > N_CHUNKS
    assert backend.seen == [RECORDS] * len(backend.seen)
    assert not any(path.exists() for path in old)
    assert left_by_writers(tmp_path) == []
    metadata = ctx.get_metadata(RUN, "records")
    assert metadata.compressor == form.get("compressor", "zstd")
    assert len(metadata.chunks) == (4 if "chunk_size_bytes" in form else N_CHUNKS)
    files = files_in(folder_of(ctx, "records", tmp_path))
    assert done.bytes_after == sum(len(raw) for name, raw in files.items() if name[-4:] != "json")


@pytest.mark.weakness("W18")
@pytest.mark.parametrize("form", [{}, {"compressor": "bz2"}])
def test_a_copy_never_claims_to_be_whole_before_it_is(tmp_path: Path, form: dict[str, Any]) -> None:
    (tmp_path / "to").mkdir()
    made(tmp_path / "from")
    backend = CopiedTo(tmp_path / "to")
    ctx = loading(tmp_path / "from", on(backend, "there"))
    ctx.copy(RUN, "records", "there", **form)

    at = backend.seen.index((True, True))
    # What is renamed is whole; the metadata are written into it, just before.
    assert set(backend.seen[: at - 1]) == {(False, False)}
    assert at > N_CHUNKS
    assert values(loading(tmp_path / "to").get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W18")
def test_a_copy_that_died_half_way_is_not_found_and_can_be_started_again(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    made(tmp_path / "from")
    died = CopiedTo(tmp_path / "to")

    def die(*_: str) -> None:
        raise SystemExit

    died.rename = died.delete_files = die  # type: ignore[method-assign]  # so it cannot tidy up either
    with pytest.raises(SystemExit):
        loading(tmp_path / "from", on(died, "there")).copy(RUN, "records", "there")

    assert len(left_by_writers(tmp_path / "to")) > N_CHUNKS
    assert not loading(tmp_path / "to").is_stored(RUN, "records")
    loading(tmp_path / "from", tmp_path / "to").copy(RUN, "records", "to")
    assert values(loading(tmp_path / "to").get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W43")
def test_a_copy_without_change_moves_the_files_and_does_not_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "to").mkdir()
    before = [
        path.read_bytes()
        for path in chunk_files(made(tmp_path / "from"), "records", tmp_path / "from")
    ]

    def refuse(*_: object) -> None:
        raise AssertionError("this is neither to be compressed nor to be decompressed")

    ctx = loading(tmp_path / "from", tmp_path / "to")
    with monkeypatch.context() as patched:
        patched.setattr(ZstdCodec, "compress", refuse)
        patched.setattr(ZstdCodec, "decompress_into", refuse)
        ctx.copy(RUN, "records", "to")

    there = loading(tmp_path / "to")
    assert [path.read_bytes() for path in chunk_files(there, "records", tmp_path / "to")] == before
    assert values(there.get_array(RUN, "records")) == RECORDS
    source, copied = (
        [{**chunk, "filename": None} for chunk in each.get_metadata(RUN, "records")["chunks"]]
        for each in (loading(tmp_path / "from"), there)
    )
    assert source == copied


@pytest.mark.weakness("W43")
def test_a_copy_reads_and_writes_in_several_threads(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    made(tmp_path / "from")
    source = TwoAtOnce(LocalOptions(path=str(tmp_path / "from"), fsync=False))
    loading(on(source, "source"), tmp_path / "to").copy(RUN, "records", "to", max_workers=2)

    assert values(loading(tmp_path / "to").get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W43")
def test_a_copy_of_many_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    runs = ["run_1", "run_2", "run_3"]
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    ctx = context(tmp_path / "from")
    ctx.make(runs, "records")
    folders = [tmp_path / "to" / str(ctx.key_for(run, "records")) for run in runs]
    loading(tmp_path / "from", tmp_path / "to").copy("run_2", "records", "to")
    before = files_in(folders[1])
    with pytest.raises(DataExistsError, match="run_2"):
        loading(tmp_path / "from", tmp_path / "to").copy(runs, "records", "to")

    assert files_in(folders[1]) == before
    for run in runs:
        assert values(loading(tmp_path / "to").get_array(run, "records")) == RECORDS


@pytest.mark.weakness("W43")
@pytest.mark.parametrize("form", [{}, {"compressor": "bz2"}])
def test_a_copy_that_was_written_wrong_is_found_out_before_it_shows(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    (tmp_path / "to").mkdir()
    made(tmp_path / "from")
    there = on(Lying(LocalOptions(path=str(tmp_path / "to"), fsync=False)), "there")
    with pytest.raises(DataCorrupted, match="chunk 1"):
        loading(tmp_path / "from", there).copy(RUN, "records", "there", **form)

    assert not loading(tmp_path / "to").is_stored(RUN, "records")
    assert left_by_writers(tmp_path / "to") == []


def test_rows_are_compared_with_those_that_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strax_core.chunks import rechunk

    made(tmp_path)
    cut = rechunk.Rechunker.receive

    def spoiling(self: rechunk.Rechunker, chunk: Any) -> list[Any]:
        pieces = cut(self, chunk)
        for piece in pieces:
            piece.data["x"][-1] += 1
        return pieces

    before = files_in(folder_of(loading(tmp_path), "records", tmp_path))
    monkeypatch.setattr("strax_core.places.transfer.Rechunker.receive", spoiling)
    with pytest.raises(DataCorrupted, match=r"100 rows of .* instead of 100 rows"):
        loading(local(tmp_path)).rewrite(RUN, "records", tmp_path.name, **FORMS[0])

    assert files_in(folder_of(loading(tmp_path), "records", tmp_path)) == before
