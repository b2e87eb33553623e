import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from strax_core.data_plugins.check_class import check_data_plugin
from strax_core.data_plugins.option import Option, options_of, takes_config
from strax_core.data_plugins.plugin import (
    Plugin,
    SaveWhen,
    dependencies,
    missing_methods,
    prepared,
    provided,
)
from strax_core.data_plugins.registered import DataPlugins, data_plugins_in
from strax_core.errors import ConfigError

SPAN = [("time", "<i8"), ("endtime", "<i8")]


class Records(Plugin):
    dtype = SPAN
    gain = Option(type=float, default=1.0)
    threads = Option(default=2, track=False)


class Peaks(Plugin):
    depends_on = "records"
    dtype = SPAN
    __version__ = "0.2.0"
    gain = Option(type=float, default=1.0)
    options = (Option("window", default=(1, 2)),)


def made(data_plugin: type[Plugin], **config: Any) -> Plugin:
    return instances_of(data_plugin, **config)[data_plugin]


def instances_of(*data_plugins: type[Plugin], **config: Any) -> dict[type[Plugin], Plugin]:
    return DataPlugins(data_plugins, config).instances(
        provided(data_plugins[-1]), run_id="7", defaults={}
    )


@pytest.mark.parametrize(
    ("name", "data_type"),
    [
        ("Peaks", "peaks"),
        ("RawRecords", "raw_records"),
        ("XYPeaks", "xy_peaks"),
        ("S2Fit", "s2_fit"),
    ],
)
def test_a_class_without_provides_makes_its_own_name_as_strax_spells_it(
    name: str, data_type: str
) -> None:
    assert provided(type(name, (Plugin,), {})) == (data_type,)


def test_a_tree_of_data_plugins_has_the_lineage_of_all_that_takes_part() -> None:
    lineage = DataPlugins([Records, Peaks], {"gain": 2.0}).lineage("peaks", {})

    assert lineage.as_json() == {
        "peaks": ["Peaks", "0.2.0", {"gain": 2.0, "window": [1, 2]}],
        "records": ["Records", "0.0.0", {"gain": 2.0}],
    }


def test_an_untracked_option_is_used_but_stands_in_no_lineage() -> None:
    assert made(Records, threads=8).config["threads"] == 8
    keys = {DataPlugins([Records], {"threads": n}).lineage("records", {}).hash for n in (1, 8)}
    assert len(keys) == 1


def test_options_are_the_same_however_they_are_given() -> None:
    class AsAttribute(Plugin):
        provides, dtype = "x", SPAN
        gain = Option(default=1)

    class InTuple(Plugin):
        provides, dtype = "x", SPAN
        options = (Option("gain", default=1),)

    @takes_config(Option("gain", default=1))
    class Decorated(Plugin):
        provides, dtype = "x", SPAN

    for data_plugin in (AsAttribute, InTuple, Decorated):
        instance: Any = made(data_plugin, gain=3)

        assert instance.gain == instance.config["gain"] == 3
        assert list(options_of(data_plugin)) == ["gain"]


def test_classes_of_a_family_inherit_options_and_may_give_others() -> None:
    @takes_config(Option("a", default=1), Option("b", default=1))
    class Parent(Plugin):
        c = Option(default=1)

    @takes_config(Option("b", default=2))
    class Child(Parent):
        c = Option(default=2)

    class Sibling(Parent):
        options = (Option("d", default=3),)

    defaults = {name: option.default for name, option in options_of(Child).items()}
    assert defaults == {"a": 1, "b": 2, "c": 2}
    assert set(options_of(Sibling)) == {"a", "b", "c", "d"}
    assert set(options_of(Parent)) == {"a", "b", "c"}


def test_config_wins_over_the_runs_defaults_which_win_over_the_options() -> None:
    option = Option("gain", default=1)

    assert option.value({"gain": 3}, {"gain": 2}, who="x") == 3
    assert option.value({}, {"gain": 2}, who="x") == 2
    assert option.value({}, {}, who="x") == 1
    assert option.value({"gain": None}, {"gain": 2}, who="x") is None


def test_a_default_factory_makes_the_default() -> None:
    assert Option("x", default_factory=list).value({}, {}, who="x") == []
    with pytest.raises(ConfigError, match="both"):
        Option("x", default=1, default_factory=list)


def test_a_missing_value_names_the_option_the_data_plugin_and_the_help() -> None:
    class Needy(Plugin):
        gain = Option(help="from the calibration")

    with pytest.raises(ConfigError, match=r"Needy needs the option 'gain' \(from the calibration"):
        DataPlugins([Needy]).lineage("needy", {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, np.int64(3)),
        (float, 3),
        (float, np.float32(3)),
        (tuple, [1, 2]),
        ((int, str), "x"),
        (bool, True),
    ],
)
def test_values_of_the_right_type_are_taken(kind: Any, value: Any) -> None:
    taken = Option("x", type=kind).value({"x": value}, {}, who="x")

    assert taken == (tuple(value) if kind is tuple else value)


