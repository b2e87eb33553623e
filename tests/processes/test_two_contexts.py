"""A strict and a loose context from one file, opened by name, on directories."""

from pathlib import Path

import pytest

from strax_core import ConfigError, Context, DataNotAvailable

MODULE = """
import numpy as np
import strax_core

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<f8")])


class Records(strax_core.Plugin):
    dtype = ROW
    threshold = strax_core.Option(default=1.0)

    def chunks(self):
        for i in range(3):
            rows = np.zeros(2, ROW)
            rows["time"] = rows["endtime"] = 10 * i
            rows["x"] = i + self.threshold
            yield self.chunk(start=10 * i, end=10 * i + 10, data=rows)


class Peaks(strax_core.Plugin):
    depends_on = "records"
    dtype = ROW
    gain = strax_core.Option(default=1.0)

    def compute(self, records):
        rows = records.copy()
        rows["x"] *= self.gain
        return rows
"""
SETTINGS = """
[storage.scratch]
frontend = "local"
path = "./scratch"
fsync = false

[storage.archive]
frontend = "local"
path = "./archive"
fsync = false
readonly = true

[context.strict]
storage = ["archive", "scratch"]
plugins = ["two_contexts_of_test"]
[context.strict.config]
gain = 2.0
threshold = 5.0

[context.loose]
storage = ["archive", "scratch"]
plugins = ["two_contexts_of_test"]
fuzzy_for_options = ["gain"]
fuzzy_for = ["records"]
forbid_creation_of = ["records"]
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "two_contexts_of_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("scratch", "archive"):
        (tmp_path / name).mkdir()
    file = tmp_path / "strax.toml"
    file.write_text(SETTINGS)
    return file


def test_the_one_makes_and_the_other_loads_and_is_told_what_differs(settings: Path) -> None:
    strict, loose = (Context.from_config(name, path=settings) for name in ("strict", "loose"))
    with pytest.raises(DataNotAvailable):
        loose.find("7", "peaks")
    strict.make("7", "peaks")
    found = loose.find("7", "peaks")

    assert strict.find("7", "peaks").differences == ()
    assert strict.find("7", "peaks").place == "scratch"
    assert found.place == "scratch"
    assert sorted(found.differences) == [
        "option 'gain' of peaks: 2.0 here, 1.0 wanted",
        "option 'threshold' of records: 5.0 here, 1.0 wanted",
    ]
    expected = [10.0, 10.0, 12.0, 12.0, 14.0, 14.0]
    assert strict.get_array("7", "peaks")["x"].tolist() == expected
    assert loose.get_array("7", "peaks")["x"].tolist() == expected
    assert [chunk.n for chunk in loose.get_iter("7", "peaks")] == [6]
    assert loose.get_metadata("7", "peaks").lineage == strict.lineage("7", "peaks")
    assert all(line in loose.explain("7", "peaks") for line in found.differences)


def test_what_the_loose_one_makes_from_the_other_s_data_is_not_kept(settings: Path) -> None:
    strict, loose = (Context.from_config(name, path=settings) for name in ("strict", "loose"))
    strict.make("7", "records")
    before = sorted(settings.parent.glob("scratch/*"))
    with pytest.warns(
        UserWarning, match=r"peaks-.* is not kept, since records was found by a loose"
    ):
        assert loose.get_array("7", "peaks")["x"].tolist() == [5.0, 5.0, 6.0, 6.0, 7.0, 7.0]
    with pytest.raises(ConfigError, match="make it in a strict context, or load it with get_array"):
        loose.make("7", "peaks")

    assert sorted(settings.parent.glob("scratch/*")) == before


def test_an_exact_copy_of_the_last_place_comes_before_a_loose_one_of_the_first(
    settings: Path,
) -> None:
    strict, loose = (Context.from_config(name, path=settings) for name in ("strict", "loose"))
    strict.make("7", "peaks")
    (settings.parent / "scratch").rename(settings.parent / "moved")
    (settings.parent / "archive").rename(settings.parent / "scratch")
    (settings.parent / "moved").rename(settings.parent / "archive")
    assert loose.find("7", "peaks").place == "archive"
    exact = Context.from_config("loose", path=settings).new_context(
        fuzzy_for=(), fuzzy_for_options=(), forbid_creation_of=()
    )
    exact.make("7", "peaks")

    assert loose.find("7", "peaks").place == "scratch"
    assert loose.find("7", "peaks").is_exact
    assert loose.get_array("7", "peaks")["x"].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert strict.find("7", "peaks").place == "archive"


def test_the_loose_one_tells_in_its_text_why_it_can_make_nothing(settings: Path) -> None:
    loose = Context.from_config("loose", path=settings)
    text = loose.explain("7", "peaks")

    assert "forbid_creation_of says that it is not to be made here" in text
    assert "so peaks cannot be had here: neither stored nor made is records" in text
    with pytest.raises(DataNotAvailable, match="forbid_creation_of"):
        loose.get_array("7", "peaks")


def test_a_copy_between_the_places_of_the_file_keeps_its_key(settings: Path) -> None:
    strict, loose = (Context.from_config(name, path=settings) for name in ("strict", "loose"))
    strict.make("7", "peaks")
    settings.write_text(SETTINGS.replace("readonly = true\n", ""))
    writable = Context.from_config("loose", path=settings)
    writable.copy("7", "peaks", to="archive")

    assert strict.find("7", "peaks").place == "archive"
    assert strict.verify("7", "peaks") == ["archive", "scratch"]
    strict.remove("7", "peaks", from_="scratch")
    assert loose.find("7", "peaks").place == "archive"
