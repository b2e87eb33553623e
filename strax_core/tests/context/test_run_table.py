import json
import logging
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from strax_core.context.run_table import availability_table, runs_table, select
from strax_core.errors import ConfigError
from strax_core.format.run_document import decode_run_document

START = datetime(2020, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
END = datetime(2020, 5, 1, 11, 0, 30, tzinfo=UTC)
DOCUMENTS: list[dict[str, Any]] = [
    {"name": "000012", "mode": "background", "tags": [{"name": "_blinded"}, {"name": "good"}]},
    {"name": "000002", "mode": "led", "tags": [{"name": "blinded"}], "start": START, "end": END},
    {"name": "000003", "mode": "led_high", "tags": [{"name": "unblinded"}, {"name": "messy"}]},
    {"name": "000004", "number": 4, "tags": []},
    {"name": "000005", "mode": "ambe", "reader": {"ini": {"name": "x"}}, "source": "AmBe"},
    {"name": "_super", "mode": ["led", "ambe"], "tags": ["good", "_blinded"], "livetime": 1.5},
]


def names_of(table: pd.DataFrame) -> list[str]:
    return list(table["name"])


def test_each_run_is_a_line_in_the_order_of_names() -> None:
    table = runs_table(DOCUMENTS)

    assert names_of(table) == ["000002", "000003", "000004", "000005", "000012", "_super"]
    assert table["number"].tolist()[:5] == [2, 3, 4, 5, 12]
    assert list(table.index) == list(range(6))


def test_fields_are_flattened_as_strax_does() -> None:
    table = runs_table(DOCUMENTS).set_index("name")

    assert table.loc["000012", "tags"] == "_blinded,good"
    assert table.loc["_super", "tags"] == "good,_blinded"
    assert table.loc["_super", "mode"] == "led,ambe"
    assert table.loc["000004", "tags"] == table.loc["000004", "mode"] == ""
    assert table.loc["000005", "reader.ini.name"] == "x"
    assert table.loc["000005", "source"] == "AmBe"
    assert table.loc["_super", "livetime"] == timedelta(seconds=1.5)
    assert table["reader.ini.name"].isna().sum() == 5
    assert pd.isna(table.loc["_super", "number"])


def test_dates_are_in_utc_without_a_zone_and_give_the_livetime() -> None:
    naive = {"name": "1", "start": datetime(2020, 5, 1, 10), "end": END}  # noqa: DTZ001
    table = runs_table([*DOCUMENTS, naive]).set_index("name")

    for name in ("000002", "1"):
        assert table.loc[name, "start"] == pd.Timestamp("2020-05-01 10:00:00")
        assert table.loc[name, "end"] == pd.Timestamp("2020-05-01 11:00:30")
        assert table.loc[name, "livetime"] == timedelta(hours=1, seconds=30)
    assert (table["start"] > pd.Timestamp("2020-01-01")).sum() == 2


def test_dates_that_pandas_cannot_hold_in_ns_do_not_break_the_table() -> None:
    far = {
        "name": "1",
        "start": datetime(1, 1, 1, tzinfo=UTC),
        "end": datetime.max.replace(tzinfo=UTC),
    }

    table = runs_table([far, *DOCUMENTS]).set_index("name")
    assert table.loc["1", "start"] == datetime(1, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize("name", ["calib", "run_7", "2020_01", "½", "٣"])
def test_a_name_that_is_no_number_has_none(name: str) -> None:
    table = runs_table([{"name": name}, {"name": "12"}]).set_index("name")

    assert pd.isna(table.loc[name, "number"])
    assert table.loc["12", "number"] == 12


def test_a_run_without_a_name_is_named_by_its_number_as_strax_does() -> None:
    assert names_of(runs_table([{"number": 7}])) == ["000007"]


def test_a_document_of_no_run_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "strax_core"):
        table = runs_table([{"mode": "led"}, *DOCUMENTS])

    assert len(table) == len(DOCUMENTS)
    assert ["neither name nor number" in record.getMessage() for record in caplog.records] == [True]


def test_of_two_documents_about_a_run_the_first_counts() -> None:
    assert runs_table([{"name": "1", "mode": "a"}, {"name": "1", "mode": "b"}])[
        "mode"
    ].tolist() == ["a"]


def test_defaults_of_a_run_are_not_listed_and_subruns_stay_whole() -> None:
    spec = {"3": "all"}
    document = {"name": "_s", "strax_defaults": {"gain": 2.0}, "sub_run_spec": spec}
    table = runs_table([document])

    assert [column for column in table.columns if "defaults" in column] == []
    assert table["sub_run_spec"][0] == spec
    assert document["strax_defaults"] == {"gain": 2.0}


def test_no_runs_are_a_table_too() -> None:
    table = runs_table([])

    assert {"name", "number", "mode", "start", "end", "tags", "livetime"} <= set(table.columns)
    for chosen in (select(table, run_id="*"), select(table, exclude_tags="bad"), select(table)):
        assert len(chosen) == 0


CRITERIA: list[dict[str, Any]] = [
    {},
    {"run_id": "00000[23]"},
    {"run_id": ("000002", "*12")},
    {"run_id": []},
    {"run_mode": "led"},
    {"run_mode": "led*"},
    {"run_mode": ""},
    {"run_mode": "led", "pattern_type": "re"},
    {"run_mode": ["a.be$", "back"], "pattern_type": "re"},
    {"include_tags": "blinded"},
    {"include_tags": "*blinded"},
    {"include_tags": "_blinded"},
    {"include_tags": "blinded", "ignore_underscore": False},
    {"include_tags": ["blinded", "unblinded"]},
    {"include_tags": "blind", "pattern_type": "re"},
    {"include_tags": "blinded", "exclude_tags": ["bad", "good"]},
    {"exclude_tags": "*"},
    {"exclude_tags": ("messy",)},
    {"include_tags": [], "run_mode": "led"},
    {"include_tags": ""},
    {"run_id": "*[!2]", "run_mode": "*", "exclude_tags": "mess?"},
]


@pytest.mark.parametrize("criteria", CRITERIA)
def test_strax_selects_the_same_runs(
    upstream: ModuleType, tmp_path: Path, criteria: dict[str, Any]
) -> None:
    frontend = upstream.DataDirectory(str(tmp_path), provide_run_metadata=True)
    for document in DOCUMENTS:
        frontend.write_run_metadata(document["name"], dict(document))
    context = upstream.Context(storage=frontend)
    theirs = context.select_runs(**criteria)
    documents = [decode_run_document(p.read_bytes(), str(p)) for p in tmp_path.iterdir()]
    ours = select(runs_table(documents), **criteria)

    assert names_of(ours) == sorted(names_of(theirs))


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"run_mode": "led*"}, ["000002", "000003", "_super"]),
        ({"run_mode": "led", "pattern_type": "re"}, ["000002", "000003", "_super"]),
        ({"include_tags": "blinded"}, ["000002", "000012", "_super"]),
        ({"include_tags": "blinded", "ignore_underscore": False}, ["000002"]),
        ({"include_tags": "*blinded", "exclude_tags": "good"}, ["000002", "000003"]),
    ],
)
def test_runs_are_selected_by_mode_and_tags(criteria: dict[str, Any], expected: list[str]) -> None:
    assert names_of(select(runs_table(DOCUMENTS), **criteria)) == expected


