import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strax_core.chunks import invariants
from strax_core.chunks.chunk import (
    Chunk,
    check_continuity,
    check_dtype,
    concatenate,
    endtime_of,
    extrema,
)
from strax_core.errors import ChunkError, ConfigError

ENDTIME = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("area", "<f4")])
LENGTH = np.dtype([(("Start", "time"), "<i8"), ("length", "<i4"), ("dt", "<i2")])


def rows_at(*spans: tuple[int, int], dtype: npt.DTypeLike = ENDTIME) -> npt.NDArray[Any]:
    rows = np.zeros(len(spans), dtype)
    rows["time"] = [span[0] for span in spans]
    rows["endtime"] = [span[1] for span in spans]
    return rows


def chunk_of(start: int, end: int, *spans: tuple[int, int], **fields: Any) -> Chunk:
    return Chunk(start, end, rows_at(*spans), **{"run_id": "7", "data_type": "peaks", **fields})


def times(chunk: Chunk) -> list[int]:
    return [int(time) for time in chunk.data["time"]]


# Making one


def test_a_chunk_tells_its_size_and_keeps_the_rows_it_was_given() -> None:
    rows = rows_at((10, 20), (15, 18))
    chunk = Chunk(np.int64(5), np.uint32(20), rows, "7", "peaks")  # type: ignore[arg-type]

    assert (chunk.n, len(chunk), chunk.nbytes, chunk.dtype) == (2, 2, 40, ENDTIME)
    assert type(chunk.start) is int
    assert type(chunk.end) is int
    assert chunk.data is rows
    assert repr(chunk) == "<Chunk run 7, peaks, [5, 20), 2 rows>"


@pytest.mark.parametrize(
    ("spans", "text"),
    [
        ([(10, 12), (30, 31), (29, 40)], "row 2 at [29, 40) starts before row 1 at 30"),
        ([(10, 12), (30, 29)], "row 1 at [30, 29) ends before it starts"),
        ([(9, 12), (30, 31)], "row 0 at [9, 12) starts before the chunk"),
        ([(10, 101), (30, 31)], "row 0 at [10, 101) ends after the chunk"),
        ([(101, 101)], "row 0 at [101, 101) ends after the chunk"),
    ],
)
def test_a_row_that_breaks_a_law_is_refused_by_number(
    spans: list[tuple[int, int]], text: str
) -> None:
    with pytest.raises(ChunkError) as caught:
        chunk_of(10, 100, *spans)

    assert text in str(caught.value)
    assert "run 7, peaks, [10, 100)" in str(caught.value)


def test_every_row_is_checked_not_only_the_last_500() -> None:
    spans = [(i, i + 1) for i in range(2000)]
    spans[3] = (3, 5000)

    with pytest.raises(ChunkError, match=r"row 3 at \[3, 5000\)"):
        chunk_of(0, 2001, *spans)


def test_rows_of_zero_duration_are_rows_because_upstream_stores_them() -> None:
    assert chunk_of(10, 20, (10, 10), (20, 20)).n == 2
    assert chunk_of(10, 10, (10, 10)).n == 1


def test_a_chunk_may_be_empty_or_last_no_time() -> None:
    assert chunk_of(0, 0).n == 0
    assert chunk_of(5, 9).n == 0


@pytest.mark.parametrize(
    ("start", "end"), [(-1, 5), (6, 5), (True, 5), (0, True), (0.0, 5), (0, "5"), (0, 2**63)]
)
def test_impossible_borders_are_refused(start: Any, end: Any) -> None:
    with pytest.raises(ChunkError, match="run 7, peaks"):
        chunk_of(start, end)


@pytest.mark.parametrize(
    "data",
    [
        [1, 2],
        np.zeros(3),
        np.zeros((2, 2), ENDTIME),
        np.zeros((), ENDTIME),
        np.zeros(0, [("time", "<i8")]),
        np.zeros(0, [("time", "<i8"), ("dt", "<i8")]),
        np.zeros(0, [("time", "<i4"), ("endtime", "<i8")]),
        np.zeros(0, [("time", "<u8"), ("endtime", "<i8")]),
        np.zeros(0, [("time", "<i8"), ("endtime", "<f8")]),
        np.zeros(0, [("time", "<i8", (2,)), ("endtime", "<i8")]),
        np.zeros(0, [("time", "<i8"), ("dt", "<f4"), ("length", "<i4")]),
        np.zeros(0, [("time", "<i8"), ("endtime", "<i8"), ("note", "O")]),
    ],
    ids=str,
)
def test_data_that_is_not_rows_in_time_is_refused(data: Any) -> None:
    with pytest.raises(ChunkError, match="run 7, peaks"):
        Chunk(0, 10, data, "7", "peaks")


