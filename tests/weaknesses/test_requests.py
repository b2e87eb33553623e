"""Numbers of chunks, names of runs, and modules of data plugins (W10, W30, W33); see also W9."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_line import (
    N_CHUNKS,
    N_ROWS,
    RECORDS,
    RUN,
    chunk_files,
    context,
    files_in,
    loading,
    local,
    values,
)

from strax_core import ConfigError


@pytest.mark.weakness("W10")
@pytest.mark.parametrize(
    "given",
    [
        2,
        np.int64(2),
        np.uint8(2),
        [2],
        (np.int32(2),),
        np.array([2]),
        np.array(2),
        {2},
        range(2, 3),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["chunk_numbers", "chunk_number"])
def test_a_chunk_number_of_any_whole_type_selects_its_chunk(
    tmp_path: Path, name: str, given: Any
) -> None:
    context(tmp_path).make(RUN, "records")

    rows = loading(tmp_path).get_array(RUN, "records", **{name: given})
    assert values(rows) == RECORDS[2 * N_ROWS : 3 * N_ROWS]


@pytest.mark.weakness("W10")
@pytest.mark.parametrize(
    "given",
    [
        2.0,
        np.float64(2),
        "2",
        b"2",
        True,
        [2, "3"],
        [],
        -1,
        N_CHUNKS,
        [2, N_CHUNKS],
        {"records": [2]},
    ],
)
def test_any_other_chunk_number_is_an_error(tmp_path: Path, given: Any) -> None:
    context(tmp_path).make(RUN, "records")

    with pytest.raises(ConfigError, match="chunk"):
        loading(tmp_path).get_array(RUN, "records", chunk_numbers=given)


@pytest.mark.weakness("W9")
@pytest.mark.parametrize("max_workers", [1, 2])
def test_a_chunk_above_what_blosc_takes_is_an_error_and_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_workers: int
) -> None:
    monkeypatch.setattr("strax_core.codecs.blosc.ROWS_BYTES_MAX", N_ROWS * 24 - 1)
    ctx = context(local(tmp_path, compressor="blosc"))

    with pytest.raises(ConfigError, match=r"blosc.*takes at most"):
        ctx.make(RUN, "records", max_workers=max_workers)
    assert not ctx.is_stored(RUN, "records")
    assert not [name for name in files_in(tmp_path) if "failed-" not in name]
    monkeypatch.setattr("strax_core.codecs.blosc.ROWS_BYTES_MAX", N_ROWS * 24)
    ctx.make(RUN, "records")
    assert all(path.stat().st_size for path in chunk_files(ctx, "records", tmp_path))
    assert values(loading(tmp_path).get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W30")
def test_runs_of_any_name_are_listed_and_selected(tmp_path: Path) -> None:
    names = ["000007", "12", "calibration_a", "Überlauf", "run_7"]
    ctx = context(tmp_path)
    for name in names:
        ctx.write_run_metadata(name, {"mode": f"mode of {name}", "tags": [{"name": "_good"}]})
    ctx.make("calibration_a", "records")
    # A superrun that strax stored, and what it leaves of one.
    for folder in ("_super-records-aaaaaaaaaa", "_super-records-aaaaaaaaab_temp", "odd", "a-b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_super-metadata.json").write_text('{"name": "_super", "sub_run_spec": {}}')

    assert {document["name"] for document in ctx.scan_runs()} == set(names)
    table = ctx.select_runs()
    assert sorted(table["name"]) == sorted(names)
    assert ctx.select_runs(run_id="cal*")["name"].tolist() == ["calibration_a"]
    assert ctx.select_runs(include_tags="good", run_mode="mode of run_7")["name"].tolist() == [RUN]
    assert ctx.select_runs(available="records")["name"].tolist() == ["calibration_a"]
    table = ctx.availability(names, "records")
    assert len(table) == len(names)


MODULE = """
import numpy as np
from strax_core import Plugin


class Counted(Plugin):
    depends_on = "records"
    data_kind = "counted"
    dtype = [("time", "<i8"), ("endtime", "<i8"), ("x", "<f8")]

    def compute(self, records):
        rows = records.copy()
        rows["x"] += {added}
        return rows
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return three modules with a data plugin of one name; the second has the code of the first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {}
    for name, added in (("analysis_of_a", 1), ("moved_of_a", 1), ("analysis_of_b", 2)):
        (tmp_path / f"{name}.py").write_text(MODULE.format(added=added))
        found[name] = importlib.import_module(name).Counted
    return found


@pytest.mark.weakness("W33")
def test_data_made_by_another_module_under_the_same_name_are_loaded_with_a_warning(
    tmp_path: Path, modules: dict[str, Any]
) -> None:
    (tmp_path / "data").mkdir()
    first = context(tmp_path / "data", plugins=[modules["analysis_of_a"]])
    first.make(RUN, "counted")
    made = [x + 1 for x in RECORDS]
    other = context(tmp_path / "data", plugins=[modules["analysis_of_b"]])
    assert str(first.key_for(RUN, "counted")) == str(other.key_for(RUN, "counted"))

    with pytest.warns(
        UserWarning, match=r"analysis_of_a.*analysis_of_b|analysis_of_b.*analysis_of_a"
    ):
        assert values(other.get_array(RUN, "counted")) == made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("analysis_of_a", "moved_of_a"):
            ctx = context(tmp_path / "data", plugins=[modules[name]])
            assert values(ctx.get_array(RUN, "counted")) == made
