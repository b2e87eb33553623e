import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small_plugins import (
    ROW,
    Peaks,
    Records,
    backend_of,
    context,
    edit_metadata,
    folder_of,
    metadata_path,
    place,
    take_down,
)

from strax_core.backend.memory import MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.context.context import Context
from strax_core.context.explain import OTHERS_MAX
from strax_core.data_plugins.plugin import Plugin, SaveWhen
from strax_core.errors import ConfigError, StorageUnavailable
from strax_core.format.keys import DataKey
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.frontend import StorageFrontend
from strax_core.testing.two_places import TwoPlaceFrontend


def fused_stages(ctx: Context, data_type: str = "peaks") -> list[str]:
    return ctx.explain("7", data_type).splitlines()


def test_what_is_stored_is_told_with_its_place_and_size() -> None:
    near, far = place("near"), place("far", compressor="bz2")
    context(far).make("7", "peaks")
    (line,) = fused_stages(context(near, far))

    assert line == f"{folder_of(far, 'peaks')} is stored in far: 4 chunks, 20 rows, bz2"


def test_the_backend_is_named_where_there_are_several() -> None:
    two = TwoPlaceFrontend(MemoryBackend(), MemoryBackend(), near_types=(), name="two")
    ctx = context(two)
    ctx.make("7", "records")

    assert " is stored in two/far: " in ctx.explain("7", "records")


class Remarking(DirectoryFrontend):
    def _remarks(self, key: DataKey) -> Iterator[str]:
        yield f"tape has a damaged copy of {key.data_type}"
        if self.readonly:
            raise StorageUnavailable("no answer")


@pytest.mark.parametrize("readonly", [False, True])
def test_what_places_remark_on_their_copies_is_told(*, readonly: bool) -> None:
    near = place("near")
    far = Remarking(MemoryBackend(), name="far", readonly=readonly)
    other = Remarking(MemoryBackend(), name="other", exclude="peaks")
    remark = "  far: tape has a damaged copy of peaks"
    ctx = context(near, far, other)

    told = [] if readonly else [remark]
    assert [line for line in fused_stages(ctx) if "damaged copy of peaks" in line] == told
    context(near).make("7", "peaks")
    assert fused_stages(ctx)[1:] == told


def test_what_is_nowhere_is_explained_down_to_what_is_stored() -> None:
    near, closed = place("near"), place("closed", readonly=True, exclude="peaks")
    context(near).make("7", "records")
    ctx = context(near, closed)
    key, records = ctx.key_for("7", "peaks"), ctx.key_for("7", "records")

    assert fused_stages(ctx) == [
        f"{key} is not stored",
        f"  near: memory://: there is no {key}",
        "  closed: closed does not take peaks",
        "  data plugin small_plugins.Peaks 0.0.0 makes it from records",
        "  it would be kept in near",
        f"{records} is stored in near: 4 chunks, 20 rows, columns",
        "make or get_array makes peaks, from records",
    ]


def test_what_needs_everything_says_so_and_each_data_type_is_told_once() -> None:
    class Events(Plugin):
        depends_on = ("peaks", "records")
        dtype = ROW

        def compute(self, records: np.ndarray) -> np.ndarray:
            return records

    ctx = context(place(), plugins=[Records, Peaks, Events])
    lines = fused_stages(ctx, "events")

    told = [line for line in lines if line.endswith(" is not stored")]
    assert [line.split("-")[1] for line in told] == ["events", "peaks", "records"]
    assert lines[-1] == "make or get_array makes events and all it needs"


@pytest.mark.parametrize(
    ("save_when", "expected"),
    [
        (SaveWhen.NEVER, "it is never kept (save_when)"),
        (SaveWhen.EXPLICIT, "it would be kept in near if it is listed in save="),
        (SaveWhen.TARGET, "it would be kept in near if it is asked for by name"),
        (SaveWhen.ALWAYS, "it would be kept in near"),
    ],
)
def test_where_it_would_be_kept_is_told(save_when: SaveWhen, expected: str) -> None:
    peaks = type("Peaks", (Peaks,), {"save_when": save_when})
    ctx = context(place("near"), place("far", readonly=True), plugins=[Records, peaks])

    assert f"  {expected}" in fused_stages(ctx)


def test_if_no_place_takes_it_that_is_told() -> None:
    ctx = context(place(readonly=True))

    assert "  it would not be kept: no place of this context takes it" in fused_stages(ctx)


