from typing import Any

import pytest

from strax_core.data_plugins.check_class import check_data_plugin
from strax_core.data_plugins.merge_only import MergeOnlyPlugin
from strax_core.data_plugins.option import Option, takes_config
from strax_core.data_plugins.plugin import Plugin
from strax_core.data_plugins.registered import DataPlugins
from strax_core.errors import ConfigError

SPAN = [("time", "<i8"), ("endtime", "<i8")]


class Parent(Plugin):
    dtype = SPAN
    __version__ = "0.3"
    gain = Option(type=float, default=1.0)
    needed = Option()


class Child(Parent):
    child_plugin = True
    child_gain = Option(default=2.0, child_option=True, parent_option_name="gain")
    child_needed = Option(default=7, child_option=True, parent_option_name="needed")


def test_a_childs_options_stand_for_its_parents_which_need_no_value() -> None:
    data_plugins = DataPlugins([Child], {"gain": 9.0})
    child: Any = data_plugins.instances("child", run_id="7", defaults={})[Child]

    assert (child.gain, child.needed, child.config["gain"]) == (2.0, 7, 2.0)
    options = {"child_gain": 2.0, "child_needed": 7, "Parent": "0.3"}
    assert data_plugins.lineage("child", {}).as_json() == {"child": ["Child", "0.3", options]}


def test_a_default_of_the_run_for_a_childs_option_reaches_the_parents() -> None:
    assert DataPlugins([Child]).values("child", {"child_gain": 5.0, "gain": 3.0})["gain"] == 5.0


def test_a_value_that_the_child_changes_in_place_is_its_own() -> None:
    class Listed(Child):
        more = Option(default=[1], child_option=True, parent_option_name="needed")

    instance = DataPlugins([Listed]).instances("listed", run_id="7", defaults={})[Listed]

    instance.config["needed"].append(2)
    assert instance.config["more"] == [1]


def test_a_child_option_whose_parent_option_is_not_there_is_refused_with_a_hint() -> None:
    option = Option("mine", default=1, child_option=True, parent_option_name="gian")
    wrong = takes_config(option)(type("Wrong", (Parent,), {"child_plugin": True}))

    with pytest.raises(ConfigError, match=r"Wrong: the option 'mine' .*'gian'.*mean 'gain'"):
        check_data_plugin(wrong)


def test_a_childs_parents_must_have_a_version() -> None:
    mixin = type("Mixin", (), {})
    unversioned = type("Unversioned", (Plugin,), {"__version__": None})

    for other in (mixin, unversioned):
        wrong = type("Wrong", (Parent, other), {"child_plugin": True})
        with pytest.raises(ConfigError, match=f"Wrong is a child_plugin.*{other.__name__}"):
            check_data_plugin(wrong)


@pytest.mark.parametrize("given", [{"child_option": True}, {"parent_option_name": "gain"}])
def test_a_child_option_and_the_name_of_its_parents_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="'x': child_option=True and parent_option_name= go"):
        Option("x", default=1, **given)


def test_default_by_run_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"'x': default_by_run .*use_per_run_defaults"):
        Option("x", default_by_run=[(0, 1)])


@pytest.mark.parametrize(("default", "expected"), [(1, int), ("a", str), (True, bool)])
def test_the_type_of_an_option_may_be_that_of_its_default(default: Any, expected: type) -> None:
    assert Option("x", default=default, infer_type=True).type is expected
    assert Option("x", default=default, type=object, infer_type=True).type is object
    with pytest.raises(ConfigError, match="must be of type"):
        Option("x", default=default, infer_type=True).value({"x": 1.5}, {}, who="P")


def test_a_default_of_none_says_no_type() -> None:
    assert Option("x", default=None, infer_type=True).value({"x": 1.5}, {}, who="P") == 1.5


def test_what_is_no_option_is_refused_where_it_is_given() -> None:
    with pytest.raises(ConfigError, match="Parent: 'gain' is not an Option with a name"):
        takes_config("gain")(Parent)  # type: ignore[arg-type]


def test_merging_nothing_is_refused_by_name() -> None:
    empty = type("Empty", (MergeOnlyPlugin,), {})

    with pytest.raises(ConfigError, match="Empty merges data types of one kind, not of none"):
        DataPlugins([empty]).instances("empty", run_id="7", defaults={})
