"""The codec columns: any rows, cut in any way, and what is read of them, bit for bit."""

import json
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from strax_core import DataCorrupted
from strax_core.codecs import ALL, Selection
from strax_core.codecs.columns import ColumnsCodec
from strax_core.errors import NewerFormat
from strax_core.format.chunk_info import ChunkInfo
from strax_core.format.dtypes import packed
from strax_core.testing.samples import DTYPES, sample_rows

Rows = np.ndarray[Any, np.dtype[Any]]
KINDS = ["<i8", ">i8", "<u8", "<i4", ">u4", "<i2", ">u2", "i1", "u1", "?", "<f2", "<f4", ">f8"]
KINDS += ["<c8", ">c16", "<U3", ">U2", "S5", "V3", "<M8[ns]", ">m8[us]", "S0"]


@st.composite
def dtypes(draw: st.DrawFn, depth: int = 0) -> np.dtype[Any]:
    """Return a structured dtype: sub-arrays, nested, titled, without width, padded or not."""
    fields: list[Any] = []
    for i in range(draw(st.integers(1, 5))):
        kind: Any = draw(st.sampled_from(KINDS))
        if depth < 2 and draw(st.integers(0, 5)) == 0:
            kind = draw(dtypes(depth=depth + 1))
        name: Any = f"f{i}" if draw(st.booleans()) else (f"title {i}", f"f{i}")
        shape = draw(st.sampled_from([(), (), (), (1,), (3,), (2, 2), (0,), (40,)]))
        fields.append((name, kind, shape))
    if depth == 0:
        times = [("time", draw(st.sampled_from(["<i8", ">i8"]))), ("endtime", "<i8")]
        fields = draw(st.permutations([*fields, *times]))
    try:
        return packed(np.dtype(fields))
    except ValueError:  # numpy has no arrays of structures without bytes
        reject()


@st.composite
def rows_of(draw: st.DrawFn) -> Rows:
    """Return rows that keep the laws, of bytes that repeat, are zero, or are noise."""
    dtype = draw(dtypes())
    n = draw(st.integers(1, 300))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    noise = random.integers(0, 256, (n, dtype.itemsize), dtype=np.uint8)
    noise &= random.choice(np.array([0, 1, 255], np.uint8), dtype.itemsize)
    noise[random.random(n) < draw(st.sampled_from([0, 0.5]))] = 0
    rows = np.frombuffer(noise.tobytes(), dtype).copy()
    for name in dtype.names or ():
        if dtype[name].base.kind == "?":
            rows[name] = rows[name].view(np.uint8) != 0
    rows["time"] = np.cumsum(random.integers(0, draw(st.sampled_from([1, 3, 10**12])), n))
    rows["endtime"] = rows["time"] + random.integers(0, 50, n)
    return rows


class Cut(ColumnsCodec):
    """The codec with other sizes."""

    def __init__(self, *, segment_bytes: int, block_bytes: int, small_bytes: int = 0) -> None:
        self.segment_bytes = segment_bytes
        self.block_bytes = block_bytes
        self.small_bytes = small_bytes


def info_of(rows: Rows, codec: dict[str, Any], size: int) -> ChunkInfo:
    return ChunkInfo(
        chunk_i=0,
        n=len(rows),
        start=0,
        end=1,
        run_id="run",
        nbytes=rows.nbytes,
        filesize=size,
        codec=json.loads(json.dumps(codec)),
    )


def stored(codec: ColumnsCodec, rows: Rows) -> tuple[ChunkInfo, bytes]:
    encoded = codec.encode(rows)
    data = b"".join(encoded.buffers)
    return info_of(rows, dict(encoded.info), len(data)), data


