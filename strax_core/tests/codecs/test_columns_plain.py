"""Decoding by numpy: as the kernels do it, and only what a process decodes first."""

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from test_columns import Cut, columns_of, decoded, rows_of, same, stored, waves

from strax_core import Selection
from strax_core.codecs.columns import decoding, plain

Rows = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture
def by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_block_decoder", lambda _: plain.decode_block)


@settings(
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(rows_of())
@pytest.mark.usefixtures("by_numpy")
def test_any_rows_come_back_by_numpy(rows: Rows) -> None:
    codec = Cut(segment_bytes=4000, block_bytes=700)
    info, file = stored(codec, rows)

    assert b"".join(part.tobytes() for part in decoded(codec, info, file, rows)) == rows.tobytes()


@pytest.mark.usefixtures("by_numpy")
def test_every_filter_is_undone_by_numpy() -> None:
    rows = waves()
    codec = Cut(segment_bytes=10**6, block_bytes=10**5)
    info, file = stored(codec, rows)

    for names in (rows.dtype.names or (), ("time",), rows.dtype.names[-1:]):  # type: ignore[index]
        parts = decoded(codec, info, file, rows, Selection(columns=tuple(names)))
        assert all(
            same(part, columns_of(rows[s.first_row : s.first_row + s.n], names))
            for part, s in zip(parts, codec.segments(info), strict=True)
        )


def test_few_bytes_are_covered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    allowance = plain.Allowance(100)

    assert not allowance.covers(101)
    assert allowance.covers(60)
    assert not allowance.covers(60)
    assert allowance.covers(40)
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert not plain.Allowance(100).covers(1)
