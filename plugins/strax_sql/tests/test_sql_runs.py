"""Documents about runs: selected in the database, mirrored in files, never hiding what matches."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sql_places import OpenCatalogue
from sqlalchemy import text

from strax_core import (
    ConfigError,
    Context,
    DirectoryFrontend,
    MemoryBackend,
    StorageBackend,
    StorageUnavailable,
)
from strax_core.testing import Fault, FaultyBackend, RawMemory
from strax_sql.frontend import SqlFrontend

DAY = datetime(2024, 3, 1, tzinfo=UTC)
NS = 10**9
DAY_NS = int(DAY.timestamp()) * NS
DOCUMENTS: dict[str, dict[str, Any]] = {
    "run_0": {
        "mode": "calibration",
        "tags": [{"name": "good"}, {"name": "_blinded"}],
        "start": DAY,
        "end": DAY + timedelta(hours=1),
        "reader": {"ini": {"name": "fast"}},
    },
    "run_1": {
        "mode": ["dark", "matter"],
        "tags": ["bad", "a,good"],
        "start": DAY + timedelta(hours=1),
        "end": DAY + timedelta(hours=2, microseconds=1),
        "reader": {"ini": {"name": "slow"}},
        "weird.name": "x%y",
    },
    "run_2": {"mode": "cali_bration", "start": DAY + timedelta(hours=2), "weird": {"name": "x%y"}},
    "runs3": {"mode": "CALIBRATION", "tags": [], "n": float("nan"), "it's": 'a "text"'},
    "other": {"tags": "good,new", "reader": "fast", "number": 7},
    "odd": {"tags": ["two\nlines"], "mode": "a\0b", "reader": {"ini": {"name": "\ud800"}}},
}
CONDITIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({"run_id": "run_*"}, {"run_0", "run_1", "run_2"}),
    ({"run_id": ["run?3", "o*r"]}, {"runs3", "other"}),
    ({"run_id": "run_[01]"}, {"run_0", "run_1"}),
    ({"run_id": r"run_\d", "pattern_type": "re"}, {"run_0", "run_1", "run_2"}),
    ({"run_id": []}, set()),
    ({"run_mode": "cali*"}, {"run_0", "run_2"}),
    ({"run_mode": "cali_bration"}, {"run_2"}),
    ({"run_mode": "dark,*"}, {"run_1"}),
    ({"run_mode": "*"}, set(DOCUMENTS)),
    ({"include_tags": "good"}, {"run_0", "run_1", "other"}),
    ({"include_tags": "blinded"}, {"run_0"}),
    ({"include_tags": "blinded", "ignore_underscore": False}, set()),
    ({"include_tags": "ba?"}, {"run_1"}),
    ({"include_tags": "two*"}, {"odd"}),
    ({"include_tags": "two?lines"}, {"odd"}),
    ({"run_mode": "a*b"}, {"odd"}),
    ({"run_mode": "a\0b"}, {"odd"}),
    ({"fields": {"reader.ini.name": "\ud800"}}, {"odd"}),
    ({"fields": {"a\0b": "x"}}, set()),
    ({"include_tags": "*"}, set(DOCUMENTS)),
    ({"exclude_tags": "good"}, {"run_2", "runs3", "odd"}),
    ({"time_range": (DAY_NS, DAY_NS + 3600 * NS)}, {"run_0"}),
    ({"time_range": (DAY_NS, DAY_NS + 3600 * NS + 1)}, {"run_0", "run_1"}),
    ({"time_range": (DAY_NS + 7200 * NS + 999, DAY_NS + 9000 * NS)}, {"run_1", "run_2"}),
    ({"time_range": (DAY_NS + 7200 * NS + 1000, DAY_NS + 9000 * NS)}, {"run_2"}),
    ({"time_range": (0, 1)}, set()),
    ({"fields": {"reader.ini.name": "fast"}}, {"run_0"}),
    ({"fields": {"reader": "fast"}}, {"other"}),
    ({"fields": {"weird.name": "x%y"}}, {"run_1", "run_2"}),
    ({"fields": {"it's": 'a "text"'}}, {"runs3"}),
    ({"fields": {'no "such\\name': "x"}}, set()),
    ({"fields": {"number": 7}}, {"other"}),
    ({"fields": {"mode": "dark,matter"}}, {"run_1"}),
    ({"run_mode": "cali*", "fields": {"reader.ini.name": "fast"}}, {"run_0"}),
]


@pytest.fixture
def reach(reach_of_each: dict[str, Any]) -> dict[str, Any]:
    return reach_of_each


def selected(frontend: Any, conditions: dict[str, Any]) -> set[str]:
    return set(Context([frontend]).select_runs(**conditions)["name"])


def told(value: Any) -> str:
    """Name a case alike in each process: the order of a set differs."""
    return str(sorted(value) if isinstance(value, set) else value)


@pytest.mark.parametrize(("conditions", "names"), CONDITIONS, ids=told)
def test_what_is_selected_is_what_core_selects(
    catalogue: SqlFrontend, conditions: dict[str, Any], names: set[str]
) -> None:
    directory = DirectoryFrontend(MemoryBackend())
    for run_id, document in DOCUMENTS.items():
        catalogue.write_run_metadata(run_id, document)
        directory.write_run_metadata(run_id, document)

    assert selected(directory, conditions) == names
    assert selected(catalogue, conditions) == names


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({"run_id": ("run_*",)}, {"run_0", "run_1", "run_2"}),
        ({"time_range": (DAY_NS, DAY_NS + 1)}, {"run_0"}),
        ({"fields": {"reader.ini.name": "fast"}}, {"run_0"}),
        ({"include_tags": ("blinded",), "ignore_underscore": True}, {"run_0", "run_1", "other"}),
        ({"run_mode": ("cali_bration",)}, {"run_1", "run_2"}),
        ({"run_id": ("run_[01]",)}, None),
        ({}, None),
    ],
    ids=told,
)
def test_the_database_leaves_out_what_it_can(
    catalogue: SqlFrontend, conditions: dict[str, Any], names: set[str] | None
) -> None:
    for run_id, document in DOCUMENTS.items():
        catalogue.write_run_metadata(run_id, document)
    found = catalogue.select_runs(conditions)

    assert (None if found is None else {each["name"] for each in found}) == names


FIELDS = (
    ["name"],
    ["reader.ini.name", "mode"],
    ["reader", "start", "missing.field"],
    ["weird.name", "n", "it's"],
    [],
    ['no "such', "mode"],
)


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_fields_come_from_the_database_as_they_come_from_documents(
    catalogue: SqlFrontend, fields: list[str]
) -> None:
    directory = DirectoryFrontend(MemoryBackend())
    for frontend in (catalogue, directory):
        for run_id, document in DOCUMENTS.items():
            frontend.write_run_metadata(run_id, document)
        frontend.write_run_metadata("nulls", {"mode": None, "reader": {"ini.name": 1}})
        frontend.write_run_metadata("dated", {"$date": "2024-01-01", "mode": {"$date": "no date"}})

    def scanned(frontend: Any) -> list[str]:
        return sorted(map(repr, Context([frontend]).scan_runs(fields)))

    assert scanned(catalogue) == scanned(directory)
    assert sorted(map(repr, catalogue.scan_runs(fields))) == scanned(directory)


def test_a_nearer_document_that_does_not_match_hides_a_farther_one_that_does(
    catalogue: SqlFrontend,
) -> None:
    far = DirectoryFrontend(MemoryBackend(), name="far", storage_type=5)
    catalogue.write_run_metadata("run_1", {"mode": "new"})
    for run_id in ("run_1", "run_2"):
        far.write_run_metadata(run_id, {"mode": "old"})
    context = Context([catalogue, far])

    assert list(context.select_runs(run_mode="old")["name"]) == ["run_2"]
    assert list(context.select_runs(run_mode="new")["name"]) == ["run_1"]


def test_conditions_that_cannot_be_are_refused(catalogue: SqlFrontend) -> None:
    catalogue.write_run_metadata("run_1", {})
    for conditions in ({"time_range": 3}, {"time_range": (0.5, 1)}, {"run_id": 3}):
        with pytest.raises(ConfigError):
            selected(catalogue, conditions)


def test_a_document_lies_in_a_file_of_the_first_backend(
    open_catalogue: OpenCatalogue, places: dict[str, StorageBackend]
) -> None:
    open_catalogue().write_run_metadata("run_1", {"mode": "filed"})
    open_catalogue({"mirror_runs": False}).write_run_metadata("run_2", {"mode": "not filed"})

    listed = {name: RawMemory(each).list("") for name, each in places.items()}  # type: ignore[arg-type]
    assert listed == {"disk": {"run_1-metadata.json"}, "hall": set(), "bucket": set()}


def test_a_file_that_cannot_be_written_is_told_and_the_document_kept(
    catalogue: SqlFrontend, open_catalogue: OpenCatalogue, caplog: pytest.LogCaptureFixture
) -> None:
    down = FaultyBackend(MemoryBackend(), Fault(call=0, error=StorageUnavailable, times=None))
    frontend = open_catalogue({"backends": {"disk": down}})
    with caplog.at_level(logging.WARNING):
        frontend.write_run_metadata("run_1", {"mode": "x"})

    assert "run_1" in caplog.text
    assert catalogue.run_metadata("run_1")["mode"] == "x"


def test_a_damaged_document_spoils_no_other(catalogue: SqlFrontend) -> None:
    for run_id in ("run_1", "run_2", "run_3"):
        catalogue.write_run_metadata(run_id, {"mode": run_id})
    catalogue.database.write(
        lambda connection: connection.execute(
            text("UPDATE strax_runs SET document = '{' WHERE run_id = 'run_2'")
        )
    )

    assert [each["name"] for each in catalogue.scan_runs()] == ["run_1", "run_3"]
