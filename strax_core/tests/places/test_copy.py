import json
import logging
from collections.abc import Sequence

import numpy as np
import pytest
from small_plugins import (
    N_CHUNKS,
    RECORDS,
    Down,
    Records,
    backend_of,
    chunk_path,
    context,
    edit_metadata,
    files,
    flip,
    folder_of,
    metadata_path,
    place,
    staged,
    take_down,
)

from strax_core.backend.memory import MemoryBackend
from strax_core.context.context import Context
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.format.keys import DataKey
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.frontend import StorageFrontend
from strax_core.frontend.location import Location
from strax_core.medium import Buffer
from strax_core.saver.status import failure_notes
from strax_core.testing.two_places import TwoPlaceFrontend


def made(near: DirectoryFrontend, *data_types: str, **config: float) -> None:
    context(near, config=config).make("7", data_types or ("records",))


def alone(frontend: DirectoryFrontend, **options: object) -> Context:
    """A context on one place that makes nothing."""
    return context(frontend, forbid_creation_of="*", **options)


def test_a_copy_has_the_same_rows_chunks_and_making() -> None:
    near, far = place("near"), place("far")
    made(near)
    context(near, far).copy("7", "records", "far")
    source, copied = (alone(each).get_metadata("7", "records") for each in (near, far))

    assert folder_of(near, "records") == folder_of(far, "records")
    assert alone(far).get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    assert [(c.start, c.end, c.n) for c in copied.chunks] == [
        (0, 1000, 5),
        (1000, 2000, 5),
        (2000, 3000, 5),
        (3000, 4000, 5),
    ]
    assert source["data_id"] == copied["data_id"]
    assert source["write_id"] != copied["write_id"]
    assert copied["compressor"] == source["compressor"]
    for name in ("lineage", "lineage_hash", "dtype", "data_kind", "run_id", "start", "end"):
        assert copied[name] == source[name]
    assert copied["writer"]["copied_from"] == source.place
    assert copied["writer"]["data_plugin_module"] == Records.__module__
    assert copied["writer"]["data_plugin_source"] == source["writer"]["data_plugin_source"]
    assert staged(far) == set()


def test_a_copy_can_have_other_chunks_and_another_codec() -> None:
    near, far = place("near"), place("far")
    made(near)
    row_bytes = 24
    context(near, far).copy(
        "7", "records", to="far", chunk_size_bytes=10 * row_bytes, compressor="bz2"
    )
    copied = alone(far).get_metadata("7", "records")

    assert copied.compressor == "bz2"
    assert 1 < len(copied.chunks) < N_CHUNKS
    assert copied["chunk_target_size_mb"] == 10 * row_bytes / 1e6
    assert alone(far).get_array("7", "records")["x"].tolist() == RECORDS.tolist()


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1"])
def test_an_impossible_size_of_chunks_is_refused(size: object) -> None:
    with pytest.raises(ConfigError, match="chunk_size_bytes"):
        context(place()).copy("7", "records", "here", chunk_size_bytes=size)  # type: ignore[arg-type]


def test_an_unknown_codec_is_refused_and_nothing_is_written() -> None:
    near, far = place("near"), place("far")
    made(near)
    with pytest.raises(ConfigError, match="zst"):
        context(near, far).copy("7", "records", "far", compressor="zst")

    assert files(far) | staged(far) == set()


def test_a_place_of_its_own_codec_gives_it_to_copies() -> None:
    near, far = place("near", compressor="zstd"), place("far", compressor="lz4")
    made(near)
    context(near, far).copy("7", "records", "far")

    assert alone(far).get_metadata("7", "records").compressor == "lz4"


