import logging
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from strax_core.chunks.arrays import columns_of
from strax_core.context.data_frame import data_frame, with_run_id
from strax_core.errors import ConfigError

ROW = np.dtype(
    [
        (("When it starts", "time"), "<i8"),
        ("area", ">f4"),
        ("wave", "<i2", (2,)),
        ("name", "<U3"),
        ("code", "S2"),
        ("best", [("x", "<i4"), ("y", "<f8")]),
        ("good", "?"),
    ],
    align=True,
)
PLAIN = ["time", "area", "name", "code", "good"]


def some_rows(n: int, first: int = 0) -> np.ndarray:
    rows = np.zeros(n, ROW)
    rows["time"] = np.arange(first, first + n)
    rows["area"] = rows["time"] * 1.5
    rows["wave"] = rows["time"][:, np.newaxis] * [1, 10]
    rows["name"], rows["code"] = "äb", b"xy"
    rows["best"]["x"] = rows["time"] + 7
    rows["good"] = rows["time"] % 2
    return rows


def frame_of(rows: np.ndarray) -> pd.DataFrame:
    return data_frame(columns_of(rows))


def test_a_data_frame_has_the_columns_and_values_of_the_rows() -> None:
    frame = frame_of(some_rows(3, first=4))

    assert list(frame.columns) == list(ROW.names or ())
    assert frame["time"].tolist() == [4, 5, 6]
    assert frame["area"].tolist() == [6.0, 7.5, 9.0]
    assert frame["name"].tolist() == ["äb"] * 3
    assert frame["code"].tolist() == [b"xy"] * 3
    assert frame["good"].tolist() == [False, True, False]
    assert (frame["time"].dtype, frame["area"].dtype) == (np.int64, np.float32)
    assert frame["good"].dtype == bool


def test_numbers_in_foreign_byte_order_can_be_computed_with() -> None:
    frame = frame_of(some_rows(3))

    assert frame.groupby("good")["area"].sum().tolist() == [3.0, 1.5]


def test_columns_of_several_values_a_row_become_objects_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "strax_core"):
        frame = frame_of(some_rows(2, first=1))

    assert [record.getMessage()[:18] for record in caplog.records] == ["columns wave, best"]
    assert [frame[name].dtype for name in ("wave", "best")] == [object, object]
    assert [wave.tolist() for wave in frame["wave"]] == [[1, 10], [2, 20]]
    assert [best["x"] for best in frame["best"]] == [8, 9]


def test_plain_rows_give_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    frame_of(some_rows(2)[PLAIN])

    assert caplog.records == []


def test_no_rows_give_an_empty_frame_of_the_same_dtypes() -> None:
    rows = some_rows(1)

    assert frame_of(rows[:0]).dtypes.tolist() == frame_of(rows).dtypes.tolist()
    assert len(frame_of(rows[:0])) == 0


def test_strax_makes_the_same_frame(upstream: ModuleType) -> None:
    rows = some_rows(3)[PLAIN].copy()
    rows = rows.astype(rows.dtype.newbyteorder("="))

    pd.testing.assert_frame_equal(frame_of(rows), upstream.convert_structured_array_to_df(rows))


def test_a_frame_changed_by_its_owner_does_not_change_the_rows() -> None:
    rows = some_rows(2)
    frame = frame_of(rows)
    frame.loc[0, "time"] = 99
    frame["wave"].iloc[1][0] = 99

    assert rows["time"].tolist() == [0, 1]
    assert rows["wave"].tolist() == [[0, 0], [1, 10]]


def test_a_frame_is_made_of_columns_without_copying_them() -> None:
    columns = columns_of(some_rows(3)[["time"]])
    frame = data_frame(columns)

    assert np.shares_memory(frame["time"].to_numpy(), columns["time"])


def test_without_pandas_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ConfigError, match=r'pip install "strax-core\[pandas\]"'):
        frame_of(some_rows(1))


def test_each_column_is_one_contiguous_array_of_its_own() -> None:
    rows = some_rows(3)
    columns = columns_of(rows)

    assert list(columns) == list(ROW.names or ())
    for name, column in columns.items():
        assert column.flags.c_contiguous
        assert column.dtype == rows[name].dtype
        assert column.tolist() == rows[name].tolist()
        assert not np.shares_memory(column, rows)


def test_the_run_is_named_in_a_first_column_as_strax_does(upstream: ModuleType) -> None:
    loaded = {"run_10": some_rows(2), "run_7": some_rows(3)}
    theirs = upstream.multi_run(
        lambda run_id, **_: loaded[run_id], list(loaded), multi_run_progress_bar=False
    )
    ours = [with_run_id(rows, run_id, width=6) for run_id, rows in loaded.items()]

    assert [rows.dtype for rows in ours] == [rows.dtype for rows in theirs]
    assert [repr(rows.tolist()) for rows in ours] == [repr(rows.tolist()) for rows in theirs]
    assert ours[1].dtype.names[0] == "run_id"
    assert ours[1]["run_id"].tolist() == ["run_7"] * 3


@pytest.mark.parametrize(
    ("rows", "width", "message"),
    [
        (np.zeros(1, [("time", "i8"), ("run_id", "S4")]), 9, "have a column `run_id` already"),
        (np.zeros(1, [("time", "i8")]), 4, "longer than the 4 characters"),
    ],
)
def test_a_run_is_never_named_twice_or_cut_short(rows: Any, width: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_run_id(rows, "run_7", width)
