"""A configuration and databases of before the sub-packages still serve."""

import shutil
from pathlib import Path

import pytest
from make_place import Monitors, Things

import strax_core as sc
from strax_sql import SqlFrontend

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

X = [0, 3, 1, 4]  # the configuration sets the gain to 3


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a copy: databases are written to when they are opened."""
    return shutil.copytree(GOLDEN / "place", tmp_path / "place")


@pytest.fixture
def context(place: Path) -> sc.Context:
    return sc.Context.from_config("golden", path=place / "strax.toml")


def test_the_catalogue_knows_what_is_where(context: sc.Context) -> None:
    where = {
        (run_id, data_type): context.find(run_id, data_type).location.backend
        for run_id in ("run_7", "run_8")
        for data_type in ("things", "sums")
    }

    assert where == {(run, type_): "hall" if type_ == "things" else "disk" for run, type_ in where}
    catalogue = context.storage[0]
    assert isinstance(catalogue, SqlFrontend)
    assert list(catalogue.check_catalogue()) == []


def test_the_rows_are_those_that_were_saved(context: sc.Context) -> None:
    for run_id in ("run_7", "run_8"):
        assert context.get_array(run_id, "things")["x"].tolist() == X
        assert context.get_array(run_id, "sums")["x"].tolist() == [2 * x for x in X]
    assert context.get_array("run_9", "things")["x"].tolist() == X
    assert context.find("run_9", "things").frontend.name == "folder"


def test_small_data_in_a_database_load(context: sc.Context) -> None:
    (blobs,) = [each for each in context.storage if each.name == "monitors"]
    alone = sc.Context(blobs, plugins=[Things, Monitors], config={"gain": 3})

    assert alone.get_array("run_7", "monitors")["x"].tolist() == [2 * x for x in X]


def test_documents_about_runs_are_there(context: sc.Context) -> None:
    assert context.storage[0].run_metadata("run_7") == {
        "name": "run_7",
        "number": 7,
        "tags": ["é"],
    }