def test_the_message_about_a_dtype_says_who_declared_it() -> None:
    check_dtype(ENDTIME, "data type peaks")
    check_dtype(LENGTH, "data type records")
    with pytest.raises(ConfigError, match=r"data type peaks: field `time` must be int64"):
        check_dtype(np.dtype([("time", "f8"), ("endtime", "i8")]), "data type peaks")


def test_a_chunk_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        chunk_of(0, 10).start = 5  # type: ignore[misc]


def test_a_chunk_travels_to_another_process() -> None:
    subruns = {"3": {"start": 0, "end": 10}}
    chunk = pickle.loads(pickle.dumps(chunk_of(0, 10, (2, 3), subruns=subruns)))  # noqa: S301

    assert (chunk.start, chunk.end, chunk.run_id, chunk.data_type) == (0, 10, "7", "peaks")
    assert times(chunk) == [2]
    assert chunk.subruns == subruns


def test_importing_chunks_imports_no_numba() -> None:
    code = (
        "import sys, numpy, strax_core.chunks.chunk as c, strax_core.chunks.rechunk as r;"
        "x = numpy.zeros(0, [('time', 'i8'), ('endtime', 'i8')]);"
        "r.Rechunker(9).receive(c.Chunk(0, 1, x, '7', 'peaks'));"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Times


def test_small_integers_do_not_overflow_in_the_end_of_a_row() -> None:
    rows = np.array([(1_600_000_000_000_000_000, 2_000_000_000, 30_000)], LENGTH)

    assert endtime_of(rows).dtype == np.int64
    assert endtime_of(rows).tolist() == [1_600_060_000_000_000_000]
    assert rows["time"][0] == 1_600_000_000_000_000_000


def test_endtime_wins_over_dt_and_length() -> None:
    dtype = np.dtype([("time", "i8"), ("dt", "i8"), ("length", "i8"), ("endtime", "i8")])

    assert endtime_of(np.array([(1, 10, 10, 7)], dtype)).tolist() == [7]


def test_rows_of_either_byte_order_read_only_or_strided_are_checked_alike() -> None:
    swapped = rows_at((1, 3), (4, 6), dtype=ENDTIME.newbyteorder(">"))
    frozen = rows_at((1, 3), (4, 6))
    frozen.setflags(write=False)
    strided = rows_at((1, 3), (9, 9), (4, 6), (0, 0))[::2]
    unaligned = rows_at((1, 3), (4, 6), dtype=[("x", "i1"), ("time", "i8"), ("endtime", "i8")])
    unsigned = np.array([(1, 2, 1), (4, 2, 1)], [("time", ">i8"), ("dt", "u8"), ("length", "u2")])
    for rows in (swapped, frozen, strided, unaligned, unsigned):
        left, right = Chunk(1, 6, rows, "7", "peaks").split(4)

        assert endtime_of(rows).dtype == np.int64
        assert endtime_of(rows).dtype.isnative
        assert endtime_of(rows).tolist() == [3, 6]
        assert (times(left), times(right)) == ([1], [4])
        with pytest.raises(ChunkError, match=r"row 1 at \[4, 6\) ends after"):
            Chunk(1, 5, rows, "7", "peaks")


def test_extrema_are_of_all_rows_not_of_the_first_and_last() -> None:
    assert extrema(rows_at((3, 50), (4, 6))) == (3, 50)
    with pytest.raises(ChunkError, match="no rows"):
        extrema(rows_at())


def test_rows_without_times_have_no_end() -> None:
    with pytest.raises(ChunkError, match="time"):
        endtime_of(np.zeros(2, [("area", "f4")]))


# Splitting and joining


@pytest.mark.parametrize(
    ("at_ns", "left", "right"),
    [
        (0, [], [10, 10, 30]),
        (10, [], [10, 10, 30]),
        (20, [10, 10], [30]),
        (25, [10, 10], [30]),
        (30, [10, 10], [30]),
        (40, [10, 10, 30], []),
    ],
)
def test_a_split_gives_each_row_to_one_side(at_ns: int, left: list[int], right: list[int]) -> None:
    parts = chunk_of(0, 40, (10, 20), (10, 15), (30, 40)).split(at_ns)

    assert [times(part) for part in parts] == [left, right]
    assert [(part.start, part.end) for part in parts] == [(0, at_ns), (at_ns, 40)]
    assert [(part.run_id, part.data_type) for part in parts] == [("7", "peaks")] * 2


def test_a_split_copies_no_rows() -> None:
    chunk = chunk_of(0, 40, (10, 20), (30, 40))

    assert all(np.shares_memory(part.data, chunk.data) for part in chunk.split(25))


def test_a_row_of_zero_duration_on_a_cut_goes_right_but_on_the_end_left() -> None:
    chunk = chunk_of(0, 9, (5, 5), (9, 9))

    assert [times(part) for part in chunk.split(5)] == [[], [5, 9]]
    assert [times(part) for part in chunk.split(9)] == [[5, 9], []]


@pytest.mark.parametrize("at_ns", [11, 19, 35, 37])
def test_a_split_through_a_row_is_refused(at_ns: int) -> None:
    with pytest.raises(ChunkError, match=f"row [01] straddles a split at {at_ns}"):
        chunk_of(0, 40, (10, 20), (12, 38), (30, 36)).split(at_ns)


@pytest.mark.parametrize("at_ns", [9, 41])
def test_a_split_outside_the_chunk_is_refused(at_ns: int) -> None:
    with pytest.raises(ChunkError, match="outside"):
        chunk_of(10, 40).split(at_ns)


def test_chunks_that_abut_are_joined() -> None:
    parts = [chunk_of(0, 10, (1, 2)), chunk_of(10, 10), chunk_of(10, 30, (10, 12), (20, 30))]
    joined = concatenate(parts)

    assert (joined.start, joined.end, joined.run_id, joined.data_type) == (0, 30, "7", "peaks")
    assert times(joined) == [1, 10, 20]


def test_one_chunk_is_joined_to_itself_without_a_copy() -> None:
    chunk = chunk_of(0, 10, (1, 2))

    assert concatenate([chunk]) is chunk


def test_joining_keeps_byte_order_padding_and_titles() -> None:
    dtype = np.dtype(
        {
            "names": ["time", "endtime"],
            "formats": [">i8", ">i8"],
            "offsets": [0, 12],
            "titles": ["A", "B"],
        }
    )
    parts = [
        Chunk(0, 9, rows_at((1, 2), dtype=dtype), "7", "peaks"),
        Chunk(9, 20, rows_at((10, 11), dtype=dtype), "7", "peaks"),
    ]
    joined = concatenate(parts)

    assert joined.dtype == dtype
    assert joined.dtype.itemsize == dtype.itemsize == 20
    assert joined.data["endtime"].tolist() == [2, 11]


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (chunk_of(11, 20), "a hole"),
        (chunk_of(9, 20), "an overlap"),
        (chunk_of(10, 20, run_id="8"), "does not belong"),
        (chunk_of(10, 20, data_type="events"), "does not belong"),
        (Chunk(10, 20, np.zeros(0, LENGTH), "7", "peaks"), "dtype"),
    ],
)
def test_chunks_that_do_not_belong_together_are_not_joined(second: Chunk, text: str) -> None:
    with pytest.raises(ChunkError, match=text):
        concatenate([chunk_of(0, 10), second])