def test_other_lineages_are_told_with_what_differs_and_what_would_load_them() -> None:
    near = place("near")
    context(near, config={"gain": 2.0}).make("7", "peaks")
    other = context(near, config={"gain": 2.0}).key_for("7", "peaks")
    ctx = context(near)
    lines = fused_stages(ctx)

    at = lines.index(f"  near: has {other}, made otherwise:")
    assert lines[at + 1 : at + 3] == [
        "  near:   option 'gain' of peaks: 2.0 here, 1.0 wanted",
        "  near:   a context with fuzzy_for_options=['gain'] loads it",
    ]
    way = re.search(r"a context with (.*) loads it", "\n".join(lines))
    assert way is not None
    loose = ctx.new_context(fuzzy_for_options=["gain"])
    assert loose.is_stored("7", "peaks")
    assert fused_stages(loose) == [
        f"{ctx.key_for('7', 'peaks')} is stored in near: 4 chunks, 20 rows, columns",
        "  by a loose match: option 'gain' of peaks: 2.0 here, 1.0 wanted",
        "  what is made from it is not kept",
    ]


def test_another_version_can_be_loaded_by_its_name() -> None:
    near = place("near")
    newer = type("Records", (Records,), {"__version__": "9"})
    context(near).make("7", "peaks")
    ctx = context(near, plugins=[newer, Peaks])

    assert "  near:   version of records: '0.0.0' here, '9' wanted" in fused_stages(ctx)
    assert "  near:   a context with fuzzy_for=['records'] loads it" in fused_stages(ctx)
    assert ctx.new_context(fuzzy_for=["records"]).is_stored("7", "peaks")


def test_of_many_other_lineages_the_newest_are_told() -> None:
    near = place("near")
    for gain in range(OTHERS_MAX + 3):
        context(near, config={"gain": 10.0 + gain}).make("7", "peaks")
    text = context(near).explain("7", "peaks")

    assert text.count("-peaks-") == 2 + OTHERS_MAX  # its own key twice
    assert "near: has 3 more, older, made otherwise" in text
    assert "12.0 here" not in text


def breaking(message: str) -> type[Plugin]:
    def compute(self: Any, records: np.ndarray) -> np.ndarray:  # noqa: ARG001
        raise ValueError(message)

    return type("Peaks", (Peaks,), {"compute": compute})


def test_notes_of_failed_saves_appear_and_the_next_success_takes_them_away() -> None:
    near = place("near")
    bad = context(near, plugins=[Records, breaking("the detector is on fire")])
    with pytest.raises(ValueError, match="fire"):
        bad.make("7", "peaks")
    notes = [line for line in fused_stages(context(near)) if "a save failed" in line]

    pattern = (
        r"  near: a save failed at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: ValueError: .* on fire.*"
    )
    assert len(notes) == 2  # records were to be kept too
    assert all(re.fullmatch(pattern, note) for note in notes)
    context(near).make("7", "peaks")
    backend_of(near).delete(folder_of(near, "peaks"))
    assert "a save failed" not in context(near).explain("7", "peaks")


@pytest.mark.parametrize("ended", [10**400, float("nan"), 1e300, float("inf"), "noon", -1])
def test_a_note_of_no_time_that_can_be_is_told_without_it(ended: object) -> None:
    near = place("near")
    with pytest.raises(ValueError, match="fire"):
        context(near, plugins=[Records, breaking("fire")]).make("7", "peaks")
    backend = backend_of(near)
    for folder in [entry.name for entry in backend.list(".staging")]:
        for note in list(backend.list(f".staging/{folder}", starts_with="failed-")):
            path = f".staging/{folder}/{note.name}"
            document = json.loads(backend.read(path))
            backend.write(path, [json.dumps({**document, "writing_ended": ended}).encode()])

    assert "near: a save failed: ValueError: " in context(near).explain("7", "peaks")


def test_writers_at_work_are_told_and_those_that_died() -> None:
    near = place("near", grace_time_s=100.0)
    ctx = context(near)
    hint = "near:   a context with allow_incomplete=True loads what is there so far"
    chunks = ctx.get_iter("7", "records")
    next(chunks)
    pattern = r"near: process \d+ on \S+ writes it: \d chunks so far, last heard of 0 s ago"
    text = ctx.explain("7", "records")
    assert re.search(pattern, text)
    assert (hint in text) == ("0 chunks so far" not in text)
    chunks.close()
    assert "writes it" not in ctx.explain("7", "records")

    saver = near.saver(ctx.key_for("7", "records"), {**_document(ctx), "writer": {"pid": 42}})
    saver.save(Chunk(0, 10, np.zeros(1, ROW), "7", "records"), 0)
    saver._journal._write_segment()
    assert hint in ctx.explain("7", "records")
    saver._journal.close()  # dead: no beat any more
    storage = backend_of(near)._storage
    for path, (raw, modified_ns) in list(storage.files.items()):
        storage.files[path] = (raw, modified_ns - 200 * 10**9)
    text = ctx.explain("7", "records")
    assert re.search(
        r"near: process 42 on .* died while it wrote this, last heard of 2\d\d s", text
    )
    assert "`strax clean` removes" in text


