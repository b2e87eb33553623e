import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.context.context import Context
from strax_core.data_plugins.option import Option
from strax_core.data_plugins.plugin import Plugin, SaveWhen
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ReadOnlyError,
    StorageUnavailable,
)
from strax_core.frontend.directory import DirectoryFrontend

SPAN = [("time", "<i8"), ("endtime", "<i8"), ("x", "<f8")]


class Records(Plugin):
    dtype = SPAN
    offset = Option(default=0.0, type=float)

    def chunks(self) -> Iterator[Chunk]:
        for i in range(3):
            rows = np.zeros(2, SPAN)
            rows["time"] = rows["endtime"] = 10 * i
            rows["x"] = i + self.offset
            yield self.chunk(start=10 * i, end=10 * i + 10, data=rows)


class Peaks(Plugin):
    depends_on = "records"
    dtype = SPAN
    gain = Option(default=1.0, type=float)

    def compute(self, records: np.ndarray) -> np.ndarray:
        rows = records.copy()
        rows["x"] *= self.gain
        return rows


def place(name: str = "here", **options: Any) -> DirectoryFrontend:
    return DirectoryFrontend(MemoryBackend(), name=name, **options)


def context(*places: DirectoryFrontend, **options: Any) -> Context:
    return Context(storage=list(places), plugins=[Records, Peaks], **options)


def test_setting_an_option_changes_only_the_keys_of_what_depends_on_it() -> None:
    ctx = context()
    before = [ctx.key_for("7", data_type) for data_type in ("records", "peaks")]
    ctx.set_config({"gain": 2.0})
    after = [ctx.key_for("7", data_type) for data_type in ("records", "peaks")]

    assert before[0] == after[0]
    assert before[1] != after[1]
    assert ctx.config == {"gain": 2.0}
    assert ctx.lineage("7", "peaks")["peaks"] == ("Peaks", "0.0.0", {"gain": 2.0})


def test_registering_replaces_and_changes_the_keys_at_once() -> None:
    ctx = context()
    before = ctx.key_for("7", "peaks")
    ctx.register(type("Peaks", (Peaks,), {"__version__": "9"}))

    assert ctx.key_for("7", "peaks") != before
    assert ctx.lineage("7", "peaks")["peaks"][1] == "9"


def test_registering_nonsense_adds_nothing() -> None:
    ctx = context()
    with pytest.raises(ConfigError):
        ctx.register(type("Events", (Plugin,), {}), int)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="makes 'events'"):
        ctx.key_for("7", "events")


def test_a_misspelt_option_is_refused_when_a_key_is_made() -> None:
    ctx = context(config={"gian": 2.0})

    for ask in (ctx.key_for, ctx.is_stored, ctx.make, ctx.get_iter, ctx.get_array):
        with pytest.raises(ConfigError, match="did you mean 'gain'"):
            ask("7", "peaks")


def test_a_new_context_has_more_and_leaves_the_old_one() -> None:
    old = context(place("a"), config={"gain": 2.0})
    events = type("Events", (Plugin,), {"dtype": SPAN, "depends_on": "peaks"})
    new = old.new_context(place("b"), events, {"offset": 1.0}, use_per_run_defaults=True)  # type: ignore[arg-type]

    assert [frontend.name for frontend in new.storage] == ["a", "b"]
    assert new.config == {"gain": 2.0, "offset": 1.0}
    assert new.key_for("7", "events").data_type == "events"
    assert [frontend.name for frontend in old.storage] == ["a"]
    assert old.config == {"gain": 2.0}
    with pytest.raises(ConfigError):
        old.key_for("7", "events")


def test_names_of_places_are_unique() -> None:
    with pytest.raises(ConfigError, match="two places are called 'a'"):
        context(place("a"), place("a"))


