"""Data go both ways between the real strax and us: one folder, read and written by both."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from twins import TIMES, Piece, Rows, made_from, our_context, rows_of, source, their_context

import strax_core
from strax_core import DataNotAvailable
from strax_core.codecs import codec_named

RUN = "run_7"
SECOND = 1_000_000_000
WAVES = np.dtype(
    [
        (("Start of the row", "time"), "<i8"),
        (("Number of samples", "length"), "<i4"),
        (("Time of a sample", "dt"), "<i2"),
        (("Samples in ADC counts", "data"), "<i2", (110,)),
        ("matrix", "<f4", (2, 3)),
    ]
)
ODD = np.dtype(
    [
        (("A title, with 'quotes'", "time"), "<i8"),
        ("endtime", "<i8"),
        ("big_int", ">i4"),
        (("Big-endian, with a title", "big_float"), ">f8", (2,)),
        ("raw", "S5"),
        ("text", "<U7"),
        ("big_text", ">U3"),
        ("flag", "?"),
        ("complex", "<c8"),
        ("inside", [("x", ">u2"), (("A title inside", "y"), "<f4")]),
    ]
)
TEXTS = np.dtype([*TIMES.descr, ("raw", "S5"), (("A title", "text"), "<U3")])


@dataclass(frozen=True)
class Case:
    pieces: Sequence[Piece]
    dtype: np.dtype[Any] = TIMES
    rechunk_on_save: bool = False
    chunk_target_size_mb: float = 200


def pieces(dtype: np.dtype[Any], *counts: int, step_ns: int = 5000) -> list[Piece]:
    """Return chunks of a second, with so many rows each, `step_ns` apart."""
    return [
        (
            i * SECOND,
            (i + 1) * SECOND,
            rows_of(dtype, range(i * SECOND, i * SECOND + n * step_ns, step_ns), seed=i),
        )
        for i, n in enumerate(counts)
    ]


CASES = {
    "no rows at all": Case(pieces(TIMES, 0)),
    "no rows in three chunks": Case(pieces(TIMES, 0, 0, 0)),
    "an empty chunk in the middle": Case(pieces(TIMES, 4, 0, 5)),
    "empty chunks at both ends": Case(pieces(WAVES, 0, 3, 0), dtype=WAVES),
    "sub-arrays and titles": Case(pieces(WAVES, 7, 9), dtype=WAVES),
    "byte orders, texts, nested fields": Case(pieces(ODD, 5), dtype=ODD),
    "byte orders in several chunks": Case(pieces(ODD, 5, 0, 6), dtype=ODD),
    "two chunks of one row": Case(pieces(TIMES, 1, 1)),
    "rechunked into one": Case(pieces(TIMES, 3, 0, 4, 5), rechunk_on_save=True),
    "rechunked: no rows": Case(pieces(TIMES, 0, 0), rechunk_on_save=True),
    "rechunked: joined by a small target": Case(
        pieces(TIMES, *[3] * 20), rechunk_on_save=True, chunk_target_size_mb=160e-6
    ),
    "rechunked: cut by a small target": Case(
        pieces(TIMES, 1000, 0, 1000), rechunk_on_save=True, chunk_target_size_mb=1600e-6
    ),
    "rechunked: no gap to cut in": Case(
        pieces(TIMES, 200, 0, step_ns=100), rechunk_on_save=True, chunk_target_size_mb=160e-6
    ),
    "rechunked: sub-arrays": Case(
        pieces(WAVES, 50, 50, 1), dtype=WAVES, rechunk_on_save=True, chunk_target_size_mb=0.003
    ),
    "rechunked: texts": Case(
        pieces(TEXTS, 30, 0, 40), dtype=TEXTS, rechunk_on_save=True, chunk_target_size_mb=0.0005
    ),
    "not rechunked, whatever the target": Case(pieces(TIMES, 1000, 1), chunk_target_size_mb=160e-6),
}
# strax itself cannot rechunk these: it stops at a single gap, and at big-endian fields.
ONLY_OURS = {
    "rechunked: one gap, between chunks": Case(
        pieces(TIMES, 100, 100, step_ns=100), rechunk_on_save=True, chunk_target_size_mb=160e-6
    ),
    "rechunked: byte orders": Case(pieces(ODD, 5, 0, 6), dtype=ODD, rechunk_on_save=True),
}
CODECS = ("blosc", "zstd", "lz4", "bz2")
each_codec = pytest.mark.parametrize("codec", CODECS)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
each_of_ours = pytest.mark.parametrize(
    "case", (CASES | ONLY_OURS).values(), ids=(CASES | ONLY_OURS).keys()
)


def things(package: ModuleType, case: Case, **attributes: Any) -> type:
    return source(
        package,
        case.pieces,
        dtype=case.dtype,
        rechunk_on_save=case.rechunk_on_save,
        chunk_target_size_mb=case.chunk_target_size_mb,
        **attributes,
    )


def assert_same_rows(got: Rows, expected: Rows) -> None:
    assert got.dtype.descr == expected.dtype.descr  # names, titles, byte order, shapes
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def joined(rows: Sequence[Rows]) -> Rows:
    """Join rows without a change of byte order, which `np.concatenate` may make."""
    raw = b"".join(part.tobytes() for part in rows)
    return np.frombuffer(raw, rows[0].dtype)


def given(case: Case) -> Rows:
    return joined([rows for _, _, rows in case.pieces])


def spans(chunks: Sequence[Any]) -> list[tuple[int, int, int]]:
    return [(chunk.start, chunk.end, len(chunk.data)) for chunk in chunks]


def metadata_file(folder: Path) -> Path:
    (path,) = folder.glob(f"{RUN}-things-*/things-*-metadata.json")
    return path


def made_on_both_sides(
    upstream: ModuleType, folder: Path, case: Case, codec: str
) -> tuple[Path, Path]:
    """Let each side make the same rows in a folder of its own."""
    theirs, ours = folder / "theirs", folder / "ours"
    theirs.mkdir()
    ours.mkdir()
    their_class = things(upstream, case, compressor=codec)
    their_context(upstream, theirs, their_class).make(RUN, "things", progress_bar=False)
    our_context(ours, things(strax_core, case, compressor=codec)).make(RUN, "things")
    return theirs, ours


def stored_spans(folder: Path) -> list[tuple[int, int, int]]:
    document = json.loads(metadata_file(folder).read_text("ascii"))
    assert [entry["chunk_i"] for entry in document["chunks"]] == [*range(len(document["chunks"]))]
    return [(entry["start"], entry["end"], entry["n"]) for entry in document["chunks"]]


def check_both_read(upstream: ModuleType, folder: Path, case: Case) -> None:
    """Read the folder with fresh contexts of both sides and compare with what was given."""
    theirs = their_context(upstream, folder, things(upstream, case, compute=never))
    ours = our_context(folder, things(strax_core, case, compute=never))
    assert ours.is_stored(RUN, "things")
    assert theirs.is_stored(RUN, "things")
    assert str(ours.key_for(RUN, "things")) == str(theirs.key_for(RUN, "things"))

    expected = stored_spans(folder)
    their_chunks = list(theirs.get_iter(RUN, "things", progress_bar=False))
    our_chunks = list(ours.get_iter(RUN, "things"))
    assert spans(their_chunks) == spans(our_chunks) == expected
    assert (expected[0][0], expected[-1][1]) == (case.pieces[0][0], case.pieces[-1][1])
    if not case.rechunk_on_save:
        assert expected == [(start, end, len(rows)) for start, end, rows in case.pieces]

    assert_same_rows(ours.get_array(RUN, "things"), given(case))
    assert_same_rows(joined([chunk.data for chunk in our_chunks]), given(case))
    assert_same_rows(joined([chunk.data for chunk in their_chunks]), given(case))
    their_rows = theirs.get_array(RUN, "things", progress_bar=False)
    assert their_rows.dtype.names == given(case).dtype.names
    # Joining chunks, strax turns big-endian fields to the machine's order: compare as such.
    assert their_rows.tobytes() == given(case).astype(their_rows.dtype).tobytes()


def never(self: Any, chunk_i: int) -> Any:  # noqa: ARG001 - both call it so
    raise AssertionError("this is stored, and need not be made")


@each_codec
@each_case
def test_what_strax_wrote_is_found_by_name_and_loads(
    upstream: ModuleType, tmp_path: Path, case: Case, codec: str
) -> None:
    made = things(upstream, case, compressor=codec)
    their_context(upstream, tmp_path, made).make(RUN, "things", progress_bar=False)

    check_both_read(upstream, tmp_path, case)
    assert json.loads(metadata_file(tmp_path).read_text("ascii"))["compressor"] == codec


@each_codec
@each_of_ours
def test_strax_loads_what_we_wrote(
    upstream: ModuleType, tmp_path: Path, case: Case, codec: str
) -> None:
    our_context(tmp_path, things(strax_core, case, compressor=codec)).make(RUN, "things")

    check_both_read(upstream, tmp_path, case)
    assert json.loads(metadata_file(tmp_path).read_text("ascii"))["compressor"] == codec


# Large enough for several blocks of every codec.
LARGE = Case(pieces(WAVES, 5000, 0, 1), dtype=WAVES)


@each_codec
@pytest.mark.parametrize(
    "case",
    [*(case for case in CASES.values() if not case.rechunk_on_save), LARGE],
    ids=[*(name for name, case in CASES.items() if not case.rechunk_on_save), "large"],
)
def test_the_files_of_chunks_are_the_same_byte_for_byte(
    upstream: ModuleType, tmp_path: Path, case: Case, codec: str
) -> None:
    theirs, ours = made_on_both_sides(upstream, tmp_path, case, codec)

    their_files, our_files = (
        {path.name: path.read_bytes() for path in folder.glob("*-*-*/things-*-0*")}
        for folder in (theirs, ours)
    )
    assert our_files == their_files
    assert len(our_files) == sum(len(rows) > 0 for _, _, rows in case.pieces)


@each_codec
def test_many_megabytes_give_the_same_bytes(upstream: ModuleType, codec: str) -> None:
    rows = np.zeros(600_000, TIMES)  # for zstd, more than one job

    (ours,) = codec_named(codec).encode(rows).buffers
    assert bytes(ours) == upstream.io.COMPRESSORS[codec]["compress"](rows)


@pytest.mark.parametrize("name", ["rechunked: cut by a small target", "rechunked: sub-arrays"])
def test_a_small_target_makes_several_chunks_on_both_sides(
    upstream: ModuleType, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    theirs, ours = made_on_both_sides(upstream, tmp_path, case, "zstd")

    assert len(stored_spans(theirs)) > len(case.pieces)
    assert len(stored_spans(ours)) > len(case.pieces)


@each_of_ours
def test_rows_that_were_just_made_are_those_that_load(tmp_path: Path, case: Case) -> None:
    first = our_context(tmp_path, things(strax_core, case)).get_array(RUN, "things")

    again = our_context(tmp_path, things(strax_core, case, compute=never))
    assert_same_rows(first, given(case))
    assert_same_rows(again.get_array(RUN, "things"), given(case))


def test_rows_with_padding_are_made_and_loaded_without(tmp_path: Path) -> None:
    padded = np.dtype([("flag", "?"), ("time", "<i8"), ("endtime", "<i8")], align=True)
    case = Case([(0, SECOND, rows_of(padded, [1, 2], seed=0))], dtype=padded)

    context = our_context(tmp_path, things(strax_core, case))
    packed = np.dtype([("flag", "?"), *TIMES.descr])
    for _ in ("made", "loaded"):
        rows = context.get_array(RUN, "things")
        assert rows.dtype == packed
        assert rows["time"].tolist() == [1, 2]


def plus_one(self: Any, things: Rows) -> Rows:
    rows = np.zeros(len(things), self.dtype)
    rows["time"], rows["endtime"] = things["time"], things["time"] + 100
    rows["x"] = things["big_int"] + 1
    return rows


def test_a_run_is_made_further_on_the_other_side(upstream: ModuleType, tmp_path: Path) -> None:
    case = CASES["byte orders in several chunks"]
    dtype = np.dtype([*TIMES.descr, ("x", "<i8")])
    their_sides = (things(upstream, case), made_from(upstream, "things", plus_one, dtype=dtype))
    our_sides = (
        things(strax_core, case, compute=never),
        made_from(strax_core, "things", plus_one, dtype=dtype),
    )
    their_context(upstream, tmp_path, *their_sides).make(RUN, "things", progress_bar=False)

    ours = our_context(tmp_path, *our_sides).get_array(RUN, "results")
    theirs = their_context(upstream, tmp_path, *their_sides)
    assert theirs.is_stored(RUN, "results")
    assert_same_rows(theirs.get_array(RUN, "results", progress_bar=False), ours)
    assert ours["x"].tolist() == [int(x) + 1 for x in given(case)["big_int"]]


@each_codec
def test_our_metadata_document_has_the_names_and_values_of_strax(
    upstream: ModuleType, tmp_path: Path, codec: str
) -> None:
    case = CASES["an empty chunk in the middle"]
    folders = made_on_both_sides(upstream, tmp_path, case, codec)
    theirs, ours = (json.loads(metadata_file(each).read_text("ascii")) for each in folders)

    assert set(theirs) <= set(ours)
    moments = {"writing_started", "writing_ended"}
    for name in set(theirs) - moments - {"chunks"}:
        assert ours[name] == theirs[name], name
    for name in moments:
        assert 0 <= datetime.now(UTC).timestamp() - ours[name] < 100
    for our_entry, their_entry in zip(ours["chunks"], theirs["chunks"], strict=True):
        assert {name: our_entry.get(name) for name in their_entry} == their_entry
    assert {"format_version", "write_id", "data_id", "writer"} <= set(ours)


def test_documents_about_runs_go_both_ways(upstream: ModuleType, tmp_path: Path) -> None:
    theirs, ours = their_context(upstream, tmp_path), our_context(tmp_path)
    start = datetime(2020, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    document = {
        "number": 7,
        "mode": "dark",
        "tags": [{"name": "good"}],
        "reader": {"ini": {"x": 1}},
    }
    theirs.storage[0].write_run_metadata("run_7", {**document, "start": start})
    ours.write_run_metadata("run_8", {**document, "start": start})

    assert ours.run_metadata("run_7") == {**document, "name": "run_7", "start": start}
    flat = theirs.run_metadata("run_8")
    assert flat["name"] == "run_8"
    assert flat["start"].replace(tzinfo=UTC) == start
    assert (flat["number"], flat["mode"], flat["tags"]) == (7, "dark", [{"name": "good"}])
    assert flat["reader.ini.x"] == 1
    assert ours.run_metadata("run_8", ["start", "reader.ini.x"]) == {
        "start": start,
        "reader.ini.x": 1,
    }
    assert sorted(run["name"] for run in ours.scan_runs()) == ["run_7", "run_8"]
    assert sorted(theirs.scan_runs()["name"]) == ["run_7", "run_8"]


def test_what_strax_failed_to_make_is_not_taken_for_data_and_is_replaced(
    upstream: ModuleType, tmp_path: Path
) -> None:
    case = CASES["sub-arrays and titles"]
    theirs = their_context(upstream, tmp_path, things(upstream, case, fails_at=1))
    with pytest.raises(ZeroDivisionError):
        theirs.make(RUN, "things", progress_bar=False)
    (folder,) = tmp_path.glob(f"{RUN}-things-*")
    left = json.loads(next(folder.glob("*-metadata.json")).read_text("ascii"))
    assert "exception" in left  # strax gave it the final name
    assert len(left["chunks"]) == 1

    ours = our_context(tmp_path, things(strax_core, case))
    assert not ours.is_stored(RUN, "things")
    with pytest.raises(DataNotAvailable, match="the detector is on fire"):
        ours.find(RUN, "things")
    ours.make(RUN, "things")

    check_both_read(upstream, tmp_path, case)
    named = {entry["filename"] for entry in ours.get_metadata(RUN, "things")["chunks"]}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {name for name in files if not name.endswith("json")} == named
