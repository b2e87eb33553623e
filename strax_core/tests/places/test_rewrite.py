"""Data in other chunks, or with another codec, in the place where they are."""

import numpy as np
import pytest
from small_plugins import (
    N_CHUNKS,
    RECORDS,
    ROW,
    Down,
    context,
    edit_metadata,
    files,
    flip,
    place,
    staged,
)

from strax_core.backend.memory import MemoryBackend
from strax_core.context.context import Context
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
)
from strax_core.format.metadata import Metadata
from strax_core.frontend import upstream_warning as strax_folders
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.places.rewrite import Outcome
from strax_core.testing.two_places import TwoPlaceFrontend

TEN_ROWS = 10 * ROW.itemsize


def made(**options: object) -> tuple[DirectoryFrontend, Context]:
    here = place(**options)
    ctx = context(here)
    ctx.make("7", "records")
    return here, ctx


def test_rewritten_data_are_the_same_making_in_another_form() -> None:
    here, ctx = made()
    old = ctx.get_metadata("7", "records")
    (done,) = ctx.rewrite("7", "records", "here", chunk_size_bytes=TEN_ROWS, compressor="bz2")
    new = ctx.get_metadata("7", "records")

    assert (done.outcome, done.chunks_before, done.chunks_after) == (Outcome.REWRITTEN, 4, 2)
    assert done.name == str(ctx.key_for("7", "records"))
    assert done.bytes_before == sum(info.filesize or 0 for info in old.chunks)
    assert done.bytes_after == sum(info.filesize or 0 for info in new.chunks)
    assert new["data_id"] == old["data_id"]
    assert new["lineage"] == old["lineage"]
    assert new["writer"]["data_plugin_module"] == old["writer"]["data_plugin_module"]
    assert ctx.get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    assert len(files(here)) == 2 + 1
    assert staged(here) == set()


def test_what_has_the_form_already_is_passed_over() -> None:
    here, ctx = made(compressor="zstd")
    ctx.make("8", "records")
    ctx.rewrite("7", "records", "here", chunk_size_bytes=TEN_ROWS)
    before = files(here)
    done = ctx.rewrite(["7", "8"], "records", "here", chunk_size_bytes=TEN_ROWS)

    assert [each.outcome for each in done] == [Outcome.AS_WANTED, Outcome.REWRITTEN]
    assert {name for name in files(here) if name.startswith("7")} == {
        name for name in before if name.startswith("7")
    }
    (again,) = ctx.rewrite("8", "records", "here", compressor="zstd")
    assert again.outcome is Outcome.AS_WANTED
    (again,) = ctx.rewrite("8", "records", "here", compressor="lz4")
    assert again.outcome is Outcome.REWRITTEN
    (again,) = ctx.rewrite("8", "records", "here", chunk_size_bytes=TEN_ROWS)
    assert again.outcome is Outcome.AS_WANTED


def test_the_place_s_own_codec_does_not_matter_to_what_is_rechunked() -> None:
    here, ctx = made(compressor="zstd")
    here.compressor = "lz4"
    ctx.rewrite("7", "records", "here", chunk_size_bytes=TEN_ROWS)

    assert ctx.get_metadata("7", "records").compressor == "zstd"


def test_one_chunk_stays_one_however_large_chunks_may_be() -> None:
    ctx = made()[1]
    whole = N_CHUNKS * 5 * ROW.itemsize
    ctx.rewrite("7", "records", "here", chunk_size_bytes=whole)
    (done,) = ctx.rewrite("7", "records", "here", chunk_size_bytes=2 * whole)

    assert done.outcome is Outcome.AS_WANTED
    assert done.chunks_after == 1


def test_something_must_change_and_be_there() -> None:
    here, ctx = made()
    with pytest.raises(ConfigError, match="chunk_size_bytes, or compressor"):
        ctx.rewrite("7", "records", "here")
    with pytest.raises(ConfigError, match="no place 'her'"):
        ctx.rewrite("7", "records", "her", compressor="bz2")
    with pytest.raises(DataNotAvailable, match="8-records"):
        ctx.rewrite("8", "records", "here", compressor="bz2")
    here.readonly = True
    with pytest.raises(ReadOnlyError):
        ctx.rewrite("7", "records", "here", compressor="bz2")


def test_damaged_data_are_not_rewritten() -> None:
    here, ctx = made()
    flip(here, "records", chunk_i=2)
    before = files(here)
    with pytest.raises(DataCorrupted, match="chunk 2"):
        ctx.rewrite("7", "records", "here", compressor="bz2")

    assert files(here) == before


