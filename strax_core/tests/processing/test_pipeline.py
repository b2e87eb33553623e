import json
import logging
import warnings
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from places_in_memory import no_thread_left

from strax_core.backend.memory import MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.context.context import Context
from strax_core.data_plugins.option import Option
from strax_core.data_plugins.plugin import Plugin, SaveWhen
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    PluginGaveWrongOutput,
    ReadOnlyError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.medium import Buffer

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])
N_CHUNKS, WIDTH = 5, 10_000


class Raw(Plugin):
    dtype = ROW
    rechunk_on_save = False  # so that what is loaded has the chunks of what is made
    n_chunks = Option(default=N_CHUNKS, track=False)
    made: list[int] = []  # noqa: RUF012 - emptied by the fixture

    def chunks(self) -> Iterator[Chunk]:
        for i in range(self.n_chunks):
            Raw.made.append(i)
            rows = np.zeros(4, ROW)
            rows["time"] = WIDTH * i + 2000 * np.arange(4)
            rows["endtime"] = rows["time"] + 10
            rows["x"] = np.arange(4 * i, 4 * i + 4)
            yield self.chunk(start=WIDTH * i, end=WIDTH * (i + 1), data=rows)


class Doubled(Plugin):
    depends_on = "raw"
    rechunk_on_save = False
    dtype = ROW

    def compute(self, raw: np.ndarray) -> np.ndarray:
        rows = raw.copy()
        rows["x"] *= 2
        return rows


class Odd(Plugin):
    depends_on = "raw"
    rechunk_on_save = False
    data_kind = "odd"
    dtype = ROW

    def compute(self, raw: np.ndarray) -> np.ndarray:
        return raw[raw["x"] % 2 == 1]


class Both(Plugin):
    depends_on = ("doubled", "odd", "raw")
    data_kind = "both"
    dtype = [("time", "<i8"), ("endtime", "<i8"), ("n", "<i8"), ("sum", "<i8")]  # noqa: RUF012

    def compute(self, raw: np.ndarray, odd: np.ndarray, start: int, end: int) -> Any:
        # `doubled` and `raw` are of one kind: merged, and raw, the later, wins.
        total = int(raw["x"].sum() - odd["x"].sum())
        return {"time": [start], "endtime": [end], "n": [len(raw)], "sum": [total]}


class Watched(MemoryBackend):
    """Fails to write the chunks of one data type."""

    fails_for: str | None = None

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        if self.fails_for is not None and f"data/{self.fails_for}-" in path and path[-1].isdigit():
            raise StorageFull(f"no space for {path}")
        super().write(path, buffers, create_only=create_only)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Raw.made.clear()


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    with no_thread_left():
        yield


def place(name: str = "here", **options: Any) -> DirectoryFrontend:
    return DirectoryFrontend(Watched(), name=name, **options)


def context(*places: DirectoryFrontend, **options: Any) -> Context:
    options.setdefault("plugins", [Raw, Doubled, Odd, Both])
    return Context(storage=list(places), **options)


def kept(frontend: DirectoryFrontend) -> set[str]:
    names = (entry.name for entry in frontend.backends["main"].list(""))
    return {name.split("-")[1] for name in names if not name.startswith(".")}


def staged(frontend: DirectoryFrontend) -> dict[str, list[str]]:
    """What lies in staging, by data type: notes of failures, or writers."""
    backend = frontend.backends["main"]
    return {
        key.name.split("-")[1]: [
            backend.read(f".staging/{key.name}/{entry.name}").decode()
            if not entry.is_folder
            else "writer"
            for entry in backend.list(f".staging/{key.name}")
        ]
        for key in backend.list(".staging")
    }


def test_a_line_is_made_kept_and_loaded_back() -> None:
    here = place()
    rows = context(here).get_array("7", "doubled")

    assert rows["x"].tolist() == list(range(0, 40, 2))
    assert kept(here) == {"raw", "doubled"}
    assert staged(here) == {}
    again = context(here).get_array("7", "doubled")
    assert again.tobytes() == rows.tobytes()
    assert Raw.made == list(range(N_CHUNKS))