def test_a_place_for_strax_gets_a_codec_that_strax_reads_or_refuses_the_one_stated() -> None:
    near, far = place("near", compressor="none"), place("far", for_upstream=True)
    made(near)
    with pytest.raises(ConfigError, match=r"for_upstream.*zstd"):
        context(near, far).copy("7", "records", "far", compressor="none")
    assert files(far) | staged(far) == set()
    context(near, far).copy("7", "records", "far")

    assert alone(near).get_metadata("7", "records").compressor == "none"
    assert alone(far).get_metadata("7", "records").compressor == "zstd"


@pytest.mark.parametrize(("to", "expected"), [("two", "far"), ("two/near", "near")])
def test_a_copy_goes_to_the_backend_named_else_to_where_the_frontend_says(
    to: str, expected: str
) -> None:
    here = place("here", storage_type=0)
    backends = {"near": MemoryBackend(), "far": MemoryBackend()}
    two = TwoPlaceFrontend(**backends, near_types={"peaks"}, name="two")
    made(here)
    ctx = context(here, two)
    if to == "two/near":
        with pytest.raises(ReadOnlyError, match="two/near"):
            ctx.copy("7", "records", to)  # this frontend keeps no records there
        two.near_types = frozenset({"records"})
    ctx.copy("7", "records", to)

    assert [name for name, each in backends.items() if list(each.list(""))] == [expected]
    with pytest.raises(ConfigError, match="did you mean 'two/near'"):
        ctx.copy("7", "records", "two/naer")


def test_what_is_there_already_is_told_and_all_else_is_copied() -> None:
    near, far = place("near"), place("far")
    made(near, "records", "peaks")
    ctx = context(near, far)
    ctx.copy("7", "records", "far")
    before = alone(far).get_metadata("7", "records").write_id
    with pytest.raises(DataExistsError, match=r"far: 7-records-.* is stored already"):
        ctx.copy("7", ["records", "peaks"], "far")

    assert alone(far).get_metadata("7", "records").write_id == before
    assert alone(far).get_array("7", "peaks")["x"].tolist() == RECORDS.tolist()


def test_several_runs_are_copied() -> None:
    near, far = place("near"), place("far")
    context(near).make(["7", "8"], "records")
    context(near, far).copy(["7", "8"], "records", "far")

    assert len({path.split("/")[0] for path in files(far)}) == 2


def test_what_is_not_stored_cannot_be_copied() -> None:
    with pytest.raises(DataNotAvailable):
        context(place("near"), place("far")).copy("7", "records", "far")


def test_a_place_that_takes_no_data_refuses_a_copy() -> None:
    near = place("near")
    made(near)
    for options in ({"readonly": True}, {"take_only": "peaks"}, {"exclude": "records"}):
        far = place("far", **options)
        with pytest.raises(ReadOnlyError, match="far takes no records"):
            context(near, far).copy("7", "records", "far")
        assert files(far) | staged(far) == set()


def test_what_is_still_being_written_is_not_copied() -> None:
    near, far = place("near"), place("far")
    made(near)
    key = context().key_for("7", "records")
    document = dict(alone(near).get_metadata("7", "records"))
    chunks = list(alone(near).get_iter("7", "records"))
    saver = near.saver(key, document, overwrite="always")
    saver.save(chunks[0], 0)
    saver._journal._write_segment()
    context(near).remove("7", "records", from_="near")
    ctx = context(near, far, allow_incomplete=True)
    assert ctx.is_stored("7", "records")
    with pytest.raises(DataNotAvailable):
        ctx.copy("7", "records", "far")

    assert files(far) == set()
    saver.abort()


@pytest.mark.parametrize(
    ("overwrite", "is_replaced"), [("never", False), ("if_broken", False), ("always", True)]
)
def test_only_a_place_that_says_always_lets_a_copy_replace_good_data(
    overwrite: str, *, is_replaced: bool
) -> None:
    near, far = place("near"), place("far", overwrite=overwrite)
    made(near)
    made(far)
    before = alone(far).get_metadata("7", "records")["data_id"]
    ctx = context(near, far)
    if is_replaced:
        ctx.copy("7", "records", "far")
    else:
        with pytest.raises(DataExistsError):
            ctx.copy("7", "records", "far")

    after = alone(far).get_metadata("7", "records")["data_id"]
    assert (after != before) == is_replaced
    assert after in (before, alone(near).get_metadata("7", "records")["data_id"])