class Answered:
    """Answers a decoder, and keeps what it asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.requests: list[Any] = []

    def fill(self, decoder: Any) -> int:
        answer: Sequence[bytes] | None = None
        while True:
            try:
                request = decoder.send(answer)
            except StopIteration as end:
                return int(end.value)
            self.requests.append(request)
            answer = [self.data[at : at + size] for at, size in request]


def decoded(
    codec: ColumnsCodec, info: ChunkInfo, data: bytes, rows: Rows, selection: Selection = ALL
) -> list[Rows]:
    """Return the rows that each segment gives."""
    dtype = rows.dtype
    if selection.columns is not None:
        dtype = packed(rows[[*selection.columns]].dtype)
    parts = []
    for segment in codec.segments(info):
        out: Rows = np.zeros(segment.n, dtype)
        n = Answered(data).fill(codec.decode(info, segment, selection, out, dtype=rows.dtype))
        parts.append(out[:n])
    return parts


def columns_of(rows: Rows, names: Sequence[str]) -> Rows:
    chosen = rows[[*names]]
    return np.ascontiguousarray(chosen, packed(chosen.dtype))


def same(left: Rows, right: Rows) -> bool:
    return left.dtype == right.dtype and left.tobytes() == right.tobytes()


@settings(
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(rows_of(), st.data())
def test_what_is_read_in_part_is_the_same_part_of_what_is_read_whole(
    rows: Rows, data: st.DataObject
) -> None:
    block_bytes = data.draw(st.sampled_from([1, 100, 1000, 10**6]))
    segment_bytes = data.draw(st.sampled_from([1, 2000, 10**6]))
    small_bytes = data.draw(st.sampled_from([0, 0, 10**6]))
    codec = Cut(segment_bytes=segment_bytes, block_bytes=block_bytes, small_bytes=small_bytes)
    info, file = stored(codec, rows)

    assert b"".join(part.tobytes() for part in decoded(codec, info, file, rows)) == rows.tobytes()
    names = tuple(data.draw(st.permutations(rows.dtype.names or ())))
    columns = data.draw(st.sampled_from([None, names, names[:1], names[:2]]))
    latest = int(rows["time"][-1]) + 50
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, latest)] * 2)))
    time_range = data.draw(st.sampled_from([None, (start, end)]))
    selection = Selection(columns, time_range)
    expected = rows if columns is None else columns_of(rows, columns)
    for segment, part in zip(
        codec.segments(info), decoded(codec, info, file, rows, selection), strict=True
    ):
        within = slice(segment.first_row, segment.first_row + segment.n)
        whole = expected[within]
        if time_range is None:
            assert same(part, whole)
            continue
        touched = np.flatnonzero((rows["endtime"][within] >= start) & (rows["time"][within] <= end))
        if not len(touched):
            continue
        positions = [
            at
            for at in range(len(whole) - len(part) + 1)
            if at <= touched[0]
            and touched[-1] < at + len(part)
            and same(whole[at : at + len(part)], part)
        ]
        assert positions


def test_a_field_without_bytes_is_read_alone() -> None:
    rows = np.zeros(2, [("time", "<i8"), ("endtime", "<i8"), ("empty", "<U3", (0,))])
    codec = Cut(segment_bytes=1000, block_bytes=1)
    info, file = stored(codec, rows)
    parts = decoded(codec, info, file, rows, Selection(("empty",)))
    assert [(len(part), part.dtype.names) for part in parts] == [(2, ("empty",))]


@pytest.mark.parametrize("dtype_name", DTYPES)
def test_the_bytes_are_the_same_whoever_does_the_work(dtype_name: str) -> None:
    rows = sample_rows(3000, dtype=packed(DTYPES[dtype_name]))
    codec = Cut(segment_bytes=30_000, block_bytes=5000)
    one = codec.encode(rows)
    with ThreadPoolExecutor(4) as pool:

        def run(jobs: Sequence[Callable[[], Any]], /) -> list[Any]:
            return [task.result() for task in [pool.submit(job) for job in jobs]]

        other = codec.encode(rows, run=run)

    assert b"".join(one.buffers) == b"".join(other.buffers)
    assert one.info == other.info


def waves(n: int = 4000) -> Rows:
    """Return rows of which each kind of filter suits some field."""
    dtype = np.dtype(
        [
            ("time", "<i8"),
            ("endtime", "<i8"),
            ("area", "<f4"),
            ("baseline", "<i2"),
            ("data", "<i2", (40,)),
            ("per_channel", "<f4", (30,)),
            ("label", "S4"),
        ]
    )
    random = np.random.default_rng(3)
    rows = np.zeros(n, dtype)
    rows["time"] = np.cumsum(random.integers(0, 10_000, n)) + 10**18
    rows["endtime"] = rows["time"] + random.integers(1, 200, n)
    rows["area"] = random.lognormal(size=n)
    rows["baseline"] = random.integers(-500, 500, n)
    noise = random.normal(0, 2, (n, 40)).astype("i2")
    rows["data"] = rows["baseline"][:, None] + noise
    rows["per_channel"] = random.random((n, 30)) * (random.random((n, 30)) < 0.1)
    return rows


@pytest.mark.parametrize(
    ("columns", "time_share", "most_share"),
    [(("label",), 1.0, 0.02), (("time",), 1.0, 0.05), (None, 0.02, 0.15), (("area",), 0.02, 0.03)],
)
def test_two_reads_a_segment_fetch_little_more_than_is_wanted(
    columns: tuple[str, ...] | None, time_share: float, most_share: float
) -> None:
    rows = np.concatenate([waves(20_000)] * 5)
    rows["time"] = np.arange(len(rows)) * 100
    rows["endtime"] = rows["time"] + 50
    codec = Cut(segment_bytes=100 << 20, block_bytes=1 << 18)
    info, data = stored(codec, rows)
    latest = int(rows["time"][-1])
    time_range = None if time_share == 1 else (latest // 2, int(latest * (0.5 + time_share)))
    (segment,) = codec.segments(info)
    places = Answered(data)
    out: Rows = np.zeros(segment.n, rows.dtype)
    places.fill(codec.decode(info, segment, Selection(columns, time_range), out, dtype=rows.dtype))

    assert len(places.requests) == 2
    fetched = sum(size for request in places.requests for _, size in request)
    assert fetched < most_share * len(data)


def test_a_segment_that_is_wanted_whole_is_one_range_of_its_own() -> None:
    rows = waves()
    codec = Cut(segment_bytes=200_000, block_bytes=50_000)
    info, data = stored(codec, rows)
    end = 0
    for segment in codec.segments(info):
        places = Answered(data)
        out: Rows = np.zeros(segment.n, rows.dtype)
        places.fill(codec.decode(info, segment, ALL, out, dtype=rows.dtype))
        ((at, size),) = places.requests[0]
        assert (len(places.requests), at) == (1, end)
        end += size

    assert len(codec.segments(info)) > 2
    assert end == len(data)


def test_columns_go_into_arrays_of_their_own() -> None:
    rows = waves()
    codec = Cut(segment_bytes=200_000, block_bytes=50_000)
    info, data = stored(codec, rows)
    names = ("data", "time", "per_channel")
    out = {
        name: np.zeros((len(rows), *rows.dtype[name].shape), rows.dtype[name].base)
        for name in names
    }
    for segment in codec.segments(info):
        within = slice(segment.first_row, segment.first_row + segment.n)
        part = {name: column[within] for name, column in out.items()}
        Answered(data).fill(codec.decode(info, segment, Selection(names), part, dtype=rows.dtype))

    for name in names:
        assert out[name].tobytes() == rows[name].tobytes()


def test_rows_without_duration_on_a_border_are_given() -> None:
    rows = waves(1000)
    rows["time"] = np.arange(1000) // 100 * 100
    rows["endtime"] = rows["time"]
    codec = Cut(segment_bytes=1, block_bytes=20 * rows.dtype.itemsize)
    info, data = stored(codec, rows)
    for time_range in ((300, 400), (300, 300), (0, 1), (899, 900)):
        given_rows = np.concatenate(
            decoded(codec, info, data, rows, Selection(time_range=time_range))
        )
        for border in time_range:
            expected = np.count_nonzero(rows["time"] == border)
            assert np.count_nonzero(given_rows["time"] == border) == expected


LAYOUTS = {
    "strided": np.dtype([("time", "<i8"), ("data", "<i2", (40,))]),
    "padded": np.dtype(
        {"names": ["data", "time"], "formats": [("<i2", (40,)), "<i8"], "offsets": [3, 400]}
    ),
    "other types": np.dtype([("time", ">i8"), ("data", "<f8", (40,))]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_of_another_layout_is_filled(layout: str) -> None:
    rows = waves()
    info, data = stored(ColumnsCodec(), rows)
    (segment,) = ColumnsCodec().segments(info)
    every = 2 if layout == "strided" else 1
    out: Rows = np.zeros(every * len(rows), LAYOUTS[layout])[::every]
    Answered(data).fill(
        ColumnsCodec().decode(info, segment, Selection(("data", "time")), out, dtype=rows.dtype)
    )

    assert np.array_equal(out["data"], rows["data"])
    assert np.array_equal(out["time"], rows["time"])


def test_arrays_in_rows_are_decoded_straight_into_them() -> None:
    rows = waves(20_000)
    info, data = stored(ColumnsCodec(), rows)
    (segment,) = ColumnsCodec().segments(info)
    out: Rows = np.zeros(len(rows), rows.dtype)

    def fill() -> int:
        return Answered(data).fill(ColumnsCodec().decode(info, segment, ALL, out, dtype=rows.dtype))

    fill()  # this thread keeps the memory for its next block
    tracemalloc.start()
    fill()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert same(out, rows)
    assert peak_bytes < len(data) + rows["data"].nbytes // 2


@pytest.mark.parametrize("field", ["time", "label", "per_channel"])
def test_damage_is_told_by_field_and_block(field: str) -> None:
    rows = waves()
    rows["label"] = np.arange(len(rows)) % 100
    codec = Cut(segment_bytes=10**9, block_bytes=50_000)
    info, data = stored(codec, rows)
    (segment,) = codec.segments(info)
    places = Answered(data)
    out: Rows = np.zeros(segment.n, rows.dtype)
    several = codec.decode(info, segment, Selection((field,)), out, dtype=rows.dtype)
    places.fill(several)
    at, size = places.requests[-1][0]
    hurt = bytearray(data)
    hurt[at + size - 1] ^= 1
    if len(places.requests) == 1:  # it is read whole, and its index is its end
        hurt = bytearray(data)
        hurt[1] ^= 1
        field = "time"

    with pytest.raises(DataCorrupted, match=rf"field '{field}', block \d+"):
        decoded(codec, info, bytes(hurt), rows)


def test_a_newer_version_is_refused_with_the_way_out() -> None:
    rows = waves(1000)
    info, _ = stored(ColumnsCodec(), rows)
    newer = replace(info, codec={**(info.codec or {}), "version": 2})

    with pytest.raises(NewerFormat, match=r"version 2 .*newer strax-core"):
        ColumnsCodec().segments(newer)


def test_a_file_of_another_chunk_is_found_out() -> None:
    rows, others = waves(), waves()
    others["area"][7] = 0
    info, data = stored(ColumnsCodec(), rows)
    _, other = stored(ColumnsCodec(), others)

    for file in (other, other[: len(data)].ljust(len(data), b"\0")):
        with pytest.raises(DataCorrupted):
            decoded(ColumnsCodec(), info, file, rows)


def test_the_entry_of_a_huge_chunk_is_small() -> None:
    rows = np.zeros(40_000, [("time", "<i8"), ("endtime", "<i8")])
    rows["time"] = rows["endtime"] = 1_700_000_000_000_000_000
    codec = Cut(segment_bytes=1, block_bytes=1)
    encoded = codec.encode(rows[:2000])

    assert len(encoded.info["segments"]) <= codec.segments_max
    assert len(json.dumps(dict(encoded.info))) < 6500