def _document(ctx: Context) -> dict[str, Any]:
    key = ctx.key_for("7", "records")
    return {
        "run_id": "7",
        "data_type": "records",
        "data_kind": "records",
        "dtype": repr(ROW.descr),
        "compressor": "zstd",
        "lineage": key.lineage.as_json(),
        "lineage_hash": key.lineage_hash,
    }


def test_what_is_not_to_be_made_or_cannot_be_says_why_and_the_way_out() -> None:
    lines = fused_stages(context(place(), forbid_creation_of="records"))
    name = "data plugin small_plugins"
    forbidden = "forbid_creation_of says that it is not to be made here"

    assert f"  {name}.Peaks 0.0.0 makes it from records" in lines
    assert f"  {name}.Records 0.0.0 does not make it: {forbidden}" in lines
    assert lines[-1].startswith(
        "so peaks cannot be had here: neither stored nor made is records. Have it made"
    )
    lines = fused_stages(context(place(), forbid_creation_of="*"))
    assert lines[-1].startswith(
        "so peaks cannot be had here: neither stored nor made is peaks, records. "
    )

    silent = type("Records", (Plugin,), {"dtype": ROW})
    lines = fused_stages(context(place(), plugins=[silent, Peaks]))
    assert any("Records 0.0.0 does not make it: it has no compute" in line for line in lines)


DAMAGE = {
    "failed": (
        {"exception": "Traceback\nValueError: on fire"},
        "not complete: ValueError: on fire",
    ),
    "unended": ({"writing_ended": None}, "not complete: its writing has not ended"),
    "of another run": ({"run_id": "8"}, "chunk 0 is of run 7"),
    "newer": ({"format_version": 99}, "install a newer strax-core"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_lies_there_and_cannot_be_used_is_told(damage: str) -> None:
    fields, expected = DAMAGE[damage]
    near = place("near")
    context(near).make("7", "peaks")
    edit_metadata(near, "peaks", **fields)

    assert re.search(f"  near: .*{expected}", context(near).explain("7", "peaks"))


def test_garbage_is_told() -> None:
    near = place("near")
    context(near).make("7", "peaks")
    backend_of(near).write(metadata_path(near, "peaks"), [b"{"])

    assert re.search(r"  near: .*the metadata is not JSON", context(near).explain("7", "peaks"))


@pytest.mark.parametrize(
    "error", [StorageUnavailable("out"), OSError("out"), TypeError("out")], ids=repr
)
def test_broken_places_are_told_and_nothing_is_raised(error: Exception) -> None:
    near, down = place("near"), place("down")
    context(near).make("7", "records")
    take_down(down, error)
    lines = fused_stages(context(near, down))

    assert any(line.startswith("  down: ") and "out" in line for line in lines)
    assert lines[-1] == "make or get_array makes peaks, from records"
    lines = fused_stages(context(down))
    assert "nobody knows whether it is stored, for no place could answer" in lines[0]
    assert lines[-1].startswith(
        "peaks cannot be had until a place says whether it has peaks, records: "
    )


def test_a_place_that_is_asked_before_and_does_not_answer_is_told_of_what_is_stored() -> None:
    down, far = place("down"), place("far")
    context(far).make("7", "peaks")
    take_down(down)

    assert fused_stages(context(down, far))[1:] == ["  down could not answer: the cable is out"]


def test_a_frontend_of_someone_s_own_that_raises_anything_is_told() -> None:
    class Own(StorageFrontend):
        def _find(self, *_: Any) -> Any:
            raise ZeroDivisionError("oh")

    own = Own({"main": MemoryBackend()}, name="own")

    assert any("own: " in line and "oh" in line for line in fused_stages(context(own, place())))


def test_without_places_the_text_still_says_what_makes_it() -> None:
    lines = fused_stages(context())

    assert lines[0].endswith(" is not stored")
    assert lines[-1] == "make or get_array makes peaks and all it needs"


def test_what_nothing_makes_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'peaks'"):
        context(place()).explain("7", "peeks")