def test_a_copy_replaces_what_nobody_can_read() -> None:
    near, far = place("near"), place("far")
    made(near)
    made(far)
    backend_of(far).write(metadata_path(far, "records"), [b"{"])
    context(near, far).copy("7", "records", "far")

    assert context(far).verify("7", "records") == ["far"]


def test_a_copy_reads_on_in_another_copy_of_the_same_making(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second, far = place("first"), place("second"), place("far")
    made(first)
    context(first, second).copy("7", "records", "second", chunk_size_bytes=1)
    flip(first, "records", chunk_i=2)
    with caplog.at_level(logging.WARNING, "strax_core"):
        context(first, second, far).copy("7", "records", "far")

    assert caplog.text.count("first could not load") == 1
    assert alone(far).get_array("7", "records")["x"].tolist() == RECORDS.tolist()


def test_a_copy_of_another_making_says_whose_rows_it_holds() -> None:
    """What cannot be read from the first place is not mixed with, or called, the second's."""
    first, second, far = place("first"), place("second"), place("far")
    made(first)
    made(second)
    flip(first, "records", chunk_i=2)
    ctx = context(first, second, far)
    ctx.copy("7", "records", "far")

    ids = [alone(each).get_metadata("7", "records")["data_id"] for each in (first, second, far)]
    assert ids[2] == ids[1] != ids[0]
    assert staged(far) == set()
    flip(second, "records")
    ctx.remove("7", "records", from_="far")
    with pytest.raises(DataCorrupted, match=r"records, chunk 2.*records, chunk 0"):
        ctx.copy("7", "records", "far")
    assert files(far) == set()


def test_data_of_another_lineage_never_stand_in_for_those_that_cannot_be_read() -> None:
    first, second, far = place("first"), place("second"), place("far")
    made(first)
    made(second, offset=0.5)
    flip(first, "records")
    ctx = context(first, second, far, fuzzy_for_options="offset")
    with pytest.raises(DataCorrupted):
        ctx.copy("7", "records", "far")

    assert files(far) == set()


def test_what_a_loose_match_finds_is_copied_under_its_own_key() -> None:
    near, far = place("near"), place("far")
    made(near, offset=0.5)
    wanted = context(near, far, fuzzy_for_options="offset")
    wanted.copy("7", "records", "far")

    stored = alone(far, config={"offset": 0.5})
    assert folder_of(far, "records") == stored.key_for("7", "records").name
    assert folder_of(far, "records") != wanted.key_for("7", "records").name
    assert stored.get_array("7", "records")["x"].tolist() == (RECORDS + 0.5).tolist()
    assert not alone(far).is_stored("7", "records")


def test_a_copy_made_while_an_exception_is_handled_is_good() -> None:
    """In strax such a copy is called failed: it asks the interpreter for the last exception."""
    near, far = place("near"), place("far")
    made(near)
    try:
        raise ValueError("of something else")
    except ValueError:
        context(near, far).copy("7", "records", "far")

    assert "exception" not in alone(far).get_metadata("7", "records")
    assert context(far).verify("7", "records") == ["far"]
    assert staged(far) == set()


class Breaking(MemoryBackend):
    """Raises when the third chunk is written."""

    error: BaseException = KeyboardInterrupt()
    is_well = False

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        if path.endswith("-000002") and not self.is_well:
            raise self.error
        super().write(path, buffers, create_only=create_only)


@pytest.mark.filterwarnings("error")
def test_a_copy_that_is_interrupted_leaves_nothing() -> None:
    class Interrupting(Down):
        is_on = False

        def read(self, path: str) -> bytes:
            if self.is_on and path.endswith("-000002"):
                raise KeyboardInterrupt
            return super().read(path)

    source, far = Interrupting(), place("far")
    near = DirectoryFrontend(source, name="near")
    made(near)
    source.is_on = True
    with pytest.raises(KeyboardInterrupt):
        context(near, far).copy("7", "records", "far")

    assert files(far) | staged(far) == set()


def test_a_copy_that_fails_leaves_a_note_until_one_succeeds() -> None:
    near, broken = place("near"), Breaking()
    broken.error = StorageFull("no space")
    far = DirectoryFrontend(broken, name="far")
    made(near)
    ctx = context(near, far)
    with pytest.raises(StorageFull):
        ctx.copy("7", "records", "far")

    assert {path.split("/")[0] for path in broken._storage.files} == {".staging"}
    (note,) = failure_notes(broken, folder_of(near, "records"))
    assert note.reason == "StorageFull: no space"
    broken.is_well = True
    ctx.copy("7", "records", "far")
    assert not any(path.startswith(".staging") for path in broken._storage.files)


def test_data_of_strax_are_copied_and_get_an_id() -> None:
    """What strax writes has fewer fields: no id of a making or writing, nothing of a writer."""
    near, far = place("near"), place("far")
    made(near)
    chunks = json.loads(backend_of(near).read(metadata_path(near, "records")))["chunks"]
    for chunk in chunks:
        chunk.pop("checksum", None)
    edit_metadata(
        near,
        "records",
        **dict.fromkeys(("data_id", "write_id", "writer", "format_version")),
        chunks=chunks,
    )
    context(near, far).copy("7", "records", "far")

    copied = alone(far).get_metadata("7", "records")
    assert isinstance(copied["data_id"], str)
    assert alone(far).get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    flip(near, "records", chunk_i=2)
    edit_metadata(near, "records", chunks=json.loads(json.dumps(chunks)))
    rows = np.concatenate(
        [
            chunk.data
            for chunk in context(near, far, forbid_creation_of="*").get_iter("7", "records")
        ]
    )
    assert rows["x"].tolist() == RECORDS.tolist()


# Removing


def test_removing_takes_one_place_s_copy_of_exactly_this() -> None:
    near, far = place("near"), place("far")
    made(near, "records", "peaks")
    made(far, "records")
    made(near, "records", offset=0.5)
    context(near, far).remove("7", "records", from_="near")

    assert not alone(near).is_stored("7", "records")
    assert alone(near).is_stored("7", "peaks")
    assert alone(near, config={"offset": 0.5}).is_stored("7", "records")
    assert alone(far).is_stored("7", "records")


def test_a_loose_match_is_never_removed() -> None:
    near = place("near")
    made(near, offset=0.5)
    with pytest.raises(DataNotAvailable):
        context(near, fuzzy_for="records").remove("7", "records", from_="near")

    assert alone(near, config={"offset": 0.5}).is_stored("7", "records")


def test_removing_can_name_one_backend() -> None:
    near, far = MemoryBackend(), MemoryBackend()
    two = TwoPlaceFrontend(near, far, near_types={"records"}, name="two")
    ctx = context(two)
    ctx.make("7", "records")
    two.near_types = frozenset()
    ctx.copy("7", "records", "two/far")
    ctx.remove("7", "records", from_="two/near")

    assert list(near.list("")) == []
    assert ctx.find("7", "records").place == "two/far"


def test_removing_by_force_is_left_to_the_frontend() -> None:
    class Keeping(DirectoryFrontend):
        def remove(self, key: DataKey, *, backend: str | None = None, force: bool = False) -> None:
            if not force:
                raise ReadOnlyError("the last one")
            super().remove(key, backend=backend, force=force)

    near = Keeping(MemoryBackend(), name="near")
    made(near)
    with pytest.raises(ReadOnlyError):
        context(near).remove("7", "records", from_="near")
    assert alone(near).is_stored("7", "records")

    context(near).remove("7", "records", from_="near", force=True)
    assert not alone(near).is_stored("7", "records")


def test_removing_from_nowhere_from_an_unknown_or_a_closed_place_is_an_error() -> None:
    near = place("near")
    made(near)
    with pytest.raises(ConfigError, match="did you mean 'near'"):
        context(near).remove("7", "records", from_="naer")
    with pytest.raises(DataNotAvailable):
        context(near).remove("7", "peaks", from_="near")
    near.readonly = True
    with pytest.raises(ReadOnlyError):
        context(near).remove("7", "records", from_="near")

    assert alone(near).is_stored("7", "records")


# Verifying


def test_good_copies_are_all_named() -> None:
    near, far, empty = place("near"), place("far"), place("empty", exclude="records")
    made(near)
    made(far)
    ctx = context(near, far, empty)

    assert ctx.verify("7", "records") == ["near", "far"]
    assert ctx.verify("7", "records", at="far") == ["far"]
    with pytest.raises(DataNotAvailable):
        ctx.verify("7", "records", at="empty")
    with pytest.raises(DataNotAvailable, match="not stored in any"):
        ctx.verify("7", "peaks")


@pytest.mark.parametrize("damage", ["flipped", "missing", "garbage"])
def test_a_damaged_copy_is_named_with_its_chunk_and_the_good_ones(damage: str) -> None:
    near, far = place("near"), place("far")
    made(near)
    made(far)
    if damage == "flipped":
        flip(near, "records", chunk_i=2)
    elif damage == "missing":
        backend_of(near).delete(chunk_path(near, "records", 2))
    else:
        backend_of(near).write(metadata_path(near, "records"), [b"garbage"])
    what = "not JSON" if damage == "garbage" else "run 7, records, chunk 2"
    ctx = context(near, far)
    with pytest.raises(DataCorrupted, match=rf"near: .*{what}.*good copies: far.*Context\.copy"):
        ctx.verify("7", "records")
    assert ctx.verify("7", "records", at="far") == ["far"]
    with pytest.raises(DataCorrupted, match="good copies: none"):
        ctx.verify("7", "records", at="near")

    if damage != "garbage":
        ctx.remove("7", "records", from_="near")
    ctx.copy("7", "records", "near")
    assert ctx.verify("7", "records") == ["near", "far"]


@pytest.mark.parametrize("error", [StorageUnavailable("out"), OSError("out"), TimeoutError("out")])
def test_a_place_that_is_down_does_not_keep_the_others_from_being_verified(
    error: Exception,
) -> None:
    down, near, far = place("down", storage_type=0), place("near"), place("far")
    made(near)
    made(far)
    take_down(down, error)
    ctx = context(down, near, far)
    with pytest.raises(StorageUnavailable, match=r"down: out; good copies: near, far"):
        ctx.verify("7", "records")
    flip(far, "records")
    with pytest.raises(DataCorrupted, match=r"down: out; far: .*good copies: near"):
        ctx.verify("7", "records")


def test_a_frontend_that_raises_does_not_keep_the_others_from_being_verified() -> None:
    class Own(StorageFrontend):
        def _find(self, *_: object) -> list[Location]:
            raise RuntimeError("oh")

    near = place("near")
    made(near)
    ctx = context(Own({"main": MemoryBackend()}, name="own"), near)
    with pytest.raises(StorageUnavailable, match="own: oh; good copies: near"):
        ctx.verify("7", "records")


def test_one_backend_of_a_place_is_verified() -> None:
    near, far = MemoryBackend(), MemoryBackend()
    two = TwoPlaceFrontend(near, far, near_types={"records"}, name="two")
    ctx = context(two)
    ctx.make("7", "records")

    assert ctx.verify("7", "records") == ["two/near"]
    assert ctx.verify("7", "records", at="two/near") == ["two/near"]
    with pytest.raises(DataNotAvailable):
        ctx.verify("7", "records", at="two/far")
