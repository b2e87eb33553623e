import logging
from collections.abc import Sequence
from typing import Any

import pytest
from small_plugins import (
    RECORDS,
    Down,
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

from strax_core.errors import (
    DataCorrupted,
    DataExistsError,
    ReadOnlyError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.medium import Buffer
from strax_core.saver.status import failure_notes

POLICIES = ("never", "if_broken", "always")


def garbage(frontend: DirectoryFrontend) -> None:
    backend_of(frontend).write(metadata_path(frontend, "records"), [b"{"])


def no_lineage(frontend: DirectoryFrontend) -> None:
    edit_metadata(frontend, "records", lineage=None)


def senseless_lineage(frontend: DirectoryFrontend) -> None:
    edit_metadata(frontend, "records", lineage={"records": 7})


def failed_as_in_strax(frontend: DirectoryFrontend) -> None:
    edit_metadata(frontend, "records", exception="ValueError: on fire")


def nothing(frontend: DirectoryFrontend) -> None:
    """Leave good data as they are."""


def flipped(frontend: DirectoryFrontend) -> None:
    flip(frontend, "records", 2)


UNREADABLE = {
    "garbage": garbage,
    "no lineage": no_lineage,
    "senseless lineage": senseless_lineage,
}
STATES = {"good": nothing, "failed": failed_as_in_strax, "flipped": flipped, **UNREADABLE}


@pytest.mark.parametrize("overwrite", POLICIES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("again", [False, True])
def test_what_make_replaces(overwrite: str, state: str, *, again: bool) -> None:
    here = place(overwrite=overwrite)
    ctx = context(here)
    ctx.make("7", "records")
    STATES[state](here)
    before = backend_of(here).read(metadata_path(here, "records"))
    seems_stored = state in ("good", "flipped")
    # "again" is a word for what is good: only "never" forbids it.
    is_replaced = overwrite != "never" and (again or not seems_stored)
    if overwrite == "never" and (again or not seems_stored):
        with pytest.raises(DataExistsError):
            ctx.make("7", "records", again=again)
    else:
        ctx.make("7", "records", again=again)

    after = backend_of(here).read(metadata_path(here, "records"))
    assert (after != before) == is_replaced
    if is_replaced:
        assert ctx.verify("7", "records") == ["here"]
        assert staged(here) == set()
        # Whose chunks lie under garbage nobody can tell, so they stay, and what was said of them.
        kept = {path for path in files(here) if "/unreadable-" in path}
        assert {backend_of(here).read(path) for path in kept} == (
            {before} if state in UNREADABLE else set()
        )
        assert len(files(here)) == (1 + 4 + 1 + 4 if state in UNREADABLE else 1 + 4)


def test_again_replaces_the_targets_in_all_places_that_let_it_and_nothing_else() -> None:
    near, far, closed = place("near"), place("far"), place("closed", overwrite="never")
    ctx = context(near, far)
    ctx.make("7", "peaks")
    context(closed).make("7", ["records", "peaks"])
    both = context(near, far, closed)

    def ids(data_type: str) -> list[Any]:
        return [
            context(each).get_metadata("7", data_type)["data_id"] for each in (near, far, closed)
        ]

    records, peaks = ids("records"), ids("peaks")
    both.make("7", "peaks", again=True)
    assert ids("records") == records
    new = ids("peaks")
    assert new[0] == new[1] not in peaks
    assert new[2] == peaks[2]


def test_what_is_broken_in_one_place_and_good_in_another_is_loaded_and_not_replaced() -> None:
    near, far = place("near"), place("far")
    context(near, far).make("7", "records")
    garbage(near)
    before = files(near)
    context(near, far).make("7", "records")

    assert context(near, far).find("7", "records").place == "far"
    assert backend_of(near).read(metadata_path(near, "records")) == b"{"
    assert files(near) == before


class Failing(Down):
    """Fails at a moment of a save, with some error."""

    def __init__(self, moment: str, error: Exception) -> None:
        super().__init__()
        self.moment, self.failure = moment, error

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        is_hit = {
            "open": path.endswith("ticket.json"),
            "middle": path.endswith("-000002"),
            "last": path.endswith("-000003"),
            "commit": path.endswith("-metadata.json"),
        }
        if is_hit.get(self.moment):
            raise self.failure
        super().write(path, buffers, create_only=create_only)

    def rename(self, source: str, target: str) -> None:
        if self.moment == "rename":
            raise self.failure
        super().rename(source, target)


MOMENTS = ("open", "middle", "last", "commit", "rename")
ERRORS = [StorageFull("no space"), OSError("no space")]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_saver_that_fails_is_told_and_the_others_keep(
    moment: str, error: Exception, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    places = [place("a"), place("b")]
    bad = DirectoryFrontend(Failing(moment, error), name="bad")
    ctx = context(*places[:position], bad, *places[position:])
    with caplog.at_level(logging.WARNING, "strax_core"):
        ctx.make("7", "peaks")

    for each in places:
        assert context(each).verify("7", "records") == [each.name]
        assert context(each).verify("7", "peaks") == [each.name]
        assert staged(each) == set()
    assert files(bad) == set()
    assert "no space" in caplog.text
    assert "peaks" in caplog.text
    assert ctx.get_array("7", "peaks")["x"].tolist() == RECORDS.tolist()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("ask", ["make", "get_array"])
def test_if_all_savers_fail_that_is_an_error(moment: str, error: Exception, ask: str) -> None:
    bad = [DirectoryFrontend(Failing(moment, error), name=name) for name in ("a", "b")]
    with pytest.raises(type(error), match="no space"):
        getattr(context(*bad), ask)("7", "records")

    assert files(bad[0]) | files(bad[1]) == set()


def test_the_note_of_a_failed_saver_goes_with_the_next_success_in_its_place() -> None:
    backend = Failing("middle", StorageFull("no space"))
    good, bad = place("good"), DirectoryFrontend(backend, name="bad")
    context(good, bad).make("7", "records")
    key = context().key_for("7", "records").name
    (note,) = failure_notes(backend, key)

    assert note.reason == "StorageFull: no space"
    assert failure_notes(backend_of(good), key) == []
    backend.moment = ""
    context(good, bad).copy("7", "records", "bad")
    assert failure_notes(backend, key) == []
    assert staged(bad) == set()


def test_a_place_that_is_down_is_passed_over_when_data_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    down, good = place("down"), place("good")
    take_down(down)
    with caplog.at_level(logging.WARNING, "strax_core"):
        context(down, good).make("7", "records")

    assert context(good).is_stored("7", "records")
    assert "is not kept in down: the cable is out" in caplog.text
    with pytest.raises(StorageUnavailable):
        context(down).make("7", "records")


# Which place takes what


def test_places_are_asked_by_their_type_and_memory_is_nearest() -> None:
    tape, memory = place("tape", storage_type=10), place("memory")
    first, second = place("first", storage_type=1), place("second", storage_type=1)
    ctx = context(tape, second, first, memory)

    assert memory.storage_type == 0
    assert [each.name for each in ctx.storage] == ["memory", "second", "first", "tape"]
    for each in (tape, first, second, memory):
        context(each).make("7", "records")
        assert ctx.find("7", "records").place == each.name or each is first
    ctx.remove("7", "records", from_="memory")
    assert ctx.find("7", "records").place == "second"


def test_a_readonly_place_is_read_and_never_written_to() -> None:
    closed, open_ = place("closed"), place("open")
    context(closed).make("7", "records")
    closed.readonly = True
    before = files(closed)
    ctx = context(closed, open_)
    ctx.make("7", "peaks")
    ctx.make("7", "records", again=True)

    assert files(closed) == before
    assert folder_of(open_, "peaks")
    assert folder_of(open_, "records")
    assert staged(closed) == set()
    with pytest.raises(ReadOnlyError, match="no place of this context takes peaks"):
        context(closed).make("8", "peaks")
    with pytest.warns(UserWarning, match="is not kept"):
        assert len(context(closed).get_array("8", "peaks")) == len(RECORDS)


def test_places_take_and_give_only_what_they_are_for() -> None:
    only_peaks, no_peaks = place("only", take_only="peaks"), place("no", exclude=("peaks",))
    ctx = context(only_peaks, no_peaks)
    ctx.make("7", "peaks")

    assert {path.split("-")[1] for path in files(only_peaks)} == {"peaks"}
    assert {path.split("-")[1] for path in files(no_peaks)} == {"records"}
    assert ctx.find("7", "peaks").place == "only"
    only_peaks.take_only = ("records",)
    assert not ctx.is_stored("7", "peaks")


def test_what_the_first_place_cannot_give_back_is_still_there_in_the_second() -> None:
    near, far = place("near"), place("far")
    ctx = context(near, far)
    ctx.make("7", "records")
    backend_of(near).delete(chunk_path(near, "records", 0))

    assert ctx.get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    with pytest.raises(DataCorrupted, match="missing"):
        context(near).get_array("7", "records")
    context(near).make("7", "records", again=True)
    assert ctx.verify("7", "records") == ["near", "far"]
