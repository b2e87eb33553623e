import copy
import json
import pickle
import subprocess
import sys
from collections import OrderedDict
from dataclasses import FrozenInstanceError
from types import MappingProxyType

import numpy as np
import pytest

from strax_core.errors import ConfigError, DataCorrupted
from strax_core.format.keys import (
    DataKey,
    Lineage,
    check_data_type,
    check_run_id,
    deterministic_hash,
)

RECORDS = {"records": ("Records", "0.0.0", {"x": 1})}
NAN = float("nan")

# Made by running upstream 2.2.3, in another place and time.
VECTORS = [
    ({"a": 1}, "tnywwyrpk6"),
    ({"a": {"b": (1, 2)}, "c": [1, 2]}, "isqmmf7fcx"),
    (RECORDS, "2vrzk36v3x"),
    ({"a": None, "b": True, "c": 1.0}, "hsol4phzzv"),
    ({"a": "é"}, "3kgeh6oovh"),
    ({1: 2, 3: 4}, "hplunk3745"),
    ({}, "s7ixbykvb3"),
    (
        {"records": ("Records", "0.0.0", {"crash": False, "dummy_tracked_option": 42})},
        "j3nd2fjbiq",
    ),
    (({"9": "all", "10": "all", "11": "all"}, False), "utuqzrnmsk"),
]

BAD_NAMES = [
    "",
    "a-b",
    "a/b",
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "a\ud800b",
    ".",
    "..",
    ".hidden",
    "run_temp",
    "_temp",
    "x" * 101,
    "é" * 51,
    "e\u0301",
]


def lineage_with(value: object) -> Lineage:
    return Lineage({"records": ("Records", "0.0.0", {"x": value})})


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_would_spoil_a_folder_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="run id"):
        check_run_id(name)
    with pytest.raises(ConfigError, match="data type"):
        check_data_type(name)


@pytest.mark.parametrize("name", ["a", "0", "run_7", "é" * 50, "x" * 100, "a.b", "x_temp_y", "a b"])
def test_a_good_name_is_returned(name: str) -> None:
    assert check_run_id(name) == name
    assert check_data_type(name) == name


def test_a_name_error_says_which_name_why_and_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"the run id 'run-7' cannot be used: .*; use \"_\""):
        check_run_id("run-7")


def test_a_superrun_is_refused_as_not_supported_yet() -> None:
    with pytest.raises(ConfigError, match="superruns, which are not supported yet"):
        check_run_id("_superrun")

    assert check_data_type("_private") == "_private"


@pytest.mark.parametrize("name", [7, None, b"run", np.int64(7)])
def test_a_name_is_a_str(name: object) -> None:
    with pytest.raises(ConfigError, match="give a str"):
        check_run_id(name)  # type: ignore[arg-type]


def test_a_numpy_str_becomes_a_plain_one() -> None:
    assert type(check_run_id(np.str_("run_7"))) is str
    assert type(DataKey(np.str_("run_7"), "peaks", Lineage(RECORDS)).run_id) is str


@pytest.mark.parametrize(("thing", "expected"), VECTORS)
def test_the_hash_is_upstreams(thing: object, expected: str) -> None:
    assert deterministic_hash(thing) == expected


@pytest.mark.parametrize(
    ("thing", "same"),
    [
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ((1, (2, 3)), [1, [2, 3]]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["a", "b"], dtype=object), ["a", "b"]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), [[1, 2.5]]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0], [1, 2.5]),
        ([np.True_, np.int16(3), np.float32(0.5), np.str_("x")], [True, 3, 0.5, "x"]),
        ({"a": OrderedDict(x=1)}, {"a": {"x": 1}}),
        ({"a": MappingProxyType({"x": 1})}, {"a": {"x": 1}}),
        ((1, MappingProxyType({"x": (2,)})), (1, {"x": [2]})),
        ({np.int64(1): 2}, {1: 2}),
    ],
)
def test_what_means_the_same_has_one_hash(thing: object, same: object) -> None:
    assert deterministic_hash(thing) == deterministic_hash(same)