def test_rows_that_are_not_those_that_were_stored_are_not_rewritten() -> None:
    here, ctx = made()
    chunks = [dict(chunk) for chunk in ctx.get_metadata("7", "records")["chunks"]]
    chunks[2]["checksum_rows"] = chunks[1]["checksum_rows"]
    edit_metadata(here, "records", chunks=chunks)
    before = files(here)
    with pytest.raises(DataCorrupted, match="from 2000 to 3000: these are not the rows"):
        ctx.rewrite("7", "records", "here", compressor="bz2")

    assert files(here) == before


def test_data_that_someone_else_replaced_meanwhile_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    here, ctx = made()
    rewritten = Metadata.check_loadable
    seen: list[Metadata] = []

    def check(self: Metadata) -> None:
        rewritten(self)
        if not seen:
            seen.append(self)
            return
        if len(seen) == 1 and self["compressor"] == "bz2":  # what is read back, before the commit
            seen.append(self)
            context(here, config={}).make("7", "records", again=True)

    monkeypatch.setattr(Metadata, "check_loadable", check)
    with pytest.raises(DataExistsError, match="replaced by others"):
        ctx.rewrite("7", "records", "here", compressor="bz2")
    monkeypatch.undo()

    assert ctx.get_metadata("7", "records")["write_id"] != seen[0]["write_id"]
    assert ctx.get_metadata("7", "records").compressor != "bz2"
    assert ctx.get_array("7", "records")["x"].tolist() == RECORDS.tolist()


def test_one_backend_of_a_place_is_rewritten() -> None:
    backends = {"near": MemoryBackend(), "far": MemoryBackend()}
    two = TwoPlaceFrontend(**backends, near_types={"records"}, name="two")
    ctx = context(two)
    ctx.make("7", "records")
    with pytest.raises(DataNotAvailable):
        ctx.rewrite("7", "records", "two/far", compressor="bz2")
    ctx.rewrite("7", "records", "two/near", compressor="bz2")

    assert ctx.get_metadata("7", "records").compressor == "bz2"
    two.near_types = frozenset()  # from now on records go to the other one
    with pytest.raises(ReadOnlyError):
        ctx.rewrite("7", "records", "two", compressor="lz4")
    assert ctx.get_metadata("7", "records").compressor == "bz2"


def test_data_of_strax_get_checksums_when_they_are_copied() -> None:
    here, far = made(compressor="zstd")[0], place("far")
    ours = context(here).get_metadata("7", "records")["chunks"]
    left_out = ("checksum", "checksum_rows", "min_time", "max_endtime", "filesize")
    chunks = [{k: v for k, v in chunk.items() if k not in left_out} for chunk in ours]
    edit_metadata(here, "records", chunks=chunks)
    context(here, far).copy("7", "records", "far")

    copied = context(far).get_metadata("7", "records")["chunks"]
    assert [dict(chunk) for chunk in copied] == [dict(chunk) for chunk in ours]


def test_files_without_a_checksum_are_copied_only_if_their_rows_are_right() -> None:
    here, far = made(compressor="zstd")[0], place("far")
    ours = context(here).get_metadata("7", "records")["chunks"]
    chunks = [{k: v for k, v in chunk.items() if k != "checksum"} for chunk in ours]
    edit_metadata(here, "records", chunks=chunks)
    flip(here, "records", chunk_i=1)
    with pytest.raises(DataCorrupted, match="from 1000 to 2000: these are not the rows"):
        context(here, far).copy("7", "records", "far")

    assert files(far) == set()


class StraxWasHere(Down):
    may_hold_strax_folders = True


def strax_place(monkeypatch: pytest.MonkeyPatch, *, is_of_strax: bool) -> DirectoryFrontend:
    monkeypatch.setattr(strax_folders, "_TOLD", set())
    here = DirectoryFrontend(StraxWasHere(), name="here")
    context(DirectoryFrontend(here.backends["main"], compressor="zstd")).make("1", "records")
    if is_of_strax:
        edit_metadata(here, "records", writer=None, format_version=None)
    return here


def test_what_strax_cannot_load_is_told_once_where_strax_wrote(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = strax_place(monkeypatch, is_of_strax=True)
    here.compressor = "none"
    with pytest.warns(UserWarning, match=r"strax wrote data here.*'none'.*for_upstream = true"):
        context(here).make("2", "records")
    context(here).make("3", "records")  # a second warning would be an error


@pytest.mark.parametrize(("is_of_strax", "compressor"), [(True, "zstd"), (False, "none")])
def test_nothing_is_told_where_all_is_well(
    monkeypatch: pytest.MonkeyPatch, *, is_of_strax: bool, compressor: str
) -> None:
    here = strax_place(monkeypatch, is_of_strax=is_of_strax)
    here.compressor = compressor
    context(here).make("2", "records")

    assert context(here).get_array("2", "records")["x"].tolist() == np.arange(20.0).tolist()