@pytest.mark.parametrize(
    ("kind", "value"), [(int, 1.5), (int, True), (float, "1"), (float, None), (list, "ab")]
)
def test_values_of_another_type_are_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"option 'x' of data plugin P is .*must be of type"):
        Option("x", type=kind).value({"x": value}, {}, who="data plugin P")


def test_none_is_taken_where_it_is_the_default() -> None:
    assert Option("x", type=int, default=None).value({"x": None}, {}, who="x") is None


def test_a_misspelt_option_is_refused_with_the_likely_name() -> None:
    with pytest.raises(ConfigError, match=r"the option 'gian' .did you mean 'gain'"):
        DataPlugins([Records], {"gian": 1.0}).lineage("records", {})


def test_one_option_has_one_default() -> None:
    class Other(Plugin):
        gain = Option(default=2.0)

    with pytest.raises(
        ConfigError, match=r"'gain' has the default 1.0 in Records and 2.0 in Other"
    ):
        DataPlugins([Records, Other])
    assert DataPlugins([Other]).with_registered([type("Other", (Plugin,), {"gain": Option()})])


@pytest.mark.parametrize("default", [math.nan, np.arange(3), [1, {"a": 2}]])
def test_equal_defaults_are_the_same_also_if_they_compare_badly(default: Any) -> None:
    class A(Plugin):
        x = Option(default=default)

    class B(Plugin):
        x = Option(default=default.copy() if isinstance(default, np.ndarray) else default)

    assert DataPlugins([A, B]).classes == [A, B]


def test_an_option_that_a_plain_attribute_covers_is_refused() -> None:
    class Covered(Records):
        gain = 5.0

    class Clash(Plugin):
        compressor = Option(default="zstd")

    for data_plugin in (Covered, Clash):
        with pytest.raises(ConfigError, match="is an option in one class"):
            check_data_plugin(data_plugin)


def test_changing_a_value_in_place_changes_no_key() -> None:
    window = [1, 2]
    plugins = DataPlugins([Records, Peaks], {"window": window})
    before = plugins.lineage("peaks", {}).hash
    window.append(3)
    instance = plugins.instances("peaks", run_id="7", defaults={})[Peaks]
    instance.config["window"].append(4)
    plugins.config["window"].append(5)

    assert plugins.with_config({}).lineage("peaks", {}).hash == before
    assert plugins.values("peaks", {})["window"] == [1, 2]


def test_values_that_cannot_be_copied_are_shared() -> None:
    lock = threading.Lock()

    class Locked(Plugin):
        dtype = SPAN
        client = Option(track=False)

    assert made(Locked, client={"lock": lock}).config["client"]["lock"] is lock


def test_an_unknown_data_type_or_dependency_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"makes 'peeks' .did you mean 'peaks'"):
        DataPlugins([Records, Peaks]).lineage("peeks", {})
    with pytest.raises(ConfigError, match="peaks depends on records: no registered"):
        DataPlugins([Peaks]).lineage("peaks", {})


def test_data_types_that_depend_on_each_other_are_refused() -> None:
    a = type("A", (Plugin,), {"depends_on": ("b",)})
    b = type("B", (Plugin,), {"depends_on": ("a",)})

    with pytest.raises(ConfigError, match="a -> b -> a"):
        DataPlugins([a, b]).closure("a")


