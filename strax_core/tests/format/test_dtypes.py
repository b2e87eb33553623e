"""The text of a dtype in stored metadata: parsed, never evaluated, and only what rows can have."""

import numpy as np
import pytest

from strax_core import DataCorrupted
from strax_core.format.dtypes import dtype_text, parse_dtype
from strax_core.testing.samples import DTYPES

OVERLAP = "{'names': ['a', 'b'], 'formats': ['<i8', '<i4'], 'offsets': [0, 4]}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "i8",
        "'<i8'",
        "[]",
        "[('time', '|O')]",
        "[('time', '<i8'), ('x', [('y', 'O')], (2,))]",
        "[('time', '<i8', (0,))]",
        "[('time', '<i8'), ('time', '<i8')]",
        "[('time', '<i8', (-1,))]",
        "[('time', '<i8', (1099511627776,))]",
        "[('time', 'V99999999999')]",
        "[('time', '<i8'), ('x', ().__class__)]",
        "[('time', '<i8')] * 2",
        "(" * 10_000,
        "[('time', '<i8'), ('" + "x" * (1 << 20) + "', '<i8')]",
        f"[('time', '<i8'), ('x', {OVERLAP})]",
        f"[('time', '<i8'), ('x', [('y', {OVERLAP}, (2,))])]",
    ],
    ids=range(17),
)
def test_a_text_that_is_no_dtype_of_rows_is_refused(text: str) -> None:
    with pytest.raises(DataCorrupted, match=r"^here: the metadata's dtype"):
        parse_dtype(text, place="here")


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "padded"])
def test_the_text_of_a_dtype_is_that_dtype(name: str) -> None:
    dtype = DTYPES[name]
    found = parse_dtype(dtype_text(dtype), place="here")

    assert found == dtype
    assert found.fields == dtype.fields
    assert np.zeros(2, found).tobytes() == bytes(2 * dtype.itemsize)
