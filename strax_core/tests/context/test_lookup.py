from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_plugins import Down, Records, context, edit_metadata, folder_of, place, take_down

from strax_core.config.open import open_storage
from strax_core.errors import ConfigError, DataCorrupted, StorageUnavailable
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.frontend import StorageFrontend
from strax_core.medium import Entry


class Counting(Down):
    """Counts what it is asked, by verb and whether the path ends in `metadata.json`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def read(self, path: str) -> bytes:
        self.asked["read " + path.rsplit("-", maxsplit=1)[-1]] += 1
        return super().read(path)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        self.asked["list"] += 1
        return super().list(folder, starts_with=starts_with)


def local(folder: Path, name: str) -> StorageFrontend:
    (folder / name).mkdir()
    return open_storage(
        {"frontend": "local", "path": str(folder / name), "name": name, "fsync": False}
    )


def test_a_table_tells_which_place_has_what(tmp_path: Path) -> None:
    near, far = local(tmp_path, "near"), local(tmp_path, "far")
    context(near).make("1", "peaks")
    context(far).make(["1", "2"], "records")
    table = context(near, far).availability(["1", "2", "3"], ["records", "peaks"])

    assert table.to_dict("index") == {
        "1": {"records": "near,far", "peaks": "near"},
        "2": {"records": "far", "peaks": ""},
        "3": {"records": "", "peaks": ""},
    }
    assert table.attrs["problems"] == {}
    one = context(near, far).availability("2", "records")
    assert one.to_dict("index") == {"2": {"records": "far"}}


def test_runs_are_selected_by_what_is_available(tmp_path: Path) -> None:
    near, far = local(tmp_path, "near"), local(tmp_path, "far")
    ctx = context(near, far)
    for run, mode in (("1", "led"), ("2", "led"), ("3", "background")):
        ctx.write_run_metadata(run, {"mode": mode})
    context(near).make(["1", "3"], "records")
    context(far).make("2", "peaks")

    def names(**conditions: Any) -> list[str]:
        return list(ctx.select_runs(**conditions)["name"])

    assert names() == ["1", "2", "3"]
    assert names(available="records") == ["1", "2", "3"]
    assert names(available=["records", "peaks"]) == ["2"]
    assert names(available="records", run_mode="led") == ["1", "2"]
    assert names(available="peaks", run_mode="background") == []
    with pytest.raises(ConfigError, match="did you mean 'peaks'"):
        names(available="peeks")


def test_a_place_that_is_down_stands_in_the_attributes_of_the_table() -> None:
    down, near = place("down"), place("near")
    context(near).make("1", "records")
    context(near).write_run_metadata("1", {})
    take_down(down)
    ctx = context(down, near)
    problems = {"down": "down could not answer: the cable is out"}
    table = ctx.availability("1", "records")

    assert table.to_dict("index") == {"1": {"records": "near"}}
    assert table.attrs["problems"] == problems
    selected = ctx.select_runs(available="records")
    assert list(selected["name"]) == ["1"]
    assert selected.attrs["problems"] == problems


@pytest.mark.parametrize("error", [StorageUnavailable("out"), OSError("out")], ids=repr)
def test_if_no_place_answers_that_is_an_error_and_not_an_empty_table(error: Exception) -> None:
    down = place("down")
    take_down(down, error)
    with pytest.raises(StorageUnavailable, match="down could not answer: out"):
        context(down).availability("1", "records")

    assert context().availability("1", "records").to_dict("index") == {"1": {"records": ""}}


@pytest.mark.parametrize("check", [False, True])
def test_failed_data_of_strax_count_by_their_name_unless_they_are_checked(*, check: bool) -> None:
    near = place("near")
    context(near).make("1", "records")
    edit_metadata(near, "records", exception="ValueError: on fire")
    table = context(near).availability("1", "records", check=check)

    assert table.to_dict("index") == {"1": {"records": "" if check else "near"}}
    assert not context(near).is_stored("1", "records")


@pytest.mark.parametrize("use_per_run_defaults", [False, True])
def test_two_hundred_runs_cost_few_listings_and_one_document_each(
    *, use_per_run_defaults: bool
) -> None:
    backend = Counting()
    ctx = context(
        DirectoryFrontend(backend, name="near"), use_per_run_defaults=use_per_run_defaults
    )
    runs = [f"{i:03d}" for i in range(200)]
    ctx.write_run_metadata("007", {"strax_defaults": {"gain": 7.0}})
    ctx.make(["007", "008"], "peaks")
    backend.asked.clear()
    table = ctx.availability(runs, ["records", "peaks"])

    assert list(table.index[table["peaks"] == "near"]) == ["007", "008"]
    assert backend.asked["list"] <= 2
    assert sum(backend.asked.values()) - backend.asked["list"] == (
        200 if use_per_run_defaults else 0
    )


def test_a_run_s_own_defaults_decide_what_counts_as_its_data() -> None:
    near = place("near")
    plain, calibrated = context(near), context(near, use_per_run_defaults=True)
    plain.make(["1", "2"], "peaks")
    plain.write_run_metadata("1", {"strax_defaults": {"gain": 2.0}})

    def available() -> dict[str, str]:
        table = calibrated.availability(["1", "2"], ["peaks", "records"])
        assert list(table["records"]) == ["near", "near"]
        return dict(table["peaks"])

    assert available() == {"1": "", "2": "near"}
    calibrated.make("1", "peaks")
    assert available() == {"1": "near", "2": "near"}
    assert calibrated.get_array("1", "peaks")["x"].max() == 38


def test_a_run_document_that_cannot_be_read_is_an_error_where_it_decides_keys() -> None:
    class Garbled(DirectoryFrontend):
        def _run_metadata(self, run_id: str) -> Mapping[str, Any]:
            raise DataCorrupted(f"garbled document of {run_id}")

    ctx = context(Garbled(Down(), name="garbled"), use_per_run_defaults=True)
    for ask in (ctx.availability, ctx.is_stored, ctx.explain):
        with pytest.raises(DataCorrupted, match="garbled document of 1"):
            ask("1", "peaks")


def test_loose_matches_count_and_are_not_exact_ones() -> None:
    near = place("near")
    context(near, config={"offset": 2.0}).make("1", "records")

    assert context(near).availability("1", "records").iloc[0, 0] == ""
    loose = context(near, fuzzy_for_options="offset")
    assert loose.availability("1", "records").iloc[0, 0] == "near"
    assert loose.availability("1", "records", check=True).iloc[0, 0] == "near"


def test_several_targets_are_stored_if_each_is() -> None:
    near, far = place("near"), place("far")
    context(near).make("1", "records")
    ctx = context(near, far)

    assert ctx.is_stored("1", "records")
    assert not ctx.is_stored("1", ["records", "peaks"])
    context(far).make("1", "peaks")
    assert ctx.is_stored("1", ("records", "peaks"))
    assert not ctx.is_stored("2", "records")
    assert folder_of(near, "records").startswith(f"1-{Records.__name__.lower()}-")