def test_one_and_its_lookalikes_have_different_hashes() -> None:
    things: list[object] = [1, 1.0, True, "1", [1], {1: 1}, {"1": 1}, -1]

    assert len({deterministic_hash(thing) for thing in things}) == len(things)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ({"b", "a"}, "type set .* sorted list"),
        (frozenset("ab"), "type frozenset .* sorted list"),
        (b"x", "type bytes .* str"),
        (np.bytes_(b"x"), "type bytes_ .* str"),
        (len, "type builtin_function_or_method .* name"),
        (object(), "type object .* give"),
        (1j, "type complex"),
        (range(3), "type range"),
        (np.timedelta64(5, "s"), "type timedelta64 .* unit"),
        (np.datetime64("2020"), "type datetime64 .* unit"),
        (np.array(["2020"], "M8[ns]"), "unit"),
        (np.array(5), r"array\.item"),
        (np.array([{}], dtype=object), r"array\.tolist"),
        ({1: 2, "a": 3}, "int, str"),
        ({None: 1, "a": 3}, "NoneType, str"),
        ({NAN: 1, 1.0: 3}, "NaN"),
        pytest.param(10**5000, "digits", id="long"),
    ],
)
def test_what_has_no_stable_value_is_refused(thing: object, message: str) -> None:
    for wrapped in (thing, [thing], (1, {"x": thing})):
        with pytest.raises(ConfigError, match=message):
            deterministic_hash(wrapped)


def test_a_mixed_key_error_keeps_its_cause() -> None:
    with pytest.raises(ConfigError) as caught:
        deterministic_hash({1: 2, "a": 3})

    assert isinstance(caught.value.__cause__, TypeError)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)

    with pytest.raises(ConfigError, match="contains itself"):
        deterministic_hash(loop)
    with pytest.raises(ConfigError, match=r"'records'.*contains itself"):
        lineage_with(loop)
    assert not lineage_with(1).same_as_json(loop)


def test_a_lineage_hands_out_what_json_would_store() -> None:
    lineage = lineage_with((1, np.array([2, 3]), np.float32(0.5), np.False_, {4: None}))

    stored = ["Records", "0.0.0", {"x": [1, [2, 3], 0.5, False, {"4": None}]}]
    assert lineage["records"] == tuple(stored)
    assert json.loads(json.dumps(lineage.as_json())) == {"records": stored}
    assert (len(lineage), list(lineage), "peaks" in lineage) == (1, ["records"], False)


@pytest.mark.parametrize("key", [1, 1.5, True, None, "1"])
def test_keys_are_stored_as_json_writes_them(key: object) -> None:
    expected = json.loads(json.dumps({key: 0}))

    assert lineage_with({key: 0}).as_json()["records"][2]["x"] == expected


@pytest.mark.parametrize(("thing", "expected"), [VECTORS[2], VECTORS[7]])
def test_a_lineage_has_upstreams_hash(thing: dict[str, object], expected: str) -> None:
    assert Lineage(thing).hash == expected
    assert Lineage(Lineage(thing)).hash == expected


def test_the_hash_of_a_lineage_is_of_the_values_as_given() -> None:
    given = {"b": ("B", "1", {"x": {2: (np.int8(3),)}}), "a": ("A", "1", {})}
    lineage = Lineage(given)

    assert lineage.hash == deterministic_hash(given)
    assert lineage.hash != deterministic_hash(lineage.as_json())
    assert Lineage(lineage).hash == lineage.hash
    assert pickle.loads(pickle.dumps(lineage)).hash == lineage.hash  # noqa: S301
    assert Lineage.from_json(lineage.as_json()) == lineage
    assert len({Lineage.from_json(lineage.as_json()), lineage}) == 1


def test_what_a_lineage_hands_out_does_not_change_it() -> None:
    values = [1]
    lineage = lineage_with(values)
    values.append(2)
    lineage.as_json()["records"][2]["x"].append(3)
    lineage["records"][2]["x"].append(4)

    assert lineage.as_json() == {"records": ["Records", "0.0.0", {"x": [1]}]}
    with pytest.raises(AttributeError):
        lineage.hash = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        lineage["records"] = 1  # type: ignore[index]


def test_lineages_are_equal_as_json_stores_them() -> None:
    lineage = lineage_with([1, NAN])

    assert lineage == lineage_with((1, NAN))
    assert lineage == {"records": ("Records", "0.0.0", {"x": (1, NAN)})}
    assert lineage.same_as_json(json.loads(json.dumps(lineage.as_json())))
    assert lineage.same_as_json(MappingProxyType(lineage.as_json()))
    assert hash(lineage) == hash(lineage_with((1, NAN)))
    assert lineage == copy.deepcopy(lineage)


@pytest.mark.parametrize("value", [1.0, True, "1", [1], None, 2])
def test_lineages_with_another_value_differ(value: object) -> None:
    assert lineage_with(1) != lineage_with(value)
    assert not lineage_with(1).same_as_json(lineage_with(value).as_json())


