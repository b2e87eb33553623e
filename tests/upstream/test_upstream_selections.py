"""The same arguments select the same rows as in the real strax, from one folder."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from twins import our_context, rows_of, source, their_context

from strax_core import ConfigError

RUN = "run_7"
DTYPE = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i4"), ("y", "<f4")])
SPAN = 10_000


def pieces() -> list[tuple[int, int, Any]]:
    made = []
    for i in range(5):
        rows = rows_of(DTYPE, range(i * SPAN, (i + 1) * SPAN - 100, 330), seed=i)
        rows["endtime"] = rows["time"] + 50 * (1 + np.arange(len(rows)) % 7)  # some overlap
        rows["endtime"] = np.minimum(rows["endtime"], (i + 1) * SPAN)
        rows["endtime"][::11] = rows["time"][::11]  # some last no time
        made.append((i * SPAN, (i + 1) * SPAN, rows))
    return made


@pytest.fixture(scope="module")
def both(upstream: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    import strax_core

    folder: Path = tmp_path_factory.mktemp("data")
    theirs = their_context(upstream, folder, source(upstream, pieces(), dtype=DTYPE))
    theirs.make(RUN, "things", progress_bar=False)
    return our_context(folder, source(strax_core, pieces(), dtype=DTYPE)), theirs


RANGES = [(15_000, 32_000), (10_000, 19_999), (9_990, 10_010), (12_345, 12_346), (0, 50_000)]


def asked_of(both: Any, **arguments: Any) -> Iterator[Any]:
    for ctx in both:
        yield ctx.get_array(RUN, "things", progress_bar=False, **arguments)


@pytest.mark.parametrize("time_range", RANGES)
@pytest.mark.parametrize("time_selection", ["fully_contained", "touching"])
def test_a_time_range_selects_the_same(both: Any, time_range: Any, time_selection: str) -> None:
    ours, theirs = asked_of(both, time_range=time_range, time_selection=time_selection)

    assert ours.tolist() == theirs.tolist()


def test_a_row_of_no_duration_on_a_border_of_chunks_is_lost_by_strax_only(both: Any) -> None:
    ours, theirs = asked_of(both, time_range=(10_000, 20_000))

    assert ours.tolist()[:-1] == theirs.tolist()
    assert (ours["time"][-1], ours["endtime"][-1]) == (20_000, 20_000)


@pytest.mark.parametrize("time_range", RANGES)
def test_skip_gives_whole_chunks_of_which_strax_may_cut_something_off(
    both: Any, time_range: Any
) -> None:
    ours, theirs = asked_of(both, time_range=time_range, time_selection="skip")
    start, end = time_range
    chunks = [rows for begin, until, rows in pieces() if begin < end and until > start]

    assert ours.tolist() == np.concatenate(chunks).tolist()
    assert set(theirs.tolist()) <= set(ours.tolist())


@pytest.mark.parametrize(
    "arguments",
    [
        {"selection": "x > 10"},
        {"selection": ["x > 10", "y < 3"]},
        {"selection": "(x > 10) & (y < 3)", "time_range": (9_000, 27_000)},
        {"keep_columns": ["time", "endtime", "x"]},
        {"keep_columns": ("x", "time", "endtime"), "selection": "y > 0"},
        {"drop_columns": ["y"]},
        {"seconds_range": (1.5e-5, 3.2e-5)},
    ],
)
def test_strax_own_spellings_select_the_same(both: Any, arguments: dict[str, Any]) -> None:
    ours, theirs = asked_of(both, **arguments)

    assert len(ours) > 3
    assert set(ours.dtype.names) == set(theirs.dtype.names)
    for name in theirs.dtype.names:
        assert ours[name].tolist() == theirs[name].tolist()


def test_the_time_of_a_row_selects_the_same(both: Any) -> None:
    ours, theirs = both
    row = ours.get_array(RUN, "things")[40]
    arguments = {"time_within": row, "time_selection": "touching", "progress_bar": False}

    found = ours.get_array(RUN, "things", **arguments)
    assert len(found)
    assert found.tolist() == theirs.get_array(RUN, "things", **arguments).tolist()


def test_a_range_outside_the_data_is_refused_by_both(both: Any) -> None:
    ours, theirs = both
    arguments = {"time_range": (100_000, 200_000), "progress_bar": False}

    with pytest.raises(ConfigError, match="outside the data"):
        ours.get_array(RUN, "things", **arguments)
    with pytest.raises(ValueError, match=r"[Ii]nvalid time range|No data|no data"):
        theirs.get_array(RUN, "things", **arguments)


def test_several_runs_name_the_run_alike(upstream: ModuleType, tmp_path: Path) -> None:
    import strax_core

    theirs = their_context(upstream, tmp_path, source(upstream, pieces(), dtype=DTYPE))
    for run in ("b", "a"):
        theirs.make(run, "things", progress_bar=False)
    ours = our_context(tmp_path, source(strax_core, pieces(), dtype=DTYPE))
    arguments = {"time_range": (15_000, 16_000), "time_selection": "touching"}
    mine = ours.get_array(["b", "a"], "things", **arguments)
    strax_rows = theirs.get_array(["b", "a"], "things", progress_bar=False, **arguments)

    assert mine["run_id"].tolist() == ["b"] * (len(mine) // 2) + ["a"] * (len(mine) // 2)
    for run in ("a", "b"):  # strax sorts the runs; we keep the order given
        for name in ("time", "endtime", "x", "y"):
            assert (
                mine[mine["run_id"] == run][name].tolist()
                == strax_rows[strax_rows["run_id"] == run][name].tolist()
            )
