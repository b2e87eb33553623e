"""Parts that are read by segment, block and column equal the same parts of all rows."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segment_codec import SegmentCodec, installed
from small_plugins import context, place

import strax_core as sc
from strax_core.chunks.chunk import Chunk
from strax_core.context.context import Context
from strax_core.data_plugins.plugin import Plugin
from strax_core.frontend.directory import DirectoryFrontend

CODECS = ("none", "zstd", "segments-5-2", "segments-3-3", "segments-1000-4", "segments-4-1")
CODECS += ("columns", "columns-1-1", "columns-100-300", "columns-400-400", "columns-1-10000")
TIMES = {
    "endtime": [("time", "<i8"), ("endtime", "<i8")],
    "length": [("time", "<i8"), ("length", "<i4"), ("dt", "<i2")],
    "both": [("length", "<u2"), ("time", ">i8"), ("dt", "<i4"), ("endtime", "<i8")],
}
MORE = [
    ("x", "<f8"),
    (("Area of it", "area"), ">f4"),
    ("wave", "<f4", (3,)),
    ("flag", "?"),
    ("name", "<U3"),
    ("raw", "S2"),
    ("nested", [("a", "<i2"), ("b", "<f8", (2,))]),
    ("when", "<M8[ns]"),
    ("z", "<c8"),
    ("half", ">f2"),
    ("channel", ">u4", (1,)),
    ("took", ">m8[us]", (2, 2)),
    ("pairs", [("a", "i1"), ("b", ">i4")], (3,)),
    ("level", "<i8"),
    ("none", "V0"),
]
DURATIONS = st.sampled_from((0, 0, 1, 5, 30))


@pytest.fixture(autouse=True, scope="module")
def _segment_codec() -> Iterator[None]:
    with installed():
        yield


@dataclass
class Stored:
    """Rows in a place in memory, and a context that may only load them."""

    rows: np.ndarray[Any, Any]
    borders: list[tuple[int, int]]
    at: list[int]
    """Which row is the first of each chunk, and how many there are."""
    ctx: Context
    frontend: DirectoryFrontend

    def endtime(self) -> np.ndarray[Any, Any]:
        """Computed here, in Python's own numbers."""
        if "endtime" in (self.rows.dtype.names or ()):
            return np.array([int(end) for end in self.rows["endtime"]], "i8")
        return np.array(
            [int(row["time"]) + int(row["dt"]) * int(row["length"]) for row in self.rows], "i8"
        )


def filled(n: int, dtype: np.dtype[Any], durations: list[int], gaps: list[int]) -> Any:
    """Rows of arbitrary bytes but for their times: zeros, repeats, noise, and odd numbers."""
    random = np.random.default_rng(n)
    noise = random.integers(0, 256, (n, dtype.itemsize), np.uint8)
    noise &= random.choice(np.array([0, 1, 255], np.uint8), dtype.itemsize)
    noise[::3] = 0
    rows = np.frombuffer(noise.tobytes(), dtype).copy()
    for name in dtype.names or ():
        column = rows[name]
        if column.dtype.kind in "US":
            column[...] = [str(i) for i in range(n)]
        elif column.dtype.kind == "b":
            column[...] = np.arange(column.size).reshape(column.shape) % 3 == 0
        elif column.dtype.kind in "fc":
            column[0] = -0.0
            column[-1] = np.array(0x7FF8_BEEF_0000_0000, "u8").view("f8")  # NaN, with a payload
        elif column.dtype.kind in "mM":
            column[0] = "NaT"
    time = 100 + np.cumsum([0, *gaps])[:n]
    rows["time"] = time
    for name in {"dt", "length"} & set(dtype.names or ()):
        rows[name] = 1
    if "endtime" in (dtype.names or ()):
        rows["endtime"] = time + durations[:n]
    else:
        rows["length"] = durations[:n]
    return rows