def test_a_diamond_is_right_and_runs_each_part_once() -> None:
    here = place()
    rows = context(here).get_array("7", "both")

    assert rows["time"].tolist() == [WIDTH * i for i in range(N_CHUNKS)]
    assert rows["n"].tolist() == [4] * N_CHUNKS
    assert rows["sum"].tolist() == [0 + 2, 4 + 6, 8 + 10, 12 + 14, 16 + 18]
    assert Raw.made == list(range(N_CHUNKS))
    assert kept(here) == {"raw", "doubled", "odd", "both"}


def test_stored_parts_are_loaded_and_only_the_rest_is_made() -> None:
    here = place()
    context(here).make("7", "odd")
    Raw.made.clear()
    rows = context(here).get_array("7", "both")

    assert rows["sum"].tolist() == [2, 10, 18, 26, 34]
    assert Raw.made == []


def test_chunks_are_released_as_they_are_consumed() -> None:
    alive: list[weakref.ref[Any]] = []

    class Tracked(Raw):
        provides = "raw"

        def chunks(self) -> Iterator[Chunk]:
            for chunk in super().chunks():
                alive.append(weakref.ref(chunk.data.base))
                yield chunk
                del chunk

    most = 0
    ctx = context(plugins=[Tracked, Doubled, Odd, Both], config={"n_chunks": 40})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in ctx.get_iter("7", "both"):
            most = max(most, sum(reference() is not None for reference in alive))

    assert len(alive) == 40
    assert most <= 4


class Breaks(Plugin):
    """Fails in its third chunk."""

    depends_on = "odd"
    data_kind = "breaks"
    dtype = ROW

    def compute(self, odd: np.ndarray, chunk_i: int) -> np.ndarray:
        if chunk_i == 2:
            raise ValueError("cannot fit")
        return odd


def test_an_error_half_way_aborts_all_savers_and_their_notes_tell_it() -> None:
    here = place()
    ctx = context(here, plugins=[Raw, Odd, Breaks])

    with pytest.raises(ValueError, match="cannot fit") as caught:
        ctx.make("7", "breaks")
    assert "Breaks (breaks of run 7)" in caught.value.__notes__[0]
    assert kept(here) == set()
    notes = staged(here)
    assert set(notes) == {"raw", "odd", "breaks"}
    for texts in notes.values():
        (note,) = (json.loads(text) for text in texts)
        assert "cannot fit" in note["exception"]
    assert not ctx.is_stored("7", "breaks")


def test_what_was_whole_before_an_error_stays_and_the_next_make_succeeds() -> None:
    here = place()
    context(here).make("7", "raw")
    with pytest.raises(ValueError, match="cannot fit"):
        context(here, plugins=[Raw, Odd, Breaks]).make("7", "breaks")

    class Mended(Breaks):
        provides = "breaks"

        def compute(self, odd: np.ndarray) -> np.ndarray:  # type: ignore[override]
            return odd

    context(here, plugins=[Raw, Odd, Mended]).make("7", "breaks")
    assert kept(here) == {"raw", "odd", "breaks"}
    assert Raw.made == list(range(N_CHUNKS))


def test_wrong_output_is_never_stored() -> None:
    class Wrong(Doubled):
        provides = "doubled"

        def compute(self, raw: np.ndarray) -> np.ndarray:
            return raw[::-1]

    here = place()
    with pytest.raises(PluginGaveWrongOutput, match=r"Wrong \(doubled of run 7\)"):
        context(here, plugins=[Raw, Wrong]).make("7", "doubled")
    assert "doubled" not in kept(here)


@pytest.mark.parametrize("n_taken", [0, 1, N_CHUNKS])
def test_an_iterator_left_half_way_leaves_nothing(n_taken: int) -> None:
    here = place()
    chunks = context(here).get_iter("7", "both")
    for _ in range(n_taken):
        next(chunks)
    chunks.close()  # type: ignore[attr-defined]

    assert kept(here) <= {"raw", "doubled", "odd"}
    assert not any(staged(here).values())


def test_ctrl_c_leaves_no_note_and_nothing_else() -> None:
    class Interrupted(Breaks):
        provides = "breaks"

        def compute(self, odd: np.ndarray, chunk_i: int) -> np.ndarray:
            if chunk_i == 2:
                raise KeyboardInterrupt
            return odd

    here = place()
    with pytest.raises(KeyboardInterrupt):
        context(here, plugins=[Raw, Odd, Interrupted]).make("7", "breaks")
    assert kept(here) == set()
    assert not any(staged(here).values())


