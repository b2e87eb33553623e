from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutabledict import immutabledict

from strax_core.format.keys import DataKey, Lineage, deterministic_hash

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.integers(-128, 127).map(np.int8)
    | st.floats(width=32).map(np.float32)
    | st.floats().map(np.float64)
    | st.text(max_size=5).map(np.str_)
)
ARRAYS = (
    st.lists(st.integers(-9, 9), max_size=4).map(lambda x: np.array(x, np.int16))
    | st.lists(st.floats(width=32), max_size=4).map(lambda x: np.array([x, x], np.float32))
    | st.lists(st.booleans(), max_size=4).map(lambda x: np.array(x, bool))
    | st.lists(st.text(max_size=3), max_size=4).map(lambda x: np.array(x, object))
    | st.lists(st.integers(0, 9), max_size=4).map(
        lambda x: np.array(
            [(i, [i, i], i / 4) for i in x], [("a", "i4"), ("b", "i4", 2), ("c", "f8")]
        )
    )
)
TEXTS = st.text(max_size=4)


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = (
        TEXTS,
        st.integers(),
        st.integers() | st.floats(allow_nan=False) | st.booleans(),
        st.tuples(st.integers(0, 9), st.integers(0, 9)),
    )
    return (
        st.lists(values, max_size=4)
        | st.lists(values, max_size=4).map(tuple)
        | st.one_of(*(st.dictionaries(key, values, max_size=4) for key in keys))
        | st.dictionaries(TEXTS, values, max_size=3).map(immutabledict).map(lambda x: [x])
    )


THINGS = st.recursive(SCALARS | ARRAYS, containers, max_leaves=12)


@given(thing=THINGS)
def test_random_values_hash_as_upstream_hashes_them(upstream: ModuleType, thing: object) -> None:
    assert deterministic_hash(thing) == upstream.deterministic_hash(thing)


def test_a_mapping_in_a_tuple_hashes_where_upstream_gives_up(upstream: ModuleType) -> None:
    thing = (1, immutabledict(x=(2, 3)))

    with pytest.raises(RecursionError):
        upstream.deterministic_hash(thing)
    assert deterministic_hash(thing) == upstream.deterministic_hash((1, {"x": (2, 3)}))


def test_a_key_is_named_as_upstream_names_it(upstream: ModuleType) -> None:
    lineage = {
        "peaks": ("Peaks", "1.2", {"gain": 2.0, "map": {3: (1, 2)}, "Base": "0.0.1"}),
        "records": ("Records", "0.0.0", {"n": np.int64(3), "channels": np.arange(3)}),
    }

    ours = DataKey("run_7", "peaks", Lineage(lineage))
    assert ours.name == str(upstream.DataKey("run_7", "peaks", lineage))