def test_runs_are_selected_by_a_column_of_another_table() -> None:
    table = runs_table(DOCUMENTS)

    assert names_of(select(table, run_id=table["name"][1:3])) == ["000003", "000004"]


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"pattern_type": "regex"}, "no pattern_type 'regex'; give fnmatch or re"),
        ({"run_id": "(", "pattern_type": "re"}, "no regular expression"),
        ({"run_id": [7]}, "run_id has 7"),
    ],
)
def test_patterns_that_are_none_are_refused(criteria: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select(runs_table(DOCUMENTS), **criteria)


def test_a_cell_names_the_frontends_that_have_the_data() -> None:
    places = {("2", "peaks"): ["scratch", "archive"], ("1", "events"): ["archive"]}
    table = availability_table(["2", "1"], ["peaks", "events"], places)

    assert json.loads(table.to_json(orient="index")) == {
        "2": {"peaks": "scratch,archive", "events": ""},
        "1": {"peaks": "", "events": "archive"},
    }
    assert (table.index.name, list(table.index)) == ("run_id", ["2", "1"])
    assert list(table.columns) == ["peaks", "events"]


def test_availability_of_no_runs_is_a_table_too() -> None:
    table = availability_table([], ["peaks"], {})

    assert (len(table), list(table.columns), table.index.name) == (0, ["peaks"], "run_id")
