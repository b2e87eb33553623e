import importlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from places_in_memory import ROW, context, kept, no_thread_left, place, rows, staged

from strax_core.chunks.chunk import Chunk
from strax_core.data_plugins.option import Option
from strax_core.data_plugins.plugin import Plugin, SaveWhen
from strax_core.data_plugins.source_hash import source_hash
from strax_core.errors import ConfigError, DataNotAvailable, PluginGaveWrongOutput, StorageError

N_CHUNKS = 4
RAN: list[str] = []
Y = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("y", "<f8")])
Z = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("z", "<i4")])


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    RAN.clear()
    with no_thread_left():
        yield


class Raw(Plugin):
    dtype = ROW

    def chunks(self) -> Iterator[Chunk]:
        RAN.append("Raw")
        for i in range(N_CHUNKS):
            at = 100 * i
            data = rows((at, at + 10, 2 * i), (at + 50, at + 60, 2 * i + 1))
            yield self.chunk(start=at, end=at + 100, data=data)


RAW = rows(*((50 * i, 50 * i + 10, i) for i in range(2 * N_CHUNKS)))


def column_of(raw: np.ndarray, dtype: np.dtype, name: str, values: Any) -> np.ndarray:
    result = np.zeros(len(raw), dtype)
    result["time"], result["endtime"], result[name] = raw["time"], raw["endtime"], values
    return result


class Heights(Plugin):
    depends_on = "raw"
    dtype = Y

    def setup(self) -> None:
        RAN.append("Heights")

    def compute(self, raw: np.ndarray) -> np.ndarray:
        return column_of(raw, Y, "y", raw["x"] / 2)


class Widths(Plugin):
    depends_on = "raw"
    dtype = Z
    rechunk_on_save = False

    def setup(self) -> None:
        RAN.append("Widths")

    def compute(self, raw: np.ndarray) -> np.ndarray:
        return column_of(raw, Z, "z", raw["x"] ** 2)


class Tops(Plugin):
    """The two ends of a diamond meet here, in a kind of its own."""

    depends_on = ("heights", "widths")
    data_kind = "tops"
    dtype = ROW

    def setup(self) -> None:
        RAN.append("Tops")

    def compute(self, raw: np.ndarray) -> np.ndarray:
        found = raw[raw["z"] > 10]
        return column_of(found, ROW, "x", found["z"])


class Alike(Heights):
    """Says that its rows are those of raw, and drops one."""

    __version__ = "1"
    provides = "alike"

    def compute(self, raw: np.ndarray) -> np.ndarray:
        return super().compute(raw)[1:]


ALL = (Raw, Heights, Widths, Tops)