def test_a_failure_before_the_first_chunk_aborts_savers_that_never_began() -> None:
    class NoSetup(Raw):
        provides = "raw"

        def setup(self) -> None:
            raise OSError("no calibration file")

    here = place()
    with pytest.raises(OSError, match="no calibration"):
        context(here, plugins=[NoSetup, Doubled, Odd, Both]).make("7", "both")
    assert kept(here) == set()
    assert "writer" not in [text for texts in staged(here).values() for text in texts]


def test_a_saver_opened_before_another_cannot_be_is_aborted() -> None:
    class Interrupting(DirectoryFrontend):
        def _targets(self, key: Any) -> Any:  # noqa: ARG002
            raise KeyboardInterrupt

    here = place()
    with pytest.raises(KeyboardInterrupt):
        context(here, Interrupting(MemoryBackend(), name="later")).make("7", "raw")
    assert not any(staged(here).values())


def test_a_place_that_fails_among_others_is_logged_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = place("bad"), place("good")
    bad.backends["main"].fails_for = "doubled"  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING, "strax_core"):
        context(bad, good).make("7", "doubled")

    assert kept(bad) == {"raw"}
    assert kept(good) == {"raw", "doubled"}
    assert "saving goes on without" in caplog.text


def test_if_no_place_can_keep_the_data_that_is_an_error() -> None:
    bad = place("bad")
    bad.backends["main"].fails_for = "doubled"  # type: ignore[attr-defined]

    for ask in ("make", "get_array"):
        with pytest.raises(StorageFull):
            getattr(context(bad), ask)("7", "doubled")


@pytest.mark.parametrize("error", [TimeoutError("slow"), StorageUnavailable("down")])
def test_a_place_that_cannot_open_a_saver_is_reported(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class CannotReserve(DirectoryFrontend):
        def _targets(self, key: Any) -> Any:  # noqa: ARG002
            raise error

    bad, good = CannotReserve(MemoryBackend(), name="bad"), place("good")
    with caplog.at_level(logging.WARNING, "strax_core"):
        context(bad, good).make("7", "raw")

    assert kept(good) == {"raw"}
    assert f"is not kept in bad: {error}" in caplog.text
    with pytest.raises(type(error)):
        context(bad).make("8", "raw")


def test_an_unknown_codec_of_one_place_does_not_spoil_the_others() -> None:
    good = place("good")
    bad = place("bad", compressor="zsdt")
    context(bad, good).make("7", "raw")

    assert kept(good) == {"raw"}
    assert staged(bad) == {}  # refused before anything was written
    with pytest.raises(ConfigError, match="zsdt"):
        context(place("bad", compressor="zsdt")).make("7", "raw")


def test_each_place_keeps_what_it_takes_in_its_own_codec() -> None:
    places = [
        place("all", compressor="none"),
        place("readonly", readonly=True),
        place("only", take_only=("doubled",)),
        place("without", exclude="doubled"),
    ]
    context(*places).make("7", "doubled")

    assert [kept(each) for each in places] == [{"raw", "doubled"}, set(), {"doubled"}, {"raw"}]
    codecs = {
        each.name: context(each).get_metadata("7", "raw").compressor
        for each in (places[0], places[3])
    }
    assert codecs == {"all": "none", "without": "columns"}
    ids = {context(each).get_metadata("7", "raw").data_id for each in (places[0], places[3])}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("save_when", "save", "expected"),
    [
        (SaveWhen.NEVER, (), {"odd"}),
        (SaveWhen.EXPLICIT, (), {"odd"}),
        (SaveWhen.EXPLICIT, ("doubled",), {"odd", "doubled"}),
        (SaveWhen.EXPLICIT, "doubled", {"odd", "doubled"}),
        (SaveWhen.TARGET, (), {"odd"}),
        (SaveWhen.TARGET, ("doubled",), {"odd", "doubled"}),
        (SaveWhen.ALWAYS, (), {"odd", "doubled"}),
    ],
)
def test_save_when_of_a_dependency(save_when: SaveWhen, save: Any, expected: set[str]) -> None:
    here = place()
    of_dependency = type("Doubled", (Doubled,), {"save_when": save_when})
    plugins = [Raw, of_dependency, Odd, Both]
    context(here, plugins=plugins).make("7", "both", save=save)

    assert kept(here) == {"raw", "both"} | expected


