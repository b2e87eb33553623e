"""How much memory the codec `columns` takes beside what it gives."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from test_columns import Cut, decoded, same, stored

from strax_core.codecs.columns import ColumnsCodec, decoding
from strax_core.codecs.columns.scratch import Scratch


@pytest.mark.parametrize(
    "kind", ["u1", "<i2", ">u2", "<i4", "<f8", [("a", "<i2"), ("b", "<f4")]], ids=str
)
def test_rows_of_very_many_values_take_little_more_memory_than_they_have(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.zeros(
        3, [("time", "<i8"), ("endtime", "<i8"), ("level", "<i4"), ("image", kind, (300, 701))]
    )
    random = np.random.default_rng(1)
    image = random.integers(0, 99, (3, 300, 701)) * (random.random((3, 300, 701)) < 0.2)
    if kind == "<i4":  # told from the field before it
        rows["level"] = [10**9, -(10**9), 10**6]
        rows["image"] = rows["level"][:, None, None] + random.integers(-9, 9, image.shape)
    elif isinstance(kind, str):
        rows["image"] = image
    else:
        rows["image"]["a"] = image
    rows["time"] = rows["endtime"] = [5, 6, 7]
    info, data = stored(Cut(segment_bytes=10**9, block_bytes=1), rows)
    decoded(ColumnsCodec(), info, data, rows)
    monkeypatch.setattr(decoding, "SCRATCH", Scratch())
    tracemalloc.start()
    (given_rows,) = decoded(ColumnsCodec(), info, data, rows)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert same(given_rows, rows)
    # The result, and a block, which is one row here, with its mask.
    assert peak_bytes < (1 + 1.2 / 3) * rows.nbytes + 100_000