@pytest.mark.parametrize("stored", [(), ("heights",), ("widths",), ("heights", "widths")])
def test_targets_of_one_kind_are_merged_by_column_wherever_they_come_from(
    stored: tuple[str, ...],
) -> None:
    here = place()
    ctx = context(here, *ALL)
    for data_type in stored:
        ctx.make("7", data_type)
    merged = ctx.get_array("7", ["raw", "heights", "widths"])
    streamed = [c.data for c in ctx.get_iter("7", ("widths", "heights"))]

    assert set(merged.dtype.names or ()) == {"time", "endtime", "x", "y", "z"}
    assert merged["time"].tolist() == RAW["time"].tolist()
    assert merged["x"].tolist() == list(range(8))
    assert merged["y"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert merged["z"].tolist() == [0, 1, 4, 9, 16, 25, 36, 49]
    assert np.concatenate(streamed)["z"].tolist() == merged["z"].tolist()
    assert kept(here) == {"7-raw", "7-heights", "7-widths"}
    assert staged(here) == {}


def test_columns_and_conditions_reach_over_all_targets() -> None:
    ctx = context(place(), *ALL)
    for _ in range(2):
        found = ctx.get_array(
            "7", ["raw", "heights", "widths"], where="(z > 10) & (y < 3)", columns=["x", "y"]
        )

        assert found.tolist() == [(4, 2.0), (5, 2.5)]


@pytest.mark.parametrize("stored", [False, True])
def test_targets_of_one_kind_with_other_rows_are_refused_by_name(stored: bool) -> None:  # noqa: FBT001
    here = place()
    ctx = context(here, *ALL, Alike)
    if stored:
        ctx.make("7", ["alike", "heights"])
    with pytest.raises(StorageError, match=r"alike.*kind raw.*not have the same rows|same rows"):
        ctx.get_array("7", ["heights", "alike"])


@pytest.mark.parametrize("ask", ["get_array", "get_iter"])
@pytest.mark.parametrize("stored", [(), ("raw",), ("raw", "tops")])
def test_targets_of_different_kinds_are_refused_before_any_work(
    stored: tuple[str, ...], ask: str
) -> None:
    here = place()
    ctx = context(here, *ALL)
    for data_type in stored:
        ctx.make("7", data_type)
    before = kept(here)
    RAN.clear()
    with pytest.raises(ConfigError, match="raw is of the kind raw, tops is of the kind tops"):
        list(getattr(ctx, ask)("7", ["raw", "tops"]))

    assert (kept(here), staged(here), RAN) == (before, {}, [])


def test_a_column_that_does_not_exist_is_refused_before_any_work() -> None:
    here = place()
    ctx = context(here, *ALL)
    for wrong in ({"columns": "zz"}, {"drop_columns": ["zz"]}, {"where": "zz > 1"}):
        for ask in (ctx.get_array, ctx.get_iter, ctx.get_df, ctx.get_columns):
            with pytest.raises(ConfigError, match="zz"):
                list(ask("7", "widths", **wrong))  # type: ignore[operator]

    assert (kept(here), staged(here), RAN) == (set(), {}, [])


def test_several_targets_are_made_in_one_pass() -> None:
    here = place()
    ctx = context(here, *ALL)
    ctx.make("7", ["tops", "widths", "heights"])

    assert sorted(RAN) == ["Heights", "Raw", "Tops", "Widths"]
    assert kept(here) == {"7-raw", "7-heights", "7-widths", "7-tops"}
    assert ctx.get_array("7", "tops")["x"].tolist() == [16, 25, 36, 49]


def test_what_is_stored_already_is_not_made_again_unless_asked() -> None:
    here = place()
    ctx = context(here, *ALL)
    ctx.make("7", "widths")
    ids = {name: ctx.get_metadata("7", name).write_id for name in ("raw", "widths")}
    RAN.clear()
    ctx.make("7", ["heights", "widths"])
    assert RAN == ["Heights"]
    assert ctx.get_metadata("7", "widths").write_id == ids["widths"]

    RAN.clear()
    ctx.make("7", ["tops", "widths"], again=True)
    assert sorted(RAN) == ["Tops", "Widths"]
    assert ctx.get_metadata("7", "raw").write_id == ids["raw"]
    assert ctx.get_metadata("7", "widths").write_id != ids["widths"]
    assert ctx.get_array("7", "widths")["z"].tolist() == [0, 1, 4, 9, 16, 25, 36, 49]
    assert staged(here) == {}


def test_a_source_and_what_comes_of_it_can_both_be_made_again() -> None:
    ctx = context(place(), *ALL)
    ctx.make("7", "heights")
    RAN.clear()
    ctx.make("7", ["raw", "heights"], again=True)

    assert sorted(RAN) == ["Heights", "Raw"]


# Several outputs


class Split(Plugin):
    """Four outputs: always, on request, as a target, never kept."""

    provides = ("low", "high", "asked", "never")
    depends_on = "raw"
    dtype = dict.fromkeys(provides, ROW)
    data_kind = {name: name for name in provides}  # noqa: RUF012
    save_when = {  # noqa: RUF012
        "low": SaveWhen.ALWAYS,
        "high": SaveWhen.TARGET,
        "asked": SaveWhen.EXPLICIT,
        "never": SaveWhen.NEVER,
    }
    rechunk_on_save = {"low": True, "high": False, "asked": False, "never": False}  # noqa: RUF012

    def setup(self) -> None:
        RAN.append("Split")

    def compute(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        low, high = raw[raw["x"] < 4], raw[raw["x"] >= 4]
        return {"never": raw[:0], "high": high, "low": low, "asked": raw[::2]}


class AboveLow(Plugin):
    depends_on = ("low", "high")
    data_kind = "above"
    dtype = ROW

    def compute(self, low: np.ndarray, high: np.ndarray, start: int, end: int) -> Any:
        n = len(low) * 10 + len(high)
        return {"time": [start], "endtime": [end], "x": [n]}


@pytest.mark.parametrize(
    ("target", "save", "expected"),
    [
        ("low", (), {"low"}),
        ("high", (), {"low", "high"}),
        ("asked", (), {"low"}),
        ("asked", "asked", {"low", "asked"}),
        ("never", (), {"low"}),
        ("low", ("high", "asked"), {"low", "high", "asked"}),
        ("above_low", (), {"low", "above_low"}),
    ],
)
def test_each_output_is_kept_as_its_save_when_says(
    target: str, save: Any, expected: set[str]
) -> None:
    here = place()
    ctx = context(here, Raw, Split, AboveLow)
    ctx.get_array("7", target, save=save)

    assert kept(here) == {f"7-{name}" for name in expected | {"raw"}}
    assert RAN == ["Split", "Raw"]


def test_each_output_comes_back_as_it_was_made_with_its_own_chunks() -> None:
    here = place()
    ctx = context(here, Raw, Split)
    ctx.make("7", ["low", "high", "asked"], save="asked")
    RAN.clear()

    assert ctx.get_array("7", "low").tolist() == RAW[:4].tolist()
    assert ctx.get_array("7", "high").tolist() == RAW[4:].tolist()
    assert ctx.get_array("7", "asked").tolist() == RAW[::2].tolist()
    assert [len(ctx.get_metadata("7", name).chunks) for name in ("low", "high")] == [1, N_CHUNKS]
    assert RAN == []


def test_one_output_may_be_stored_and_another_be_made() -> None:
    here = place()
    ctx = context(here, Raw, Split, AboveLow)
    ctx.make("7", "low")
    low_id = ctx.get_metadata("7", "low").write_id
    RAN.clear()
    assert ctx.get_array("7", "above_low")["x"].sum() == 4 * 10 + 4
    assert RAN == ["Split"]
    assert "7-high" not in kept(here)

    RAN.clear()
    ctx.make("7", ["low", "high"])
    assert RAN == ["Split"]
    assert ctx.get_metadata("7", "low").write_id == low_id
    assert ctx.get_array("7", "high").tolist() == RAW[4:].tolist()


def test_asked_for_with_a_stored_output_the_other_is_made_at_once() -> None:
    """The stored one is not found out anew by a saver that is refused."""
    here = place()
    two = type("Two", (Split,), {"data_kind": dict.fromkeys(Split.provides, "raw")})
    ctx = context(here, Raw, two)
    ctx.make("7", "low")
    opened: list[str] = []
    saver = here.saver

    def noted(key: Any, *args: Any, **options: Any) -> Any:
        opened.append(key.data_type)
        return saver(key, *args, **options)

    here.saver = noted  # type: ignore[method-assign]
    ctx.make("7", "high")
    with pytest.raises(StorageError, match="same rows"):
        ctx.get_array("7", ["low", "asked"], save="asked")

    assert opened == ["low", "high", "asked"]


def test_what_is_never_saved_cannot_be_listed_in_save() -> None:
    here = place()
    with pytest.raises(ConfigError, match="never is never saved"):
        context(here, Raw, Split).get_array("7", "low", save="never")

    assert kept(here) == set()


def test_making_what_is_not_kept_says_so() -> None:
    here = place()
    ctx = context(here, Raw, Split)
    with pytest.warns(UserWarning, match=r"asked is made and not kept.*save="):
        ctx.make("7", "asked")
    with pytest.warns(UserWarning, match="never is made and not kept"):
        ctx.make("7", "never")


# Child plugins, kinds, borders


class TallerRaw(Raw):
    child_plugin = True
    __version__ = "0.1"
    provides = "taller"
    factor = Option(default=3)

    def chunks(self) -> Iterator[Chunk]:
        for chunk in super().chunks():
            data = chunk.data.copy()
            data["x"] *= self.factor
            yield self.chunk(start=chunk.start, end=chunk.end, data=data)


def test_a_child_plugin_is_made_beside_its_parent() -> None:
    here = place()
    ctx = context(here, Raw, TallerRaw)
    ctx.make("7", ["raw", "taller"])

    assert ctx.get_array("7", "raw")["x"].tolist() == list(range(8))
    assert ctx.get_array("7", "taller")["x"].tolist() == list(range(0, 24, 3))
    assert ctx.key_for("7", "raw").lineage_hash != ctx.key_for("7", "taller").lineage_hash


class Slow(Plugin):
    """Chunk borders that are never those of raw, but for the first and last."""

    dtype = ROW
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        data = rows(*((i, i + 1, i) for i in range(5, 400, 37)))
        borders = [0, 30, 175, 333, 334, 400]
        for start, end in itertools.pairwise(borders):
            inside = (data["time"] >= start) & (data["time"] < end)
            yield self.chunk(start=start, end=end, data=data[inside])


class Meeting(Plugin):
    """For each row of raw, how many of slow start while it lasts."""

    depends_on = ("raw", "heights", "slow")
    dtype = ROW

    def compute(self, raw: np.ndarray, slow: np.ndarray) -> np.ndarray:
        assert (raw["y"] * 2 == raw["x"]).all()
        result = column_of(raw, ROW, "x", 0)
        for row in result:
            row["x"] = np.sum((slow["time"] <= row["endtime"]) & (slow["time"] >= row["time"]))
        return result


@pytest.mark.parametrize("stored", [(), ("raw",), ("slow",), ("heights", "slow")])
def test_inputs_of_two_kinds_meet_though_their_chunks_do_not(stored: tuple[str, ...]) -> None:
    ctx = context(place(), Raw, Heights, Slow, Meeting)
    for data_type in stored:
        ctx.make("7", data_type)
    slow = np.arange(5, 400, 37)
    expected = [int(np.sum((slow >= at) & (slow <= at + 10))) for at in range(0, 400, 50)]

    assert ctx.get_array("7", "meeting")["x"].tolist() == expected


# What may not be made, and what is wrong


@pytest.mark.parametrize("forbidden", ["*", "raw", ("tops", "raw")])
def test_what_is_forbidden_is_loaded_but_never_made(forbidden: Any) -> None:
    here = place()
    strict = context(here, *ALL, forbid_creation_of=forbidden)
    for ask in (strict.get_array, strict.make):
        with pytest.raises(DataNotAvailable, match=r"7-raw-.*forbid_creation_of"):
            ask("7", "raw")
    assert (kept(here), staged(here), RAN) == (set(), {}, [])
    context(here, *ALL).make("7", "raw")

    assert strict.get_array("7", "raw").tolist() == RAW.tolist()
    if forbidden != "*":
        assert len(strict.get_array("7", "heights")) == 8


def wrong_answer(kind: str, good: np.ndarray) -> np.ndarray:
    if kind == "another dtype":
        return good.astype([("time", "<i8"), ("endtime", "<i8"), ("x", "<f8")])
    if kind == "unsorted":
        return good[::-1]
    if kind == "outside":
        bad = good.copy()
        bad["endtime"][-1] = 10**6
        return bad
    return list(good)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["another dtype", "unsorted", "outside", "no array"])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("ask", ["get_array", "make"])
def test_what_a_data_plugin_may_not_give_names_it_and_is_not_stored(
    kind: str,
    several: bool,  # noqa: FBT001
    ask: str,
) -> None:
    def compute(_: Plugin, raw: np.ndarray) -> Any:
        answer = wrong_answer(kind, raw) if raw["x"][0] >= 4 else raw
        return {"first": raw, "second": answer} if several else answer

    names = ("first", "second") if several else ("second",)
    dtypes = dict.fromkeys(names, ROW) if several else ROW
    kinds = dict.fromkeys(names, "raw")
    body = {"provides": names, "depends_on": "raw", "dtype": dtypes, "data_kind": kinds}
    here = place()
    ctx = context(here, Raw, type("Broken", (Plugin,), {**body, "compute": compute}))
    with pytest.raises(PluginGaveWrongOutput, match=r"Broken \((first, )?second of run 7\)"):
        getattr(ctx, ask)("7", "second")

    assert kept(here) == set()
    assert set(staged(here)) == {"7-raw", *(f"7-{name}" for name in names)}
    for notes in staged(here).values():
        assert len(notes) == 1
        assert "PluginGaveWrongOutput" in notes[0]


# Classes of one name


def peaks_in(module: str, body: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> type[Plugin]:
    """Return a class Peaks of a module that is written and imported just now."""
    (folder / f"{module}.py").write_text(
        f"""
from strax_core import Plugin
class Peaks(Plugin):
    depends_on = "raw"
    dtype = [("time", "i8"), ("endtime", "i8"), ("x", "i8")]
    def compute(self, raw):
        {body}
"""
    )
    monkeypatch.syspath_prepend(folder)
    made: type[Plugin] = importlib.import_module(module).Peaks
    return made


def test_a_namesake_in_another_module_that_made_the_data_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place()
    first = peaks_in("first_analysis", "return raw", tmp_path, monkeypatch)
    second = peaks_in("second_analysis", "return raw[:1]", tmp_path, monkeypatch)
    context(here, Raw, first).make("7", "peaks")

    with pytest.warns(
        UserWarning,
        match=r"made by first_analysis.Peaks, here peaks is made by second_analysis.Peaks.*"
        "another __version__",
    ) as caught:
        context(here, Raw, second).get_array("7", "peaks")
    assert len(caught) == 1


def test_the_same_class_elsewhere_or_defined_anew_is_not_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place()
    first = peaks_in("first_place", "return raw", tmp_path, monkeypatch)
    moved = peaks_in("second_place", "return raw", tmp_path, monkeypatch)
    context(here, Raw, first).make("7", "peaks")
    assert len(context(here, Raw, moved).get_array("7", "peaks")) == 8


def test_a_class_that_is_edited_and_run_again_is_not_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cell of a notebook: the same module, the same name, another source."""
    here = place()
    first = peaks_in("notebook", "return raw", tmp_path, monkeypatch)
    context(here, Raw, first).make("7", "peaks")
    path = tmp_path / "notebook.py"
    path.write_text(path.read_text() + "        # the same, with a comment\n")
    edited = importlib.reload(importlib.import_module("notebook")).Peaks

    assert source_hash(edited) != source_hash(first)
    assert len(context(here, Raw, edited).get_array("7", "peaks")) == 8


class Pair(Plugin):
    provides = ("heights", "areas")
    depends_on = "raw"
    dtype: Any = MappingProxyType({"heights": Y, "areas": Z})
    data_kind: Any = MappingProxyType({"heights": "heights", "areas": "areas"})

    def compute(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "heights": column_of(raw, Y, "y", raw["x"] / 2),
            "areas": column_of(raw, Z, "z", raw["x"]),
        }


def test_what_is_forbidden_is_not_kept_when_it_comes_along_with_what_is_wanted() -> None:
    here = place()
    ctx = context(here, Raw, Pair, forbid_creation_of="areas")

    ctx.make("7", "heights")

    assert kept(here) == {"7-raw", "7-heights"}


def test_a_misspelt_name_does_not_forbid_nothing() -> None:
    with pytest.raises(ConfigError, match="did you mean 'raw'"):
        context(place(), Raw, forbid_creation_of=["rwa"]).get_array("7", "raw")


@pytest.mark.parametrize("name", [["raw"], 5, None])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    ctx = context(place(), Raw)
    for ask in (ctx.get_array, ctx.make, ctx.is_stored):
        with pytest.raises(ConfigError, match="targets is"):
            ask("7", [name])
    with pytest.raises(ConfigError, match="save is"):
        ctx.make("7", "raw", save=[name])


def test_threads_that_were_shut_down_are_refused_before_any_work() -> None:
    here = place()
    threads = ThreadPoolExecutor(1)
    threads.shutdown()

    for _ in ("to be made", "to be loaded"):
        with pytest.raises(ConfigError, match="takes no tasks"):
            context(here, Raw).get_array("7", "raw", executor=threads)
        assert RAN == []
        context(here, Raw).make("7", "raw")
        RAN.clear()