def test_dependencies_come_first_and_many_diamonds_take_no_time() -> None:
    classes = [
        type("T0", (Plugin,), {"provides": "t0_a"}),
        type("T1", (Plugin,), {"provides": "t0_b"}),
    ]
    for i in range(1, 40):
        needed = (f"t{i - 1}_a", f"t{i - 1}_b")
        classes += [
            type(f"T{i}{side}", (Plugin,), {"provides": f"t{i}_{side}", "depends_on": needed})
            for side in "ab"
        ]

    assert list(DataPlugins(classes).closure("t39_a"))[-3:] == ["t38_a", "t38_b", "t39_a"]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"provides": "a-b"}, "a-b"),
        ({"__version__": 1}, "__version__"),
        ({"depends_on": ("x", "x")}, "twice"),
        ({"depends_on": (1,)}, "type int"),
        ({"save_when": 7}, "save_when"),
        ({"chunk_target_size_mb": 0}, "chunk_target_size_mb"),
        ({"data_kind": {"a": "b"}}, "data_kind"),
        ({"options": (Option(),)}, "Option with a name"),
        ({"options": Option("x")}, "tuple"),
        ({"options": ("gain",)}, "Option with a name"),
    ],
)
def test_a_class_that_could_only_fail_later_is_refused(
    attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_data_plugin(type("Wrong", (Plugin,), attributes))


def test_what_is_no_data_plugin_is_refused() -> None:
    for wrong in (3, int, Records()):
        with pytest.raises(ConfigError):
            check_data_plugin(wrong)


def test_a_sort_of_strax_that_is_not_served_is_refused_by_name() -> None:
    loop = type("LoopPlugin", (), {"__module__": "strax.plugins.loop_plugin"})

    with pytest.raises(ConfigError, match="Mine: LoopPlugin of strax is not served"):
        check_data_plugin(type("Mine", (loop,), {}))


@pytest.mark.parametrize("dtype", ["nonsense", [("time", "<i4"), ("endtime", "<i8")], "<i8"])
def test_a_dtype_that_rows_cannot_have_is_refused(dtype: Any) -> None:
    with pytest.raises(ConfigError, match="Wrong"):
        made(type("Wrong", (Plugin,), {"dtype": dtype}))


def test_infer_dtype_knows_options_and_dependencies() -> None:
    class Inferred(Plugin):
        depends_on = ("records",)
        n = Option(default=3)

        def infer_dtype(self) -> Any:
            return [*self.deps["records"].dtype.descr, ("x", "<f4", (self.n,))]

    instances = instances_of(Records, Inferred)

    assert instances[Inferred].dtype == np.dtype([*SPAN, ("x", "<f4", (3,))])
    with pytest.raises(NotImplementedError, match="Bare must set dtype, or override infer_dtype"):
        made(type("Bare", (Plugin,), {}))


def test_the_kind_is_that_of_the_first_dependency_unless_it_is_set() -> None:
    class Waves(Plugin):
        data_kind, dtype = "pulses", SPAN

    class Named(Plugin):
        depends_on, data_kind, dtype = ("waves",), "others", SPAN

    class Features(Plugin):
        depends_on, dtype = ("waves", "named"), SPAN

    instances = instances_of(Waves, Named, Features)

    kinds = {made_by: instance.data_kind for made_by, instance in instances.items()}
    assert kinds == {Waves: "pulses", Named: "others", Features: "pulses"}
    assert prepared(Records, run_id="7", config={}, deps={}).data_kind == "records"


def test_padding_is_no_part_of_a_dtype() -> None:
    aligned = np.dtype([*SPAN, ("x", "i1")], align=True)

    assert made(type("Padded", (Plugin,), {"dtype": aligned})).dtype.itemsize == 17


def test_missing_methods_are_named() -> None:
    class Computes(Plugin):
        def compute(self, records: Any) -> Any: ...

    class Generates(Plugin):
        def chunks(self) -> Any: ...

    assert missing_methods(Records) == ("compute", "is_ready")
    assert missing_methods(Computes) == ("is_ready",)
    assert missing_methods(type("Line", (Computes,), {"depends_on": "x"})) == ()
    assert missing_methods(Peaks) == ("compute",)
    assert missing_methods(Generates) == ()


def test_dependencies_and_save_when_have_strax_values() -> None:
    assert dependencies(Peaks) == ("records",)
    assert [when.value for when in SaveWhen] == [0, 1, 2, 3]
    assert Plugin.save_when is SaveWhen.ALWAYS


def test_a_module_gives_the_data_plugins_that_it_defines_itself(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import strax_core\nfrom strax_core import Plugin\nclass _Base(Plugin): ...\n"
    (tmp_path / "made_of_two.py").write_text(text + "class A(_Base): ...\nclass B(_Base): ...\n")
    (tmp_path / "made_of_none.py").write_text(text)
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)

    assert [found.__name__ for found in data_plugins_in("made_of_two")] == ["A", "B"]
    for module, message in (
        ("made_of_none", "defines no data plugin"),
        ("broken_module", "division by zero"),
        ("not_there_at_all", "No module named"),
    ):
        with pytest.raises(ConfigError, match=message):
            data_plugins_in(module)


def test_an_option_in_a_container_of_any_class_is_ones_own() -> None:
    class Counting(Plugin):
        dtype = SPAN
        cal = Option()

    cal = OrderedDict(a=[1])
    plugins = DataPlugins([Counting], {"cal": cal})
    key = plugins.lineage("counting", {}).hash
    instance = plugins.instances("counting", run_id="7", defaults={})[Counting]
    instance.config["cal"]["a"].append(2)
    cal["a"].append(3)

    again = plugins.instances("counting", run_id="7", defaults={})[Counting]
    assert again.config["cal"] == {"a": [1]}
    assert plugins.lineage("counting", {}).hash == key
