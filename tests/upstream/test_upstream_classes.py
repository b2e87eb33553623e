"""Child plugins, several outputs and merging: one text, for the real strax and for us."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from twins import TIMES, Rows, our_context, rows_of, source, their_context

import strax_core
from strax_core.errors import ConfigError

WIDE = np.dtype([*TIMES.descr, ("area", "<f4"), ("both", "<i4")])
LONG = np.dtype([*TIMES.descr, ("width", "<i2"), ("both", "<i4")])


def plugin(package: ModuleType, name: str, *parents: type, **body: Any) -> Any:
    options = [package.Option(option.pop("name"), **option) for option in body.pop("takes", [])]
    body = {"depends_on": (), "provides": name.lower(), "dtype": TIMES, "data_kind": "x"} | body
    made = type(name, parents or (package.Plugin,), body)
    return package.takes_config(*options)(made) if options else made


def parent(package: ModuleType, **body: Any) -> Any:
    takes = [{"name": "gain", "default": 1.0}, {"name": "window", "default": 5}]
    takes += [{"name": "threads", "default": 2, "track": False}]
    return plugin(package, "Parent", takes=takes, __version__="0.3", **body)


def replacing(name: str, parent_option: str, default: Any, **more: Any) -> dict[str, Any]:
    child = {"child_option": True, "parent_option_name": parent_option}
    return {"name": name, "default": default} | child | more


def one_child_option(package: ModuleType) -> list[Any]:
    takes = [replacing("gain_child", "gain", 2.0)]
    return [plugin(package, "Child", parent(package), child_plugin=True, takes=takes)]


def another_version(package: ModuleType) -> list[Any]:
    child = plugin(package, "Child", parent(package), child_plugin=True, __version__="9.9")
    return [parent(package), child]


def untracked_options(package: ModuleType) -> list[Any]:
    takes = [replacing("gain_child", "gain", 2.0, track=False)]
    takes += [replacing("threads_child", "threads", 8), {"name": "own", "default": 1}]
    return [plugin(package, "Child", parent(package), child_plugin=True, takes=takes)]


def grandchild(package: ModuleType) -> list[Any]:
    takes = [replacing("gain_child", "gain", 2.0)]
    child = plugin(package, "Child", parent(package), child_plugin=True, takes=takes)
    takes = [replacing("gain_grandchild", "gain_child", 3.0)]
    return [plugin(package, "Grandchild", child, takes=takes)]  # child_plugin is inherited


def several_parents(package: ModuleType) -> list[Any]:
    other = plugin(package, "Other", __version__="0.8")
    takes = [replacing("window_child", "window", 7)]
    body = {"child_plugin": True, "takes": takes, "__version__": "1"}
    bases = (other, parent(package), package.Plugin)
    return [plugin(package, "Child", *bases, **body)]


def not_said_to_be_a_child(package: ModuleType) -> list[Any]:
    takes = [replacing("gain_child", "gain", 2.0)]
    return [plugin(package, "Child", parent(package), takes=takes)]


FAMILIES = (
    one_child_option,
    another_version,
    untracked_options,
    grandchild,
    several_parents,
    not_said_to_be_a_child,
)


@pytest.mark.parametrize("config", [{}, {"gain": 4.0, "threads": 3}, {"window": 6}])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_children_have_the_keys_and_the_options_that_strax_gives_them(
    upstream: ModuleType, tmp_path: Path, family: Any, config: dict[str, Any]
) -> None:
    theirs = their_context(upstream, tmp_path, *family(upstream), config=config)
    classes = family(strax_core)
    ours = our_context(tmp_path, *classes, config=config)
    name = classes[-1].provides

    assert str(ours.key_for("run_7", name)) == str(theirs.key_for("run_7", name))
    assert config_of(ours, classes[-1]) == dict(theirs.get_single_plugin("run_7", name).config)


def config_of(ctx: strax_core.Context, data_plugin: Any) -> dict[str, Any]:
    """What the data plugin's own methods see."""
    seen: list[dict[str, Any]] = []

    def chunks(self: Any) -> Any:
        seen.append(dict(self.config))
        yield self.chunk(start=0, end=1, data=np.zeros(0, TIMES))

    data_plugin.chunks = chunks
    ctx.get_array("run_7", data_plugin.provides)
    return seen[0]


def test_the_lineage_of_a_child_names_the_versions_of_its_parents(tmp_path: Path) -> None:
    ours = our_context(tmp_path, *several_parents(strax_core))

    parents = {"Other": "0.8", "Parent": "0.3", "Plugin": "0.0.0"}
    assert ours.lineage("run_7", "child").as_json() == {
        "child": ["Child", "1", {"gain": 1.0, "window_child": 7, **parents}]
    }


def test_a_value_set_for_a_child_is_seen_by_its_parents_methods(tmp_path: Path) -> None:
    (child,) = one_child_option(strax_core)

    seen = config_of(our_context(tmp_path, child, config={"gain_child": 5.0, "gain": 4.0}), child)
    assert seen == {"gain": 5.0, "gain_child": 5.0, "window": 5, "threads": 2}


def test_where_two_parents_have_options_strax_forgets_the_seconds_and_we_do_not(
    upstream: ModuleType, tmp_path: Path
) -> None:
    def both(package: ModuleType) -> Any:
        first = plugin(package, "First", takes=[{"name": "a", "default": 1}])
        second = plugin(package, "Second", takes=[{"name": "b", "default": 2}])
        return plugin(package, "Both", first, second)

    theirs = their_context(upstream, tmp_path, both(upstream)).key_for("run_7", "both").lineage
    ours = our_context(tmp_path, both(strax_core)).lineage("run_7", "both").as_json()
    assert theirs["both"][2] == {"a": 1}
    assert ours["both"][2] == {"a": 1, "b": 2}