def test_the_order_of_entries_and_options_does_not_matter() -> None:
    one = Lineage({"b": ("B", "1", {"x": 1, "y": 2}), "a": ("A", "1", {})})
    other = Lineage({"a": ("A", "1", {}), "b": ("B", "1", {"y": 2, "x": 1})})

    assert (one, one.hash, hash(one)) == (other, other.hash, hash(other))
    assert one.same_as_json(other.as_json())


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        7,
        "records",
        b"x",
        [],
        {},
        object(),
        {"records": None},
        {"records": {1, 2}},
        {1: 2, "a": object},
        pytest.param({"records": 10**5000}, id="long"),
    ],
)
def test_garbage_is_never_the_same_lineage(garbage: object) -> None:
    assert not Lineage(RECORDS).same_as_json(garbage)
    assert Lineage(RECORDS) != garbage


@pytest.mark.parametrize(
    "shape",
    [
        None,
        [],
        "records",
        {1: ("Records", "0.0.0", {})},
        {"records": None},
        {"records": "abc"},
        {"records": ("Records", "0.0.0")},
        {"records": ("Records", "0.0.0", {}, 1)},
        {"records": (Lineage, "0.0.0", {})},
        {"records": ("Records", None, {})},
        {"records": ("Records", "0.0.0", [])},
        {"records": ("Records", "0.0.0", {1: 2})},
        {"records": ("Records", "0.0.0", {"x": {1}})},
        {"records": ("Records", "0.0.0", {"x": {(1, 2): 3}})},
        {"records": ("Records", "0.0.0", {"x": {1: 2, "1": 3}})},
        pytest.param({"records": ("Records", "0.0.0", {"x": 10**5000})}, id="long"),
        pytest.param({"records": 10**5000}, id="long"),
    ],
)
def test_a_lineage_of_another_shape_is_refused(shape: object) -> None:
    with pytest.raises(ConfigError):
        Lineage(shape)  # type: ignore[arg-type]
    with pytest.raises(DataCorrupted, match="stored lineage") as caught:
        Lineage.from_json(shape)
    assert isinstance(caught.value.__cause__, ConfigError)


def test_a_bad_option_is_named_with_its_data_type() -> None:
    with pytest.raises(ConfigError, match=r"options of 'records' .* type set"):
        lineage_with({1})


def test_a_key_is_named_as_upstream_names_its_folder() -> None:
    key = DataKey("run_7", "records", Lineage(RECORDS))

    assert key.lineage_hash == "2vrzk36v3x"
    assert key.name == str(key) == "run_7-records-2vrzk36v3x"


def test_a_key_is_a_frozen_value() -> None:
    key = DataKey("run_7", "records", Lineage(RECORDS))
    again = pickle.loads(pickle.dumps(key))  # noqa: S301

    assert again == key
    assert len({key, again, DataKey("run_8", "records", key.lineage)}) == 2
    assert "x" not in repr(key).replace("2vrzk36v3x", "")
    with pytest.raises(FrozenInstanceError):
        key.run_id = "other"  # type: ignore[misc]


def test_equal_keys_have_one_name() -> None:
    number, text = (DataKey("r", "t", lineage_with({key: 2})) for key in (1, "1"))

    assert number.lineage == text.lineage
    assert number.name != text.name
    assert number != text


def test_a_key_checks_its_parts() -> None:
    lineage = Lineage(RECORDS)

    with pytest.raises(ConfigError, match="run id"):
        DataKey("../x", "records", lineage)
    with pytest.raises(ConfigError, match="data type"):
        DataKey("run_7", "../x", lineage)
    with pytest.raises(ConfigError, match="give a Lineage"):
        DataKey("run_7", "records", RECORDS)  # type: ignore[arg-type]


def test_a_folder_name_is_parsed_into_the_parts_of_its_key() -> None:
    key = DataKey("run_7", "records", Lineage(RECORDS))

    assert DataKey.parse_name(key.name) == ("run_7", "records", "2vrzk36v3x")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "run_7",
        "run_7-records",
        "run_7-records-2vrzk36v3x_temp",
        "run_7-records-2vrzk36v3x-000000",
        "run_7-records-2vrzk36v3",
        "run_7-records-2VRZK36V3X",
        "run_7-records-metadata.json",
        "my-own-notes",
        "-records-2vrzk36v3x",
        "run_7--2vrzk36v3x",
        "_superrun_abc-records-2vrzk36v3x",
        ".staging-records-2vrzk36v3x",
        "run_7-records-2vrzk36v3x\n",
    ],
)
def test_a_name_that_no_key_can_have_is_not_parsed(name: str) -> None:
    assert DataKey.parse_name(name) is None


def test_importing_keys_and_runs_is_light() -> None:
    module = "strax_core.format.run_document"
    code = f"import sys, {module}; print({{'numba', 'pandas', 'strax'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
