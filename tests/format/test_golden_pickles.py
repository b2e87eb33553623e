"""Pickles that were written once, before the sub-packages, still load."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from make_pickles import KEY, objects

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

PICKLES = sorted((GOLDEN / "pickles").glob("*.pickle"))


def loaded(name: str) -> Any:
    return pickle.loads((GOLDEN / "pickles" / f"{name}.pickle").read_bytes())  # noqa: S301 - ours


def test_there_is_one_of_each_kind() -> None:
    assert [path.stem for path in PICKLES] == sorted(objects())


@pytest.mark.parametrize("name", [path.stem for path in PICKLES])
def test_a_pickle_of_before_loads_as_what_it_was(name: str) -> None:
    then, now = loaded(name), objects()[name]

    assert type(then) is type(now)
    assert str(then) == str(now) or type(then).__str__ is object.__str__


def test_what_was_pickled_is_all_there() -> None:
    key, chunk, found, loader = map(loaded, ("DataKey", "Chunk", "Found", "Loader"))

    assert str(key) == f"run_7-things-{key.lineage_hash}"
    assert key.lineage["things"] == ("things", "1", {"gain": [1, 2.5]})
    assert chunk.data.tolist() == [(1, 2), (3, 5)]
    assert (chunk.start, chunk.end, chunk.run_id, chunk.data_type) == (0, 10, "run_7", "things")
    assert (found.key, found.location.backend_key, found.is_complete) == (key, KEY, True)
    assert [info.n for info in loader.metadata.chunks] == [3, 0, 2]
    assert found.metadata["lineage_hash"] == "6rymenyvbx"
    assert loaded("Option").default == 3
