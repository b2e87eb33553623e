"""One bad place spoils no other (W22, W23, W27), and each is called by its own name (W25)."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_line import (
    N_CHUNKS,
    PEAKS,
    RECORDS,
    ROW,
    RUN,
    SPAN_NS,
    Peaks,
    chunk_files,
    context,
    files_in,
    folder_of,
    loading,
    local,
    values,
)

from strax_core import (
    DataCorrupted,
    DataKey,
    Location,
    Match,
    MemoryBackend,
    Option,
    StorageFrontend,
)
from strax_core.testing.two_places import TwoPlaceFrontend
from strax_local import LocalBackend, LocalOptions

LOOSE = {"fuzzy_for_options": ("gain",), "allow_incomplete": True}
ERRORS = [
    TimeoutError("the database is down"),
    NotImplementedError("no fuzzy matching here"),
    DataCorrupted("half a folder"),
    ValueError("something in a storage plugin"),
]
each_error = pytest.mark.parametrize("error", ERRORS, ids=repr)


class Bad(StorageFrontend):
    """Answers everything with the same error."""

    def __init__(self, error: Exception) -> None:
        super().__init__({"main": MemoryBackend()}, name="bad", storage_type=0)
        self.error = error

    def _find(self, *_: Any) -> Any:
        raise self.error

    def _targets(self, *_: Any) -> Any:
        raise self.error

    def _run_metadata(self, *_: Any) -> Any:
        raise self.error

    def _scan_runs(self) -> Iterator[Mapping[str, Any]]:
        raise self.error


@pytest.mark.weakness("W22")
@each_error
@pytest.mark.parametrize("options", [{}, LOOSE], ids=["strict", "loose"])
def test_a_frontend_that_raises_anything_spoils_no_other(
    tmp_path: Path, error: Exception, options: dict[str, Any]
) -> None:
    good = context(tmp_path)
    good.write_run_metadata(RUN, {"mode": "test"})
    ctx = context(Bad(error), tmp_path, **options)
    assert not ctx.is_stored(RUN, "records")
    ctx.make(RUN, "records")

    assert good.is_stored(RUN, "records")
    assert ctx.is_stored(RUN, "records")
    assert str(error) in ctx.find(RUN, "records").problems[0]
    assert ctx.get_metadata(RUN, "records").run_id == RUN
    assert values(ctx.get_array(RUN, "records")) == RECORDS
    assert ctx.run_metadata(RUN)["mode"] == "test"
    assert [document["name"] for document in ctx.scan_runs()] == [RUN]
    assert ctx.availability(RUN, "records")["records"].tolist() == [tmp_path.name]


class OnlyStrict(Bad):
    """Knows no loose matching, and cannot say what is being written."""

    def _find(self, key: DataKey, match: Match) -> list[Location]:  # noqa: ARG002 - it has nothing
        if match.is_fuzzy or match.allow_incomplete:
            raise self.error
        return []


@pytest.mark.weakness("W22")
@each_error
def test_a_frontend_without_loose_matching_does_not_end_that_of_the_others(
    tmp_path: Path, error: Exception
) -> None:
    context(tmp_path, config={"gain": 3.0}).make(RUN, "peaks")
    ctx = context(OnlyStrict(error), local(tmp_path, readonly=True), **LOOSE)

    assert ctx.is_stored(RUN, "peaks")
    assert values(ctx.get_array(RUN, "peaks")) == [3 * x for x in RECORDS]


def hurt_chunk(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


each_damage = pytest.mark.parametrize(
    "damage", [Path.unlink, hurt_chunk], ids=["missing", "damaged"]
)


@pytest.mark.weakness("W23")
@each_damage
@pytest.mark.parametrize("chunk_i", [0, 4, N_CHUNKS - 1])
def test_an_array_is_loaded_from_the_next_copy_if_one_cannot_be_read(
    tmp_path: Path, damage: Callable[[Path], None], chunk_i: int
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    context(*folders).make(RUN, "records")
    ctx = loading(*folders)
    damage(chunk_files(ctx, "records", folders[0])[chunk_i])

    assert values(ctx.get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W23")
@each_damage
@pytest.mark.parametrize("chunk_i", [0, 4, N_CHUNKS - 1])
def test_a_stream_goes_on_with_the_next_copy_where_one_cannot_be_read(
    tmp_path: Path, damage: Callable[[Path], None], chunk_i: int
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    context(*folders).make(RUN, "records")
    ctx = loading(*folders)
    damage(chunk_files(ctx, "records", folders[0])[chunk_i])
    chunks = list(ctx.get_iter(RUN, "records"))

    assert [chunk.start for chunk in chunks] == [i * SPAN_NS for i in range(N_CHUNKS)]
    assert [x for chunk in chunks for x in values(chunk.data)] == RECORDS
    assert values(ctx.get_array(RUN, "peaks")) == PEAKS


def two_places(folder: Path) -> TwoPlaceFrontend:
    """Return one frontend with two directories; peaks are kept in the near one."""
    for name in ("near", "far"):
        (folder / name).mkdir(exist_ok=True)
    near, far = (
        LocalBackend(LocalOptions(path=str(folder / name), fsync=False)) for name in ("near", "far")
    )
    return TwoPlaceFrontend(near, far, near_types=["peaks"], name="two")


@pytest.mark.weakness("W25")
def test_two_directories_of_one_frontend_are_told_apart_by_name(tmp_path: Path) -> None:
    ctx = context(two_places(tmp_path))
    ctx.make(RUN, "peaks")

    assert len(chunk_files(ctx, "records", tmp_path / "far")) == N_CHUNKS
    assert len(chunk_files(ctx, "peaks", tmp_path / "near")) == N_CHUNKS
    assert not folder_of(ctx, "records", tmp_path / "near").exists()
    assert not folder_of(ctx, "peaks", tmp_path / "far").exists()
    assert ctx.find(RUN, "records").place == "two/far"
    assert ctx.find(RUN, "peaks").place == "two/near"
    again = loading(two_places(tmp_path))
    assert values(again.get_array(RUN, "records")) == RECORDS
    assert values(again.get_array(RUN, "peaks")) == PEAKS


@pytest.mark.weakness("W25")
def test_data_that_moved_to_the_other_directory_are_found_there(tmp_path: Path) -> None:
    ctx = context(two_places(tmp_path))
    ctx.make(RUN, "records")
    folder_of(ctx, "records", tmp_path / "far").rename(folder_of(ctx, "records", tmp_path / "near"))

    assert ctx.find(RUN, "records").place == "two/near"
    assert values(loading(two_places(tmp_path)).get_array(RUN, "records")) == RECORDS


class Calibrated(Peaks):
    """Peaks whose gain may stand in the document of a run."""

    provides = "calibrated"
    data_kind = "calibrated"
    dtype = ROW
    calibration = Option(default=1.0, type=float)

    def compute(self, records: np.ndarray) -> np.ndarray:
        rows = records.copy()
        rows["x"] *= self.calibration
        return rows


@pytest.mark.weakness("W27")
def test_a_place_without_a_document_of_a_run_does_not_hide_that_of_the_next(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    document = {"mode": "test", "strax_defaults": {"calibration": 3.0}}
    local(folders[1]).write_run_metadata(RUN, document)
    ctx = context(*folders, plugins=[Calibrated], use_per_run_defaults=True)

    assert ctx.run_metadata(RUN, "mode") == {"mode": "test"}
    assert values(ctx.get_array(RUN, "calibrated")) == [3 * x for x in RECORDS]
    assert f"{RUN}-metadata.json" not in files_in(folders[0])