def split_plugin(package: ModuleType, **body: Any) -> Any:
    """Two outputs of two kinds: the rows at even and at odd hundreds."""

    def compute(_: Any, things: Rows) -> dict[str, Any]:
        is_even = things["time"] % 200 == 0
        odd = things[~is_even]
        columns = {name: odd[name] for name in ("time", "endtime", "both")}
        return {"evens": things[is_even], "odds": columns | {"width": np.int16(7)}}

    return plugin(
        package,
        "Split",
        **{
            "provides": ("evens", "odds"),
            "depends_on": "things",
            "dtype": {"evens": WIDE, "odds": LONG},
            "data_kind": {"evens": "evens", "odds": "odds"},
            "save_when": package.SaveWhen.ALWAYS,
            "compressor": "zstd",
            "compute": compute,
        }
        | body,
    )


def pieces(dtype: np.dtype[Any]) -> list[Any]:
    return [
        (start, start + 1000, rows_of(dtype, range(start, start + 1000, 100), seed=start))
        for start in (0, 1000, 2000)
    ]


@pytest.mark.parametrize("strax_makes", [True, False])
def test_outputs_made_by_one_are_loaded_by_the_other(
    upstream: ModuleType, tmp_path: Path, *, strax_makes: bool
) -> None:
    def classes(package: ModuleType) -> list[type]:
        return [source(package, pieces(WIDE), dtype=WIDE), split_plugin(package)]

    theirs = their_context(upstream, tmp_path, *classes(upstream))
    ours = our_context(tmp_path, *classes(strax_core))
    maker, loader = (theirs, ours) if strax_makes else (ours, theirs)
    for name in ("evens", "odds"):
        maker.make("run_7", name)

    rows = np.concatenate([rows for _, _, rows in pieces(WIDE)])
    is_even = rows["time"] % 200 == 0
    assert loader.is_stored("run_7", "evens")
    assert loader.is_stored("run_7", "odds")
    assert loader.get_array("run_7", "evens").tolist() == rows[is_even].tolist()
    odds = loader.get_array("run_7", "odds")
    assert odds["both"].tolist() == rows[~is_even]["both"].tolist()
    assert set(odds["width"].tolist()) == {7}
    for name in ("evens", "odds"):
        metadata = loader.get_metadata("run_7", name)
        assert metadata["data_kind"] == name
        assert metadata["data_type"] == name


def test_a_class_that_takes_one_output_removes_the_others_as_in_strax(
    upstream: ModuleType, tmp_path: Path
) -> None:
    def classes(package: ModuleType) -> list[type]:
        first = source(package, pieces(WIDE), dtype=WIDE)
        user = plugin(package, "User", depends_on="evens")
        return [first, split_plugin(package), user, plugin(package, "Odds")]

    theirs = their_context(upstream, tmp_path, *classes(upstream))
    ours = our_context(tmp_path, *classes(strax_core))

    assert str(ours.key_for("run_7", "odds")) == str(theirs.key_for("run_7", "odds"))
    with pytest.raises(KeyError, match="No plugin class registered that provides evens"):
        theirs.key_for("run_7", "user")
    with pytest.raises(ConfigError, match=r"user depends on evens: .*evens' any more: Split did"):
        ours.key_for("run_7", "user")


def merging(package: ModuleType, *needed: str) -> list[type]:
    wide = source(package, pieces(WIDE), dtype=WIDE, name="Wide", data_kind="same")
    long = source(package, pieces(LONG), dtype=LONG, name="Long", data_kind="same")
    merge = {"provides": "merged", "depends_on": needed, "compressor": "zstd"}
    return [wide, long, type("Merged", (package.MergeOnlyPlugin,), merge)]


@pytest.mark.parametrize("needed", [("wide", "long"), ("long", "wide")])
def test_merged_columns_have_straxs_key_order_and_values(
    upstream: ModuleType, tmp_path: Path, needed: tuple[str, ...]
) -> None:
    theirs = their_context(upstream, tmp_path / "theirs", *merging(upstream, *needed))
    ours = our_context(tmp_path / "ours", *merging(strax_core, *needed))

    assert str(ours.key_for("run_7", "merged")) == str(theirs.key_for("run_7", "merged"))
    merged = theirs.get_array("run_7", "merged")
    assert np.array_equal(ours.get_array("run_7", "merged"), merged)
    assert merged.dtype.names == ("time", "endtime", "width", "both", "area")
    assert not ours.is_stored("run_7", "merged")
    ours.make("run_7", "merged", save="merged")
    assert ours.get_metadata("run_7", "merged").data_kind == "same"


def test_data_types_of_two_kinds_are_not_merged(tmp_path: Path) -> None:
    wide, long, merged = merging(strax_core, "wide", "long")
    other = type("Long", (long,), {"data_kind": "other"})

    with pytest.raises(ConfigError, match="Merged merges data types of one kind, not of same, oth"):
        our_context(tmp_path, wide, other, merged).get_array("run_7", "merged")


def test_an_option_of_strax_itself_is_refused_by_name(upstream: ModuleType, tmp_path: Path) -> None:
    option = upstream.Option("gain", default=1)

    def decorated_by_us() -> type:
        return strax_core.takes_config(option)(plugin(strax_core, "Mixed"))

    def decorated_by_strax() -> type:
        taken: type = upstream.takes_config(option)(plugin(strax_core, "Mixed"))
        return taken

    def as_an_attribute() -> Any:
        return plugin(strax_core, "Mixed", gain=upstream.Config(default=1))

    for made in (decorated_by_us, decorated_by_strax, as_an_attribute):
        with pytest.raises(ConfigError, match=r"'gain' comes from strax; .* from strax_core"):
            our_context(tmp_path, made())