@pytest.mark.parametrize("save_when", SaveWhen)
def test_save_when_of_the_target(save_when: SaveWhen) -> None:
    here = place()
    ctx = context(here, plugins=[Raw, type("Doubled", (Doubled,), {"save_when": save_when})])
    rows = ctx.get_array("7", "doubled")

    assert len(rows) == 20
    assert ("doubled" in kept(here)) == (save_when >= SaveWhen.TARGET)
    if save_when < SaveWhen.TARGET:
        with pytest.warns(UserWarning, match="doubled is made and not kept"):
            ctx.make("7", "doubled")
    if save_when == SaveWhen.NEVER:
        with pytest.raises(ConfigError, match="doubled is never saved"):
            ctx.make("7", "doubled", save="doubled")


def test_with_nowhere_to_write_get_warns_and_make_is_an_error() -> None:
    for places in ([], [place(readonly=True)], [place(take_only="raw")]):
        with pytest.warns(UserWarning, match="no place of this context takes doubled"):
            assert len(context(*places).get_array("7", "doubled")) == 20
        with pytest.raises(ReadOnlyError, match="no place of this context takes doubled"):
            context(*places).make("7", "doubled")


def test_a_forgotten_depends_on_is_suspected() -> None:
    forgetful = type("Raw", (Plugin,), {"dtype": ROW, "compute": Doubled.compute})
    with pytest.raises(DataNotAvailable, match=r"has no is_ready; .*did you forget depends_on"):
        context(place(), plugins=[forgetful]).make("7", "raw")


def test_a_class_that_cannot_compute_fails_only_when_it_must_make_something() -> None:
    stored_only = type("Raw", (Plugin,), {"dtype": ROW})
    here = place()
    with pytest.raises(DataNotAvailable, match=r"7-raw-.* data plugin Raw cannot make it"):
        context(here, plugins=[stored_only, Doubled]).make("7", "doubled")
    assert staged(here) == {}
    context(here).make("7", "raw")
    context(here, plugins=[stored_only, Doubled]).make("7", "doubled")

    assert kept(here) == {"raw", "doubled"}


def test_made_again_replaces_what_is_stored_unless_the_place_forbids() -> None:
    here, kept_for_ever = place(), place("for_ever", overwrite="never")
    ctx = context(here)
    ctx.make("7", "raw")
    first = ctx.get_metadata("7", "raw").write_id
    ctx.make("7", "raw", again=True)
    context(kept_for_ever).make("7", "raw")

    assert ctx.get_metadata("7", "raw").write_id != first
    assert ctx.get_array("7", "raw")["x"].tolist() == list(range(20))
    with pytest.raises(DataExistsError):
        context(kept_for_ever).make("7", "raw", again=True)


def test_data_that_appear_while_savers_are_opened_are_loaded_instead() -> None:
    class Late(DirectoryFrontend):
        asked = 0

        def _find(self, key: Any, match: Any) -> Any:
            self.asked += 1
            return [] if self.asked == 1 else super()._find(key, match)

    backend = MemoryBackend()
    context(DirectoryFrontend(backend, name="first")).make("7", "raw")
    Raw.made.clear()
    late = Late(backend, name="late")
    chunks = list(context(late).get_iter("7", "raw"))

    assert sum(chunk.n for chunk in chunks) == 20
    assert late.asked > 1
    assert Raw.made == []


def test_data_removed_while_they_are_loaded_are_made_anew() -> None:
    class Vanishing(MemoryBackend):
        vanishes = False

        def read(self, path: str) -> bytes:
            if self.vanishes and path[-1].isdigit():
                self.vanishes = False
                self.delete(path.split("/", maxsplit=1)[0])
            return super().read(path)

    backend = Vanishing()
    ctx = context(DirectoryFrontend(backend, name="here"))
    ctx.make("7", "raw")
    Raw.made.clear()
    backend.vanishes = True

    assert ctx.get_array("7", "raw", max_workers=1)["x"].tolist() == list(range(20))
    assert Raw.made == list(range(N_CHUNKS))
    assert ctx.is_stored("7", "raw")