def cuts_of(rows: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> list[int]:
    """Rows before which a chunk may begin: all before have ended."""
    return [
        i
        for i in range(1, len(rows))
        if max(int(end) for end in ends[:i]) <= int(rows["time"][i])
        and int(rows["time"][i - 1]) < int(rows["time"][i])
    ]


@st.composite
def pieces_of_data(draw: st.DrawFn) -> Stored:
    n = draw(st.integers(1, 30))
    more = draw(st.lists(st.sampled_from(MORE), unique_by=str, max_size=4))
    fields = draw(st.permutations([*TIMES[draw(st.sampled_from(sorted(TIMES)))], *more]))
    durations = draw(st.lists(DURATIONS, min_size=n, max_size=n))
    gaps = draw(st.lists(st.sampled_from((0, 1, 10, 40)), min_size=n, max_size=n))
    rows = filled(n, np.dtype(fields), durations, gaps)
    made = Stored(rows, [], [], Context([]), place())
    cuts = cuts_of(rows, made.endtime())
    chosen = sorted(draw(st.sets(st.sampled_from(cuts)))) if cuts else []
    last = int(made.endtime().max()) + draw(st.sampled_from((0, 50)))
    starts = [0, *(int(rows["time"][cut]) for cut in chosen), last]
    made.borders = list(pairwise(starts))
    made.at = [0, *chosen, n]
    store(made, draw(st.sampled_from(CODECS)))
    return made


def store(made: Stored, compressor: str) -> None:
    class Records(Plugin):
        dtype = made.rows.dtype

    made.ctx = context(made.frontend, plugins=[Records], forbid_creation_of="*")
    key = made.ctx.key_for("7", "records")
    made.frontend.saver(key, _document(key, made.rows.dtype, compressor)).save_from(
        Chunk(start, end, made.rows[begin:stop], "7", "records")
        for (start, end), (begin, stop) in zip(made.borders, pairwise(made.at), strict=True)
    )


def _document(key: sc.DataKey, dtype: np.dtype[Any], compressor: str) -> dict[str, Any]:
    return {
        "run_id": key.run_id,
        "data_type": key.data_type,
        "data_kind": "records",
        "dtype": repr(dtype.descr),
        "compressor": compressor,
        "lineage": key.lineage.as_json(),
        "lineage_hash": key.lineage_hash,
    }


@st.composite
def selections(
    draw: st.DrawFn, made: Stored, *, by_number: bool = False
) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Options, and the rows that they select, found row by row."""
    options: dict[str, Any] = {}
    names = list(made.rows.dtype.names or ())
    columns = draw(st.none() | st.lists(st.sampled_from(names), unique=True, min_size=1).map(tuple))
    keep = np.ones(len(made.rows), bool)
    time, endtime = made.rows["time"].astype("i8"), made.endtime()
    if draw(st.booleans()):
        start, end = sorted((draw(st.integers(80, 700)), draw(st.integers(80, 700))))
        if draw(st.booleans()):
            start = int(time[draw(st.integers(0, len(time) - 1))])
            end = max(start, end)
        options["time_range"] = start, end
        options["time_selection"] = draw(st.sampled_from(("fully_contained", "touching")))
        for i in range(len(keep)):
            keep[i] = (
                endtime[i] > start and time[i] < end
                if options["time_selection"] == "touching"
                else start <= time[i] and endtime[i] <= end
            )
    elif by_number and draw(st.booleans()):
        numbers = draw(st.sets(st.sampled_from(range(len(made.borders))), min_size=1))
        options["chunk_numbers"] = numbers
        of_chunk = np.repeat(np.arange(len(made.borders)), np.diff(made.at))
        keep &= np.isin(of_chunk, sorted(numbers))
    if draw(st.booleans()):
        middle = int(time[len(time) // 2])
        options["where"] = draw(
            st.sampled_from(
                (
                    f"time > {middle}",
                    lambda rows: rows["time"] > middle,
                    [f"time > {middle}", lambda rows: rows["time"] == rows["time"]],
                )
            )
        )
        keep &= time > middle
    expected = made.rows[keep]
    if columns is not None and draw(st.booleans()) and len(columns) < len(names):
        options["drop_columns"] = columns
        columns = tuple(name for name in names if name not in columns)
    elif columns is not None:
        options["columns"] = columns
    if columns is not None:
        packed = np.zeros(
            len(expected), [field for name in columns for field in _field(made, name)]
        )
        for name in columns:
            packed[name] = expected[name]
        expected = packed
    return options, expected


def _field(made: Stored, name: str) -> list[Any]:
    of_type, _, *title = made.rows.dtype.fields[name]
    return [((title[0], name) if title else name, of_type)]


def is_outside(made: Stored, options: dict[str, Any]) -> bool:
    """Whether a time range overlaps no chunk, which is an error."""
    start, end = options.get("time_range", (0, 1 << 60))
    return bool(start >= made.borders[-1][1] or end <= made.borders[0][0])


@given(st.data())
def test_parts_equal_the_same_parts_of_all_rows(data: st.DataObject) -> None:
    made = data.draw(pieces_of_data())
    options, expected = data.draw(selections(made, by_number=True))
    if is_outside(made, options):
        return
    options["max_workers"] = data.draw(st.sampled_from((1, 3)))
    rows = made.ctx.get_array("7", "records", **options)
    columns = made.ctx.get_columns("7", "records", **options)
    chunks = list(made.ctx.get_iter("7", "records", **options))

    assert rows.dtype == expected.dtype
    assert rows.tobytes() == expected.tobytes()
    assert b"".join(chunk.data.tobytes() for chunk in chunks) == expected.tobytes()
    assert tuple(columns) == expected.dtype.names
    for name, column in columns.items():
        assert column.flags.c_contiguous
        assert column.dtype == expected[name].dtype
        assert column.tobytes() == expected[name].tobytes()


@given(st.data())
def test_parts_of_merged_data_equal_the_same_parts_of_all_rows(data: st.DataObject) -> None:
    made = data.draw(pieces_of_data())
    names = list(made.rows.dtype.names or ())
    times = {"time", "endtime", "dt", "length"} & set(names)
    more = [name for name in names if name not in times]
    left = {name for i, name in enumerate(more) if i % 2}
    merged = made.ctx.get_array("7", "records")
    frontend, parts = place(), {}
    for data_type, out in (("left", left), ("right", set(more) - left)):
        fields = [f for name in names if name not in out for f in _field(made, name)]
        part = np.zeros(len(merged), fields)
        for name in part.dtype.names or ():
            part[name] = merged[name]
        parts[data_type] = part
    ctx = _two_of_a_kind(frontend, made, parts, data.draw(st.sampled_from(CODECS)))
    options, expected = data.draw(selections(made))
    if is_outside(made, options):
        return
    rows = ctx.get_array("7", ["left", "right"], **options)
    columns = ctx.get_columns("7", ["left", "right"], **options)

    assert set(rows.dtype.names or ()) == set(expected.dtype.names or ())
    for name in expected.dtype.names or ():
        assert rows[name].tobytes() == columns[name].tobytes() == expected[name].tobytes()


def _two_of_a_kind(
    frontend: DirectoryFrontend, made: Stored, parts: dict[str, Any], compressor: str
) -> Context:
    class Left(Plugin):
        dtype = parts["left"].dtype
        data_kind = "records"

    class Right(Plugin):
        dtype = parts["right"].dtype
        data_kind = "records"

    ctx = context(frontend, plugins=[Left, Right], forbid_creation_of="*")
    for data_type, rows in parts.items():
        key = ctx.key_for("7", data_type)
        frontend.saver(key, _document(key, rows.dtype, compressor)).save_from(
            Chunk(chunk.start, chunk.end, rows[begin : begin + chunk.n], "7", data_type)
            for chunk, begin in _chunks_and_rows(made)
        )
    return ctx


def _chunks_and_rows(made: Stored) -> Iterator[tuple[Chunk, int]]:
    at = 0
    for chunk in made.ctx.get_iter("7", "records"):
        yield chunk, at
        at += chunk.n


def test_rows_of_no_bytes_come_in_chunks_of_any_size() -> None:
    made = _stored("zstd", more=("none", "V0"))
    chunks = made.ctx.get_iter("7", "records", columns="none", chunk_size_bytes=1)

    assert sum(chunk.n for chunk in chunks) == len(made.rows)


@given(st.data(), st.integers(1, 2000))
def test_chunks_of_a_size_are_the_same_rows(data: st.DataObject, size_bytes: int) -> None:
    made = data.draw(pieces_of_data())
    options, expected = data.draw(selections(made))
    if is_outside(made, options):
        return
    chunks = list(made.ctx.get_iter("7", "records", chunk_size_bytes=size_bytes, **options))

    assert b"".join(chunk.data.tobytes() for chunk in chunks) == expected.tobytes()
    assert all(one.end == other.start for one, other in pairwise(chunks))


def _stored(compressor: str, n: int = 20, *, more: tuple[str, str] = ("x", "<f8")) -> Stored:
    rows = filled(n, np.dtype([*TIMES["endtime"], more]), [1] * n, [100] * n)
    made = Stored(rows, [(0, 100 + 100 * n)], [0, n], Context([]), place())
    store(made, compressor)
    return made


def test_a_report_tells_what_was_fetched() -> None:
    made = _stored("segments-5-2")
    everything, column, time = sc.ReadReport(), sc.ReadReport(), sc.ReadReport()
    made.ctx.get_array("7", "records", report=everything)
    made.ctx.get_columns("7", "records", columns="x", report=column)
    list(made.ctx.get_iter("7", "records", time_range=(0, 350), report=time))

    size = made.rows.nbytes
    assert (everything.stored_bytes, everything.fetched_bytes, everything.requests) == (
        size,
        size,
        4,
    )
    assert (column.stored_bytes, column.fetched_bytes, column.requests) == (size, size // 3, 4)
    # Rows at 100, 200, 300: the first two blocks of the first segment.
    assert (time.stored_bytes, time.fetched_bytes, time.requests) == (size, 4 * 24, 1)
    for report in (everything, column, time):
        assert report.decoding_s > 0
        assert report.fetching_s > 0
        assert report.total_s > 0
    assert str(column).startswith("fetched 0.000 of 0.000 MB (33.3%) in 4 requests; 0.")


def test_a_report_counts_on_over_several_runs_and_copies() -> None:
    made = _stored("zstd")
    report = sc.ReadReport()
    made.ctx.get_array(["7"], "records", report=report)
    made.ctx.get_array("7", "records", report=report)
    size = made.ctx.get_metadata("7", "records")["chunks"][0]["filesize"]

    assert (report.fetched_bytes, report.requests, report.stored_bytes) == (2 * size, 2, 2 * size)
    with pytest.raises(sc.ConfigError, match="report is a dict"):
        made.ctx.get_array("7", "records", report={})


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1 MB"])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(sc.ConfigError, match="chunk_size_bytes"):
        _stored("none").ctx.get_iter("7", "records", chunk_size_bytes=size)


@pytest.mark.parametrize(
    "order",
    [np.r_[10:20, 0:10], np.r_[0:20:2, 1:20:2], np.r_[0:9, 10, 9, 11:20]],
    ids=["swapped", "mixed", "one row"],
)
def test_segments_out_of_order_are_damage_though_each_is_in_order(order: Any) -> None:
    made = _stored("none")
    rows = made.rows[order]
    honest = SegmentCodec(10, 10)
    encoded = honest.encode(np.ascontiguousarray(rows))
    folder = made.ctx.key_for("7", "records").name
    backend = made.frontend.backends["main"]
    path = f"{folder}/{made.ctx.get_metadata('7', 'records').chunks[0].filename}"
    document = dict(made.ctx.get_metadata("7", "records"))
    entry = {**document["chunks"][0], "codec": json.loads(json.dumps(dict(encoded.info)))}
    document |= {"compressor": "segments-10-10", "chunks": [entry]}
    backend.write(path, encoded.buffers)
    backend.write(sc.metadata_path(folder), [json.dumps(document).encode()])

    for load in (made.ctx.get_array, made.ctx.get_columns, lambda *a: list(made.ctx.get_iter(*a))):
        with pytest.raises(sc.DataCorrupted, match=r"row 10 starts at .* sort rows by time"):
            load("7", "records")
    # Parts of a time range are read apart from one another.
    middle = (int(made.rows["time"][2]), int(made.rows["time"][17]))
    for load in (made.ctx.get_array, lambda *a, **b: list(made.ctx.get_iter(*a, **b))):
        with pytest.raises(sc.DataCorrupted, match=r"row \d+ starts at .* sort rows by time"):
            load("7", "records", time_range=middle)
    assert len(made.ctx.get_array("7", "records", columns="x")) == 20


def test_pieces_of_one_chunk_are_decoded_by_several_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = _stored("segments-10-2")
    meeting = threading.Barrier(2, timeout=600)
    honest = made.frontend.backends["main"].read_ranges

    def read_ranges(path: str, ranges: Any, **options: Any) -> Any:
        meeting.wait()  # none goes on before two threads are at work
        return honest(path, ranges, **options)

    monkeypatch.setattr(made.frontend.backends["main"], "read_ranges", read_ranges)

    assert len(made.ctx.get_array("7", "records", max_workers=2)) == 20
    assert sum(chunk.n for chunk in made.ctx.get_iter("7", "records", max_workers=2)) == 20


@pytest.mark.parametrize("added", [b"\0", b"more of it"])
def test_bytes_added_after_the_last_segment_are_noticed_whatever_is_read(added: bytes) -> None:
    made = _stored("segments-10-2")
    backend = made.frontend.backends["main"]
    (info,) = made.ctx.get_metadata("7", "records").chunks
    (folder,) = (entry.name for entry in backend.list("") if "records" in entry.name)
    path = f"{folder}/{info.filename}"
    backend.write(path, [backend.read(path), added])

    for wanted in ({}, {"columns": "x"}, {"time_range": (100, 101)}):
        with pytest.raises(sc.DataCorrupted, match=r"run 7, records, chunk 0: .* bytes, not \d+;"):
            made.ctx.get_array("7", "records", **wanted)


def test_one_chunk_is_encoded_by_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _stored("none")
    meeting = threading.Barrier(2, timeout=600)
    honest = SegmentCodec._blocks

    def blocks(self: SegmentCodec, part: Any) -> Any:
        meeting.wait()  # none goes on before two threads are at work
        return honest(self, part)

    class Records(Plugin):
        dtype = made.rows.dtype

        def chunks(self) -> Iterator[Chunk]:
            yield self.chunk(start=0, end=made.borders[-1][1], data=made.rows)

    monkeypatch.setattr(SegmentCodec, "_blocks", blocks)
    ctx = context(place(compressor="segments-10-5"), plugins=[Records])
    ctx.make("7", "records", max_workers=2)

    assert ctx.get_array("7", "records").tobytes() == made.rows.tobytes()


@pytest.mark.parametrize(
    "compressor", ["zstd", "segments-4-1", "segments-3-2", "segments-1-1", "columns-1-48"]
)
@pytest.mark.parametrize("time_selection", ["fully_contained", "touching"])
def test_rows_of_zero_duration_on_borders_are_those_of_a_full_read(
    compressor: str, time_selection: str
) -> None:
    n = 9
    dtype = np.dtype([*TIMES["endtime"], ("x", "<f8")])
    rows = filled(n, dtype, [0, 0, 5, 0, 10, 0, 0, 10, 0], [10] * n)
    rows["x"] = range(n)
    made = Stored(rows, [(0, 300)], [0, n], Context([]), place())
    store(made, compressor)
    borders = sorted({*map(int, rows["time"]), *map(int, rows["endtime"])})
    for start in borders:
        for end in [each for each in borders if each >= start]:
            options: dict[str, Any] = {"time_selection": time_selection, "columns": "x"}
            given = made.ctx.get_array("7", "records", time_range=(start, end), **options)
            expected = [
                float(row["x"])
                for row in rows
                if (time_selection == "touching" and row["endtime"] > start and row["time"] < end)
                or (time_selection != "touching" and start <= row["time"] and row["endtime"] <= end)
            ]
            assert given["x"].tolist() == expected
