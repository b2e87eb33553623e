import json
import pickle
from typing import Any

import pytest

from strax_core.errors import ConfigError
from strax_core.format.keys import Lineage
from strax_core.frontend.match import ANY_LINEAGE, STRICT, Match, differences

NAN = float("nan")
LINEAGE = {
    "peaks": ("Peaks", "0.1.0", {"gain": 1.0, "window": (10, (20, 30)), "bad": NAN}),
    "records": ("Records", "0.0.0", {"gain": 1.0, "x": {"a": (1, 2)}}),
}
WANTED = Lineage(LINEAGE)
Change = tuple[str, int, Any]


def changed(data_type: str, part: int, value: Any) -> dict[str, Any]:
    """Return the stored document with one part of one entry replaced."""
    document: dict[str, Any] = json.loads(json.dumps(WANTED.as_json()))
    if part == 2:
        document[data_type][2].update(value)
    else:
        document[data_type][part] = value
    return document


def test_strict_matching_takes_only_the_same_lineage() -> None:
    assert not STRICT.is_fuzzy
    assert STRICT.accepts(WANTED, WANTED)
    assert STRICT.accepts(WANTED, WANTED.as_json())
    assert STRICT.accepts(WANTED, LINEAGE)
    for other in (
        changed("peaks", 0, "Others"),
        changed("records", 1, "0.0.1"),
        changed("peaks", 2, {"gain": 2.0}),
        changed("peaks", 2, {"gain": 1}),
        {**WANTED.as_json(), "more": ["More", "1", {}]},
        {"peaks": WANTED.as_json()["peaks"]},
    ):
        assert not STRICT.accepts(WANTED, other)
        assert not STRICT.accepts(WANTED, Lineage(other))


@pytest.mark.parametrize("stored", [changed("records", 0, "Others"), changed("records", 1, "9")])
def test_an_entry_named_in_fuzzy_for_may_differ_in_all(stored: dict[str, Any]) -> None:
    assert Match(fuzzy_for="records").accepts(WANTED, stored)
    assert Match(fuzzy_for=["records"]).accepts(WANTED, Lineage(stored))
    assert not Match(fuzzy_for="peaks").accepts(WANTED, stored)


def test_an_entry_named_in_fuzzy_for_may_be_missing_on_either_side() -> None:
    more = {**WANTED.as_json(), "more": ["More", "1", {}]}
    fewer = {"peaks": WANTED.as_json()["peaks"]}

    assert Match(fuzzy_for="more").accepts(WANTED, more)
    assert Match(fuzzy_for="more").accepts(Lineage(more), WANTED)
    assert Match(fuzzy_for="records").accepts(WANTED, fewer)
    assert not Match(fuzzy_for="more").accepts(WANTED, fewer)


def test_an_option_named_in_fuzzy_for_options_may_differ_in_every_entry() -> None:
    match = Match(fuzzy_for_options=("gain", "unknown"))
    without = changed("peaks", 2, {})
    del without["records"][2]["gain"]

    assert match.accepts(WANTED, changed("peaks", 2, {"gain": 7}))
    assert match.accepts(WANTED, changed("records", 2, {"gain": "high"}))
    assert match.accepts(WANTED, without)
    assert not match.accepts(WANTED, changed("peaks", 2, {"gain": 7, "window": 1}))
    assert not match.accepts(WANTED, changed("peaks", 1, "0.2.0"))


def test_what_is_kept_is_compared_as_json_stores_it() -> None:
    """Tuples, nested or not, are lists there, and NaN is written like any number."""
    document = WANTED.as_json()
    assert document["peaks"][2]["window"] == [10, [20, 30]]

    assert Match(fuzzy_for_options="gain").accepts(WANTED, document)
    assert not Match(fuzzy_for_options="gain").accepts(
        WANTED, changed("peaks", 2, {"window": [10, [20, 31]]})
    )


def test_numbers_of_equal_value_are_equal_in_a_fuzzy_match_as_in_strax() -> None:
    wanted = Lineage({"peaks": ("Peaks", "1", {"n": 1, "gain": 2.0})})
    stored = {"peaks": ["Peaks", "1", {"n": 1.0, "gain": 3.0}]}

    assert Match(fuzzy_for_options="gain").accepts(wanted, stored)
    assert "option 'n' of peaks: 1.0 here, 1 wanted" in differences(wanted, Lineage(stored))


@pytest.mark.parametrize("match", [STRICT, Match("peaks"), Match((), "gain"), ANY_LINEAGE])
@pytest.mark.parametrize(
    "garbage", [None, 7, "peaks", [], {"peaks": None}, {1: 2}, {"peaks": ["P", "1", {"x": {1}}]}]
)
def test_garbage_never_serves(match: Match, garbage: object) -> None:
    assert not match.accepts(WANTED, garbage)


def test_any_lineage_takes_every_lineage() -> None:
    assert ANY_LINEAGE.is_fuzzy
    assert ANY_LINEAGE.accepts(WANTED, {"other": ["Other", "1", {}]})


def test_a_match_is_a_value() -> None:
    match = Match("peaks", ["gain", "window"], allow_incomplete=True)

    assert match.fuzzy_for == ("peaks",)
    assert match.fuzzy_for_options == ("gain", "window")
    assert match == Match(("peaks",), ("gain", "window"), allow_incomplete=True) != STRICT
    assert pickle.loads(pickle.dumps(match)) == match  # noqa: S301 - our own
    assert len({match, Match(["peaks"], ("gain", "window"), allow_incomplete=True)}) == 1
    assert Match(allow_incomplete=True) != STRICT
    assert not Match(allow_incomplete=True).is_fuzzy
    assert pickle.loads(pickle.dumps(ANY_LINEAGE)).is_fuzzy  # noqa: S301 - our own


@pytest.mark.parametrize("names", [7, ["peaks", 7], [("peaks",)], None])
def test_names_that_are_none_are_refused(names: Any) -> None:
    with pytest.raises(ConfigError, match=r"fuzzy_for is .*; give a name"):
        Match(fuzzy_for=names)
    with pytest.raises(ConfigError, match=r"fuzzy_for_options is .*; give a name"):
        Match(fuzzy_for_options=names)


def test_equal_lineages_have_no_differences() -> None:
    assert differences(WANTED, Lineage(WANTED.as_json())) == ()


def test_each_difference_is_one_readable_line() -> None:
    wanted = Lineage(
        {
            "peaks": ("Peaks", "1", {"gain": 1.0, "only_wanted": (1, 2), "same": [3]}),
            "records": ("Records", "1", {}),
            "gone": ("Gone", "1", {}),
        }
    )
    stored = Lineage(
        {
            "more": ["More", "1", {}],
            "peaks": ["MyPeaks", "1", {"gain": 2.0, "only_here": None, "same": (3,)}],
            "records": ["Records", "2", {}],
        }
    )

    assert differences(wanted, stored) == (
        "class of peaks: 'MyPeaks' here, 'Peaks' wanted",
        "option 'gain' of peaks: 2.0 here, 1.0 wanted",
        "option 'only_here' of peaks: None here, nothing wanted",
        "option 'only_wanted' of peaks: nothing here, [1, 2] wanted",
        "version of records: '2' here, '1' wanted",
        "gone: not in the lineage here",
        "more: in the lineage here, not wanted",
    )


def test_a_long_value_is_cut() -> None:
    one, other = (Lineage({"p": ("P", "1", {"x": letter * 1000})}) for letter in "ab")
    (line,) = differences(one, other)

    assert len(line) < 500
    assert "bbb…" in line