def spoil(frontend: DirectoryFrontend, data_type: str, chunk_i: int = 0) -> None:
    backend = frontend.backends["main"]
    (key,) = (entry.name for entry in backend.list("") if f"-{data_type}-" in entry.name)
    (path,) = (
        f"{key}/{entry.name}"
        for entry in backend.list(key)
        if entry.name.endswith(f"{chunk_i:06d}")
    )
    backend.write(path, [b"x" + backend.read(path)[1:]])


@pytest.mark.parametrize("ask", ["get_array", "get_iter"])
def test_a_copy_that_cannot_be_loaded_is_reported_and_the_next_one_serves(
    ask: str, caplog: pytest.LogCaptureFixture
) -> None:
    near, far = place("near"), place("far")
    context(near, far).make("7", "raw")
    spoil(near, "raw")
    Raw.made.clear()
    with caplog.at_level(logging.WARNING, "strax_core"):
        got = getattr(context(near, far), ask)("7", "raw")
        rows = got if ask == "get_array" else np.concatenate([chunk.data for chunk in got])

    assert rows["x"].tolist() == list(range(20))
    assert Raw.made == []
    assert "near could not load" in caplog.text


def test_making_what_is_stored_reads_no_chunk() -> None:
    here = place()
    context(here).make("7", "raw")
    spoil(here, "raw")
    context(here).make("7", "raw")

    assert context(here).is_stored("7", "raw")


@pytest.mark.parametrize("ask", ["get_array", "get_iter"])
def test_if_no_copy_can_be_loaded_the_error_names_place_and_chunk(ask: str) -> None:
    near = place("near")
    context(near).make("7", "raw")
    spoil(near, "raw")

    with pytest.raises(DataCorrupted, match=r"run 7, raw, chunk 0"):
        list(getattr(context(near), ask)("7", "raw"))


def test_a_dependency_is_loaded_from_a_copy_that_can_be() -> None:
    near, far = place("near"), place("far")
    context(near, far).make("7", "raw")
    spoil(near, "raw")

    assert len(context(near, far).get_array("7", "doubled")) == 20


def test_made_rows_are_the_users_own() -> None:
    rows = context(place()).get_array("7", "raw")
    rows["x"] = 0

    assert rows.flags.owndata


def test_rows_that_are_still_to_be_kept_cannot_be_spoiled_by_who_iterates() -> None:
    for chunk in context(place()).get_iter("7", "raw"):
        with pytest.raises(ValueError, match="read-only"):
            chunk.data["x"] = 0


def test_small_buffers_change_nothing_but_memory() -> None:
    here = place()
    ctx = context(here, buffer_bytes=1)
    ctx.make("7", "both")

    assert ctx.get_array("7", "both")["sum"].tolist() == [2, 10, 18, 26, 34]


def test_a_source_may_fill_one_array_again_and_again() -> None:
    class Reusing(Plugin):
        provides = "reused"
        dtype = ROW

        def chunks(self) -> Iterator[Chunk]:
            rows = np.zeros(1, ROW)
            for i in range(5):
                rows["time"], rows["endtime"] = 100 * i + 1, 100 * i + 2
                yield self.chunk(start=100 * i, end=100 * i + 100, data=rows)

    ctx = Context([DirectoryFrontend(MemoryBackend(), name="here")], plugins=[Reusing])

    expected = [1, 101, 201, 301, 401]
    assert ctx.get_array("7", "reused")["time"].tolist() == expected
    assert ctx.get_array("7", "reused")["time"].tolist() == expected


def test_what_may_not_be_replaced_is_an_error_and_not_called_kept() -> None:
    backend = MemoryBackend()
    place = DirectoryFrontend(backend, name="here", overwrite="never")
    ctx = Context([place], plugins=[Raw])
    path = (
        f"{ctx.key_for('7', 'raw')}/{ctx.key_for('7', 'raw').name.partition('-')[2]}-metadata.json"
    )
    backend.write(path, [b"{"])

    with pytest.raises(DataExistsError, match="never"):
        ctx.make("7", "raw")
    assert backend.read(path) == b"{"
