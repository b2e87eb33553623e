"""Damage is found and named: bits, dtypes, files and metadata (W5, W6, W17, W21)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_line import (
    RECORDS,
    ROW,
    RUN,
    NeverAgain,
    Records,
    chunk_files,
    context,
    files_in,
    folder_of,
    left_by_writers,
    loading,
    local,
    values,
)

from strax_core import (
    Chunk,
    ChunkError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    PluginGaveWrongOutput,
)

N_FLIPS = 200


class Noise(Records):
    """Rows that no codec can make smaller: whichever bit is hurt, a value is."""

    provides = "noise"

    def chunks(self) -> Iterator[Chunk]:
        rows = np.zeros(2000, ROW)
        rows["time"] = rows["endtime"] = np.arange(2000)
        rows["x"] = np.random.default_rng(1).random(2000)
        yield self.chunk(start=0, end=2000, data=rows)


@pytest.mark.weakness("W5")
@pytest.mark.parametrize("compressor", ["zstd", "none"])
def test_no_flipped_bit_goes_unseen(tmp_path: Path, compressor: str, seed: int) -> None:
    ctx = context(local(tmp_path, compressor=compressor), plugins=[Noise])
    ctx.make(RUN, "noise")
    (path,) = chunk_files(ctx, "noise", tmp_path)
    good = path.read_bytes()
    found = ctx.find(RUN, "noise")
    unseen = []
    for at in np.random.default_rng(2 + seed).integers(0, 8 * len(good), N_FLIPS):
        hurt = bytearray(good)
        hurt[at // 8] ^= 1 << at % 8
        path.write_bytes(hurt)
        try:
            found.loader().read_all()
            unseen.append(at)
        except DataCorrupted:
            pass

    assert unseen == []
    with pytest.raises(DataCorrupted, match=f"run {RUN}, noise, chunk 0: .*checksum"):
        ctx.get_array(RUN, "noise")
    path.write_bytes(good)
    assert len(ctx.get_array(RUN, "noise")) == 2000


class WrongDtype(Records):
    """Promises f8 and gives i8: the same number of bytes."""

    provides = "wrong"

    def chunks(self) -> Iterator[Chunk]:
        rows = np.zeros(3, [("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])
        rows["x"] = [1, 2, 3]
        yield self.chunk(start=0, end=10, data=rows)


@pytest.mark.weakness("W6")
def test_rows_of_another_dtype_than_promised_are_an_error_and_not_kept(tmp_path: Path) -> None:
    ctx = context(tmp_path, plugins=[WrongDtype])

    with pytest.raises(PluginGaveWrongOutput, match=r"WrongDtype \(wrong of run run_7\).*x.*<i8"):
        ctx.make(RUN, "wrong")
    assert not ctx.is_stored(RUN, "wrong")
    assert left_by_writers(tmp_path) == []


@pytest.mark.weakness("W6")
def test_a_saver_takes_no_rows_of_another_dtype(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    ctx.make(RUN, "records")
    metadata: dict[str, Any] = dict(ctx.get_metadata(RUN, "records"))
    for name in ("chunks", "start", "end", "writing_ended"):
        del metadata[name]
    rows = np.zeros(3, [("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])
    saver = ctx.storage[0].saver(ctx.key_for(RUN, "records"), metadata, overwrite="always")

    with pytest.raises(ChunkError, match="was given rows of"), saver:
        saver.save(Chunk(0, 10, rows, RUN, "records"), 0)
    assert values(ctx.get_array(RUN, "records")) == RECORDS


def without_metadata(folder: Path) -> None:
    next(folder.glob("*-metadata.json")).unlink()


def empty_metadata(folder: Path) -> None:
    next(folder.glob("*-metadata.json")).write_bytes(b"")


def half_metadata(folder: Path) -> None:
    path = next(folder.glob("*-metadata.json"))
    path.write_bytes(path.read_bytes()[:200])


each_hurt_folder = pytest.mark.parametrize(
    "hurt", [without_metadata, empty_metadata, half_metadata], ids=lambda hurt: hurt.__name__
)


@pytest.mark.weakness("W17")
@each_hurt_folder
def test_a_folder_that_cannot_be_read_does_not_block_its_key(tmp_path: Path, hurt: Any) -> None:
    ctx = context(tmp_path)
    ctx.make(RUN, "records")
    hurt(folder_of(ctx, "records", tmp_path))

    assert not ctx.is_stored(RUN, "records")
    with pytest.raises(DataNotAvailable):
        ctx.find(RUN, "records")
    ctx.make(RUN, "records")
    assert values(loading(tmp_path).get_array(RUN, "records")) == RECORDS
    assert left_by_writers(tmp_path) == []


@pytest.mark.weakness("W17")
@each_hurt_folder
def test_a_folder_that_cannot_be_read_hides_no_good_copy(tmp_path: Path, hurt: Any) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    context(*folders).make(RUN, "records")
    ctx = loading(*folders)
    hurt(folder_of(ctx, "records", folders[0]))

    assert ctx.find(RUN, "records").place == "b"
    assert values(ctx.get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W17")
def test_where_nothing_may_be_replaced_the_error_says_so(tmp_path: Path) -> None:
    ctx = context(local(tmp_path, overwrite="never"))
    ctx.make(RUN, "records")
    half_metadata(folder_of(ctx, "records", tmp_path))
    before = files_in(tmp_path)

    with pytest.raises(DataExistsError, match="overwrite is 'never'"):
        ctx.make(RUN, "records")
    assert files_in(tmp_path) == before


@pytest.mark.weakness("W21")
def test_a_missing_chunk_file_is_an_error_that_names_it_and_the_way_out(tmp_path: Path) -> None:
    context(tmp_path).make(RUN, "records")
    ctx = context(tmp_path, plugins=[NeverAgain])
    chunk_files(ctx, "records", tmp_path)[3].unlink()
    message = f"{tmp_path}/.*: run {RUN}, records, chunk 3: its file .* is missing; .*again=True"

    with pytest.raises(DataCorrupted, match=message):
        ctx.get_array(RUN, "records")
    with pytest.raises(DataCorrupted, match=message):
        list(ctx.get_iter(RUN, "records"))
    with pytest.raises(DataCorrupted, match=message):
        ctx.verify(RUN, "records")
    context(tmp_path).make(RUN, "records", again=True)
    assert values(ctx.get_array(RUN, "records")) == RECORDS