def test_joining_no_chunks_is_refused() -> None:
    with pytest.raises(ChunkError, match="no chunks"):
        concatenate([])


def test_continuity_is_from_end_to_start() -> None:
    assert check_continuity(None, chunk_of(3, 8)) == 8
    assert check_continuity(3, chunk_of(3, 8)) == 8
    with pytest.raises(ChunkError, match="should start at 4"):
        check_continuity(4, chunk_of(3, 8))


def test_subruns_are_cut_and_joined_with_their_chunk() -> None:
    subruns = {"1": {"start": 0, "end": 10}, "2": {"start": 10, "end": 30}}
    chunk = chunk_of(0, 30, run_id="_both", subruns=subruns)
    left, right = chunk.split(20)

    assert left.subruns == {"1": {"start": 0, "end": 10}, "2": {"start": 10, "end": 20}}
    assert right.subruns == {"2": {"start": 20, "end": 30}}
    assert concatenate([left, right]).subruns == subruns
    assert chunk_of(0, 9).split(3)[0].subruns is None
    assert concatenate(chunk_of(0, 9).split(3)).subruns is None


# Against the same laws, written plainly

SPANS = st.lists(st.tuples(st.integers(-2, 12), st.integers(-2, 14)), max_size=6)


def is_lawful(spans: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    return sorted(spans, key=lambda span: span[0]) == list(spans) and all(
        start <= time <= endtime <= end for time, endtime in spans
    )


@given(spans=SPANS, start=st.integers(0, 4), end=st.integers(4, 12))
def test_a_chunk_is_made_exactly_if_its_rows_obey_the_laws(
    spans: list[tuple[int, int]], start: int, end: int
) -> None:
    try:
        chunk_of(start, end, *spans)
        made = True
    except ChunkError:
        made = False

    assert made == is_lawful(spans, start, end)


@given(spans=SPANS.map(lambda spans: sorted((abs(a), abs(a) + abs(b)) for a, b in spans)))
def test_gaps_are_where_all_earlier_rows_ended_long_ago(spans: list[tuple[int, int]]) -> None:
    rows = rows_at(*spans)
    expected = [
        i
        for i in range(1, len(spans))
        if all(spans[i][0] - endtime > 2 for _, endtime in spans[:i])
    ]

    assert invariants.rows_after_gaps(rows["time"], rows["endtime"], 2).tolist() == expected


@given(
    spans=SPANS.map(lambda spans: sorted((abs(a), abs(a) + abs(b) % 8) for a, b in spans)),
    at_ns=st.integers(0, 20),
)
def test_a_split_fails_exactly_if_a_row_straddles_it(
    spans: list[tuple[int, int]], at_ns: int
) -> None:
    chunk = chunk_of(0, 20, *spans)
    if any(time < at_ns < endtime for time, endtime in spans):
        with pytest.raises(ChunkError, match="straddles"):
            chunk.split(at_ns)
        return
    left, right = chunk.split(at_ns)

    assert np.concatenate([left.data, right.data]).tolist() == chunk.data.tolist()
    for part in (left, right):
        assert is_lawful(part.data[["time", "endtime"]].tolist(), part.start, part.end)


@pytest.mark.parametrize(
    "n", [invariants.TILE_ROWS, invariants.TILE_ROWS + 1, 3 * invariants.TILE_ROWS]
)
def test_a_law_broken_in_any_tile_is_found(n: int) -> None:
    time = np.arange(n, dtype=np.int64)
    endtime = time + 1

    assert invariants.first_violation(time, endtime, 0, n) == (invariants.FINE, -1)
    for row in {1, invariants.TILE_ROWS - 1, n - 1}:
        unsorted, negative = time.copy(), endtime.copy()
        unsorted[row] = time[row - 1] - 1
        negative[row] = time[row] - 1
        assert invariants.first_violation(unsorted, endtime, -9, n) == (invariants.UNSORTED, row)
        assert invariants.first_violation(time, negative, 0, n) == (
            invariants.NEGATIVE_DURATION,
            row,
        )
        assert invariants.first_violation(time, endtime, 0, row) == (invariants.TOO_LATE, row)
    assert invariants.first_violation(time, endtime, 1, n) == (invariants.TOO_EARLY, 0)


def test_a_long_early_row_fills_gaps_many_tiles_later() -> None:
    n = 3 * invariants.TILE_ROWS
    time = 10 * np.arange(n, dtype=np.int64)
    endtime = time + 1
    endtime[1] = time[n - 5]

    assert invariants.rows_after_gaps(time, endtime, 8).tolist() == [1, *range(n - 4, n)]