def test_find_says_where_and_what_is_nowhere_is_not_available() -> None:
    ctx = context(place("near", readonly=True), place("far"))
    with pytest.raises(DataNotAvailable):
        ctx.find("7", "peaks")
    assert not ctx.is_stored("7", "peaks")
    ctx.make("7", "peaks")

    assert ctx.find("7", "peaks").place == "far"
    assert ctx.is_stored("7", "peaks")
    assert ctx.get_metadata("7", "peaks")["run_id"] == "7"
    assert ctx.get_metadata("7", "peaks").lineage == ctx.lineage("7", "peaks")


def test_several_runs_and_targets_are_made_and_what_is_stored_is_left() -> None:
    ctx = context(place())
    ctx.make(["1", "2"], ["records", "peaks"])
    ids = [ctx.get_metadata(run, "peaks").write_id for run in ("1", "2")]
    ctx.make(("1", "2"), "peaks")

    assert [ctx.get_metadata(run, "peaks").write_id for run in ("1", "2")] == ids
    assert ctx.get_array("2", "peaks")["x"].tolist() == [0, 0, 1, 1, 2, 2]


def test_bad_names_raise_before_anything_is_iterated() -> None:
    ctx = context(place())

    for run_id in ("../x", "a/b", "a-b", 7):
        with pytest.raises(ConfigError):
            ctx.get_iter(run_id, "peaks")  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            ctx.make(run_id, "peaks")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="did you mean 'peaks'"):
        ctx.get_iter("7", "peeks")
    with pytest.raises(ConfigError, match="did you mean 'peaks'"):
        ctx.make("7", "records", save=("peeks",))
    with pytest.raises(ConfigError, match="give each data type once"):
        ctx.get_array("7", ["peaks", "peaks"])
    with pytest.raises(ConfigError, match="give one run, or several, each once"):
        ctx.get_array([], "peaks")


def test_data_without_rows_come_back_without_rows() -> None:
    class Nothing(Records):
        provides = "records"

        def chunks(self) -> Iterator[Chunk]:
            yield self.chunk(start=0, end=10, data=np.zeros(0, SPAN))

    here = place()
    ctx = Context([here], plugins=[Nothing, Peaks])

    for _ in range(2):
        rows = ctx.get_array("7", "peaks")
        assert (len(rows), rows.dtype) == (0, np.dtype(SPAN))


@pytest.mark.parametrize("backend_class", [MemoryBackend, ConditionalMemoryBackend])
def test_eight_threads_that_make_one_key_all_succeed_and_leave_one_copy(
    backend_class: type[MemoryBackend],
) -> None:
    backend = backend_class()
    ctx = Context([DirectoryFrontend(backend, name="here")], plugins=[Records, Peaks])
    together = threading.Barrier(8)

    def make(i: int) -> list[float]:
        together.wait()
        if i % 2:
            ctx.make("7", "peaks", max_workers=1)
        return list(ctx.get_array("7", "peaks", max_workers=1)["x"])

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(make, range(8)))

    assert results == [[0, 0, 1, 1, 2, 2]] * 8
    names = {entry.name for entry in backend.list("")} - {".staging"}
    assert names == {ctx.key_for("7", data_type).name for data_type in ("records", "peaks")}
    assert list(backend.list(".staging")) == []
    for name in names:
        backend.verify(name)


def test_changing_a_context_while_it_makes_keeps_key_and_rows_together() -> None:
    ctx = context(place())
    chunks = ctx.get_iter("7", "peaks")
    first = next(chunks)
    ctx.set_config({"gain": 100.0})
    rest = list(chunks)

    assert np.concatenate([chunk.data["x"] for chunk in (first, *rest)]).max() == 2
    assert not ctx.is_stored("7", "peaks")
    ctx.set_config({"gain": 1.0})
    assert ctx.is_stored("7", "peaks")


def test_a_run_document_that_cannot_be_read_hides_no_other() -> None:
    backend = MemoryBackend()
    ctx = context(DirectoryFrontend(backend, name="here"))
    ctx.write_run_metadata("7", {"mode": "test"})
    backend.write("8-metadata.json", [b"{"])
    ctx.write_run_metadata("9", {"mode": "other"})

    assert [document["name"] for document in ctx.scan_runs()] == ["7", "9"]


def test_what_wrote_a_piece_of_data_stands_in_its_metadata() -> None:
    ctx = context(place())
    ctx.make("7", "peaks")
    writer = ctx.get_metadata("7", "peaks")["writer"]

    assert writer["storage"] == "strax_core:MemoryBackend"
    assert writer["data_plugin_module"] == __name__
    assert len(writer["data_plugin_source"]) == 10


def test_a_run_document_is_written_read_and_listed() -> None:
    ctx = context(place("closed", readonly=True), place("open"))
    ctx.write_run_metadata("7", {"mode": "test", "reader": {"n": 3}})

    assert ctx.run_metadata("7", "reader.n") == {"reader.n": 3}
    assert list(ctx.scan_runs("mode")) == [{"mode": "test"}]
    with pytest.raises(ReadOnlyError):
        context(place(readonly=True)).write_run_metadata("7", {})


def calibrated(*places: DirectoryFrontend, **options: Any) -> Context:
    return context(*places, use_per_run_defaults=True, **options)


def test_a_calibration_changes_its_runs_key_and_rows_and_no_others() -> None:
    here = place()
    ctx = calibrated(here)
    before = {run: ctx.key_for(run, "peaks") for run in ("7", "8")}
    ctx.write_run_metadata("7", {"strax_defaults": {"gain": 3.0, "for_others": 1}})

    assert ctx.key_for("7", "peaks") != before["7"]
    assert ctx.key_for("8", "peaks") == before["8"]
    assert ctx.key_for("7", "peaks").lineage == context(config={"gain": 3.0}).lineage("7", "peaks")
    assert ctx.get_array("7", "peaks")["x"].max() == 6
    assert ctx.get_array("8", "peaks")["x"].max() == 2
    assert context(here).key_for("7", "peaks") == before["7"]
    assert ctx.is_stored("7", "peaks")


def test_config_wins_over_a_calibration() -> None:
    ctx = calibrated(place(), config={"gain": 5.0})
    ctx.write_run_metadata("7", {"strax_defaults": {"gain": 3.0}})

    assert ctx.get_array("7", "peaks")["x"].max() == 10


def test_a_calibration_of_the_wrong_type_is_an_error() -> None:
    ctx = calibrated(place())
    ctx.write_run_metadata("7", {"strax_defaults": {"gain": "high"}})
    ctx.write_run_metadata("8", {"strax_defaults": 3})

    with pytest.raises(ConfigError, match="'gain' of data plugin Peaks is 'high'"):
        ctx.key_for("7", "peaks")
    with pytest.raises(ConfigError, match="strax_defaults of run 8"):
        ctx.key_for("8", "peaks")


def test_the_first_place_with_a_run_document_gives_the_calibration() -> None:
    first, second = place("first"), place("second")
    second.write_run_metadata("7", {"strax_defaults": {"gain": 2.0}})
    ctx = calibrated(first, second)
    assert ctx.lineage("7", "peaks")["peaks"][2] == {"gain": 2.0}
    first.write_run_metadata("7", {"strax_defaults": {"gain": 4.0}})

    assert ctx.lineage("7", "peaks")["peaks"][2] == {"gain": 4.0}


def test_a_calibration_that_cannot_be_read_is_an_error_not_no_calibration() -> None:
    class Down(DirectoryFrontend):
        def _run_metadata(self, run_id: str) -> Mapping[str, Any]:  # noqa: ARG002
            raise StorageUnavailable("database down")

    good = place("good")
    good.write_run_metadata("7", {"strax_defaults": {"gain": 2.0}})
    with pytest.raises(StorageUnavailable, match="database down"):
        calibrated(Down(MemoryBackend(), name="down"), good).key_for("7", "peaks")
    garbled = MemoryBackend()
    garbled.write("7-metadata.json", [b"{"])
    with pytest.raises(DataCorrupted):
        calibrated(DirectoryFrontend(garbled, name="garbled")).make("7", "peaks")
    assert context(DirectoryFrontend(garbled, name="garbled")).key_for("7", "peaks")


def test_a_place_is_cleaned_by_name_unless_it_is_readonly() -> None:
    here = place()
    ctx = context(here, place("closed", readonly=True))
    breaking = type("Peaks", (Peaks,), {"compute": lambda *_, **__: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        Context([here], plugins=[Records, breaking]).make("7", "peaks")

    assert len(ctx.clean("here", grace_s=0)) == 2
    assert len(ctx.clean("here", grace_s=0, dry_run=False)) == 2
    assert ctx.clean("here", grace_s=0) == []
    with pytest.raises(ReadOnlyError):
        ctx.clean("closed")
    with pytest.raises(ConfigError, match="did you mean 'here'"):
        ctx.clean("hree")


def test_the_users_threads_are_used_and_left_running() -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        ctx = context(place())
        ctx.make("7", "peaks", executor=pool)
        assert len(ctx.get_array("7", "peaks", executor=pool)) == 6
        assert pool.submit(int).result() == 0


def test_an_executor_or_number_of_threads_that_cannot_be_is_refused() -> None:
    ctx = context(place())

    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match="max_workers"):
            ctx.make("7", "peaks", max_workers=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="executor is a int"):
        ctx.make("7", "peaks", executor=2)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="buffer_bytes"):
        context(buffer_bytes=0)


def test_a_context_opens_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strax.toml").write_text(
        """
        [storage.near]
        frontend = "memory"
        place = "test_context_near"
        [context.analysis]
        storage = ["near", "memory://test_context_far"]
        plugins = ["analysis_of_test"]
        use_per_run_defaults = true
        buffer_bytes = 1000
        [context.analysis.config]
        gain = 2.5
        """
    )
    (tmp_path / "analysis_of_test.py").write_text(
        """
from strax_core import Option, Plugin
SPAN = [("time", "i8"), ("endtime", "i8")]
class Peaks(Plugin):
    dtype = SPAN
    gain = Option(default=1.0)
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    ctx = Context.from_config("analysis", path=tmp_path / "strax.toml")

    assert [frontend.name for frontend in ctx.storage] == ["near", "memory://test_context_far"]
    assert ctx.lineage("7", "peaks")["peaks"] == ("Peaks", "0.0.0", {"gain": 2.5})
    ctx.write_run_metadata("8", {"strax_defaults": {"gain": 9.0}})
    assert ctx.lineage("8", "peaks")["peaks"][2] == {"gain": 2.5}
    with pytest.raises(ConfigError, match="did you mean 'analysis'"):
        Context.from_config("analsis", path=tmp_path / "strax.toml")


def test_save_lists_what_is_kept_only_when_asked() -> None:
    explicit = type("Peaks", (Peaks,), {"save_when": SaveWhen.EXPLICIT})
    ctx = Context([place()], plugins=[Records, explicit])
    ctx.get_array("7", "peaks")
    assert not ctx.is_stored("7", "peaks")
    list(ctx.get_iter("7", "peaks", save="peaks"))

    assert ctx.is_stored("7", "peaks")


def test_what_goes_with_one_data_type_takes_no_list() -> None:
    ctx = Context([], [Records, Peaks])
    for ask in (ctx.find, ctx.get_metadata, ctx.explain, ctx.verify, ctx.key_for, ctx.lineage):
        with pytest.raises(ConfigError, match=r"\['peaks'\]; give the name of one data type"):
            ask("7", ["peaks"])  # type: ignore[arg-type]


def test_an_unknown_condition_to_select_runs_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no condition 'include_tag' .*'include_tags'"):
        Context([]).select_runs(include_tag="good")
