import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from types import ModuleType
from typing import Any

import numexpr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strax_core import Chunk, ChunkInfo, ConfigError
from strax_core.selection import filters as conditions
from strax_core.selection.parse import LoadOptions, query_of
from strax_core.selection.query import ALL_ROWS, Query

ROW = np.dtype(
    [
        (("When it starts", "time"), "<i8"),
        ("endtime", "<i8"),
        ("area", "<f4"),
        ("wave", "<i2", (2,)),
        ("kind", "S2"),
    ]
)


def rows_at(*times: int, duration: int = 10) -> np.ndarray:
    rows = np.zeros(len(times), ROW)
    rows["time"] = times
    rows["endtime"] = rows["time"] + duration
    rows["area"] = np.arange(len(times))
    rows["kind"] = b"s1"
    return rows


def info_of(chunk_i: int, start: int, end: int, *, n: int = 1, **more: Any) -> ChunkInfo:
    return ChunkInfo(
        chunk_i=chunk_i, n=n, start=start, end=end, run_id="7", nbytes=n * ROW.itemsize, **more
    )


def tens(n: int) -> list[ChunkInfo]:
    return [
        info_of(i, i * 10, i * 10 + 10, first_time=i * 10 + 1, last_time=i * 10 + 9)
        for i in range(n)
    ]


def numbers_of(options: LoadOptions, infos: list[ChunkInfo]) -> list[int]:
    return [info.chunk_i for info in query_of(options).chunks_of(infos, where="here")]


def times_of(options: LoadOptions, rows: np.ndarray) -> list[int]:
    times: list[int] = query_of(options).rows_of(rows)["time"].tolist()
    return times


def test_nothing_asked_is_everything() -> None:
    assert query_of({}) == ALL_ROWS == query_of(dict.fromkeys(LoadOptions.__annotations__))
    assert ALL_ROWS.is_all
    assert not ALL_ROWS.is_partial


@pytest.mark.parametrize(
    ("options", "is_partial"),
    [
        ({"time_range": (1, 2)}, True),
        ({"seconds_range": (1, 2)}, True),
        ({"chunk_numbers": 0}, True),
        ({"where": "area > 1"}, False),
        ({"columns": "time"}, False),
        ({"drop_columns": "area"}, False),
    ],
)
def test_it_is_known_whether_less_than_the_run_is_read(
    options: LoadOptions, *, is_partial: bool
) -> None:
    assert query_of(options).is_partial is is_partial
    assert query_of(options).is_all is False


def test_a_time_selection_alone_has_no_effect() -> None:
    rows = rows_at(1, 2, 3)

    assert query_of({"time_selection": "touching"}).rows_of(rows) is rows
    assert query_of({"time_selection": "touching"}).is_all


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_range": (1, 2), "seconds_range": (1, 2)}, "time_range and seconds_range"),
        ({"time_range": (1, 2), "time_within": rows_at(1)}, "time_range and time_within"),
        ({"time_range": (1.0, 2)}, "whole numbers of ns"),
        ({"time_range": (True, 2)}, "whole numbers of ns"),
        ({"time_range": (2, 1)}, "ends at 1, before it starts at 2"),
        ({"time_range": 5}, r"give \(start, end\)"),
        ({"time_range": (1, 2, 3)}, r"give \(start, end\)"),
        ({"time_range": "12"}, "whole numbers of ns"),
        ({"time_range": np.array([1.0, 2.0])}, "whole numbers of ns"),
        ({"seconds_range": (0, float("inf"))}, "finite numbers of s"),
        ({"seconds_range": (float("nan"), 1)}, "finite numbers of s"),
        ({"seconds_range": (False, True)}, "finite numbers of s"),
        ({"seconds_range": ("0", "1")}, "finite numbers of s"),
        ({"seconds_range": (2, 1)}, "before it starts"),
        ({"time_within": rows_at(1, 2)}, "must be one row or a chunk"),
        ({"time_within": 5}, "must be one row or a chunk"),
        ({"time_within": rows_at(1)[["area"]]}, "need the fields `time`"),
        ({"time_within": rows_at(1, duration=-1)}, "before it starts"),
        ({"time_selection": "touchin"}, "did you mean 'touching'"),
        ({"columns": "area", "drop_columns": "time"}, "exclude each other"),
        ({"columns": ()}, "names no column"),
        ({"columns": ("area", "area")}, "names area twice"),
        ({"drop_columns": ("area", "area")}, "names area twice"),
        ({"columns": 3}, "give the name of a column"),
        ({"columns": [3]}, "no name of a column"),
        ({"where": 3}, "a list of texts"),
        ({"where": ["area > 1", 3]}, "a list of texts"),
        ({"where": "area >"}, "cannot be read"),
        ({"where": ""}, "cannot be read"),
        ({"where": "1 < 2"}, "names no column"),
        ({"where": "area > 1 and area < 2"}, "join conditions with &"),
        ({"where": "1 < area < 2"}, "join conditions with &"),
        ({"where": "not area"}, "join conditions with &"),
        ({"selection": "area > 1", "where": "area > 1"}, "where and selection are the same"),
        ({"keep_columns": "area", "columns": "area"}, "columns and keep_columns are the same"),
        ({"chunk_number": 1, "chunk_numbers": 1}, "chunk_numbers and chunk_number are the same"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_data(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        query_of(options)


def test_upstreams_spellings_are_taken() -> None:
    theirs: LoadOptions = {"selection": "area > 1", "keep_columns": "area", "chunk_number": [2]}
    ours: LoadOptions = {"where": "area > 1", "columns": "area", "chunk_numbers": [2]}

    assert query_of(theirs) == query_of(ours)


# --- Time


@pytest.mark.parametrize(
    "pair", [(5, 20), [5, 20], np.array([5, 20]), (np.uint64(5), np.int16(20))]
)
def test_a_time_range_is_two_whole_numbers_of_any_kind(pair: Any) -> None:
    assert query_of({"time_range": pair}).time_range == (5, 20)
    assert all(type(border) is int for border in query_of({"time_range": pair}).time_range or ())


def test_fully_contained_rows_lie_between_the_borders() -> None:
    rows = rows_at(0, 9, 10, 11, 20, 21)

    assert times_of({"time_range": (10, 30)}, rows) == [10, 11, 20]


def test_touching_rows_overlap() -> None:
    rows = rows_at(0, 1, 10, 29, 30)

    assert times_of({"time_range": (10, 30), "time_selection": "touching"}, rows) == [1, 10, 29]


def test_skip_gives_all_rows_of_the_chunks_that_overlap() -> None:
    options: LoadOptions = {"time_range": (15, 20), "time_selection": "skip"}

    assert numbers_of(options, tens(4)) == [1]
    assert times_of(options, rows_at(0, 100)) == [0, 100]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0, 1), (1000, 1_000_001_000)),
        ((0.1, 0.3), (100_001_000, 300_001_000)),
        ((Decimal("0.000000001"), Fraction(1, 2)), (1001, 500_001_000)),
        ((0.57, 2.01), (570_001_000, 2_010_001_000)),
        ((np.float64(-0.5), np.int32(2)), (-499_999_000, 2_000_001_000)),
        ((86_400.123456789, 86_401), (86_400_123_457_789, 86_401_000_001_000)),
    ],
)
def test_a_seconds_range_counts_from_the_start_of_the_run(
    seconds: Any, expected: tuple[int, int]
) -> None:
    resolved = query_of({"seconds_range": seconds}).with_run_start(1000)

    assert resolved.time_range == expected
    assert resolved.seconds_range is None


def test_a_seconds_range_is_exact_late_in_a_late_run() -> None:
    start = 1_900_000_000_123_456_789

    resolved = query_of({"seconds_range": (0.5, 3.25)}).with_run_start(start)

    assert resolved.time_range == (start + 500_000_000, start + 3_250_000_000)


def test_a_seconds_range_without_the_start_of_the_run_is_never_ignored() -> None:
    asked = query_of({"seconds_range": (0, 1)})

    with pytest.raises(ConfigError, match="with_run_start"):
        asked.rows_of(rows_at(1))
    with pytest.raises(ConfigError, match="with_run_start"):
        asked.chunks_of(tens(1), where="here")


def test_the_start_of_a_run_changes_nothing_else() -> None:
    asked = query_of({"time_range": (5, 6)})

    assert asked.with_run_start(1000) is asked


@pytest.mark.parametrize(
    "within",
    [
        rows_at(5, 7)[0],
        rows_at(5),
        np.array((5, 2, 5), [("time", "i8"), ("length", "u2"), ("dt", "u1")]),
        Chunk(5, 15, rows_at(), "7", "peaks"),
    ],
)
def test_a_row_or_a_chunk_gives_its_time_range(within: Any) -> None:
    assert query_of({"time_within": within}).time_range == (5, 15)


def test_a_row_within_itself_is_found() -> None:
    rows = rows_at(5, duration=0)

    assert times_of({"time_within": rows[0]}, rows) == [5]
    assert numbers_of({"time_within": rows[0]}, tens(2)) == [0]


# --- Chunks


@pytest.mark.parametrize(
    ("time_range", "expected"),
    [
        ((10, 20), [1]),
        ((9, 21), [0, 1, 2]),
        ((0, 40), [0, 1, 2, 3]),
        ((40, 50), []),
        ((15, 15), [1]),
    ],
)
@pytest.mark.parametrize("time_selection", ["fully_contained", "touching", "skip"])
def test_only_chunks_that_overlap_are_read(
    time_range: tuple[int, int], expected: list[int], time_selection: str
) -> None:
    options: LoadOptions = {"time_range": time_range, "time_selection": time_selection}

    assert numbers_of(options, tens(4)) == expected


def test_what_lasts_no_time_at_all_counts_as_one_ns() -> None:
    chunks = [info_of(0, 0, 10), info_of(1, 10, 10), info_of(2, 10, 20)]

    assert numbers_of({"time_range": (10, 15), "time_selection": "skip"}, chunks) == [1, 2]
    assert numbers_of({"time_range": (10, 10), "time_selection": "skip"}, chunks) == [1, 2]
    assert numbers_of({"time_range": (0, 0), "time_selection": "skip"}, chunks) == [0]


def test_a_chunk_without_known_times_is_read_if_it_ends_where_the_range_starts() -> None:
    assert numbers_of({"time_range": (10, 15)}, [info_of(0, 0, 10), info_of(1, 10, 20)]) == [0, 1]
    assert numbers_of({"time_range": (10, 15)}, [info_of(0, 0, 10, n=0)]) == []


def rows_in(draw: st.DrawFn, start: int, end: int) -> np.ndarray:
    border = st.integers(start, end)
    spans = draw(st.lists(st.tuples(border, border).map(sorted), max_size=4))
    rows = np.zeros(len(spans), ROW)
    for row, (time, endtime) in zip(rows, sorted(spans), strict=True):
        row["time"], row["endtime"] = time, endtime
    return rows


@st.composite
def runs(draw: st.DrawFn) -> list[Chunk]:
    borders = sorted(draw(st.lists(st.integers(0, 8), min_size=2, max_size=5)))
    return [Chunk(a, b, rows_in(draw, a, b), "7", "peaks") for a, b in pairwise(borders)]


@given(
    chunks=runs(),
    time_range=st.tuples(st.integers(-1, 9), st.integers(-1, 9)).map(sorted),
    time_selection=st.sampled_from(["fully_contained", "touching"]),
    knows_times=st.booleans(),
)
def test_no_row_that_strax_would_select_is_lost_by_not_reading_its_chunk(
    upstream: ModuleType,
    chunks: list[Chunk],
    time_range: list[int],
    time_selection: str,
    *,
    knows_times: bool,
) -> None:
    infos = [
        info_of(
            i,
            chunk.start,
            chunk.end,
            n=chunk.n,
            first_time=int(chunk.data["time"][0]) if chunk.n and knows_times else None,
            last_time=int(chunk.data["time"][-1]) if chunk.n and knows_times else None,
        )
        for i, chunk in enumerate(chunks)
    ]
    asked = query_of({"time_range": time_range, "time_selection": time_selection})
    read = [chunks[info.chunk_i] for info in asked.chunks_of(infos, where="here")]
    ours = [asked.rows_of(chunk.data) for chunk in read]

    theirs = upstream.apply_selection(
        np.concatenate([chunk.data for chunk in chunks]),
        time_range=tuple(time_range),
        time_selection=time_selection,
    )
    assert np.concatenate([theirs[:0], *ours]).tobytes() == theirs.tobytes()


@pytest.mark.parametrize(
    "numbers",
    [
        2,
        [2],
        (2, 2),
        {2},
        range(2, 3),
        iter([2]),
        np.array(2),
        np.array([2]),
        *(kind(2) for kind in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint64)),
        [np.int64(2)],
    ],
)
def test_chunk_numbers_are_never_ignored_whatever_integers_they_are(numbers: Any) -> None:
    assert numbers_of({"chunk_numbers": numbers}, tens(4)) == [2]


@pytest.mark.parametrize(
    "numbers",
    [
        *(True, 2.0, np.float64(2), "2", -1, object(), {"raw_records": [2]}),
        *([], [2, True], [None], np.array([True, False]), np.array([2.0]), np.array([[2]])),
    ],
)
def test_chunk_numbers_that_are_none_are_refused(numbers: Any) -> None:
    with pytest.raises(ConfigError, match="chunk_numbers"):
        query_of({"chunk_numbers": numbers})


def test_a_chunk_that_the_data_do_not_have_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"disk has 4 chunks, numbered 0 to 3; .* chunk 4, 7"):
        query_of({"chunk_numbers": [1, 4, 7]}).chunks_of(tens(4), where="disk")


def test_chunk_numbers_and_a_time_range_both_hold() -> None:
    options: LoadOptions = {"chunk_numbers": [0, 1, 2], "time_range": (15, 39)}

    assert numbers_of(options, tens(4)) == [1, 2]


# --- Conditions


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("area > 2", [3, 4]),
        ("  area > 2\n", [3, 4]),
        (["area > 1", "area < 4"], [2, 3]),
        (("(area > 1) & (area < 4)",), [2, 3]),
        ("abs(area - 2) < 0.5", [2]),
        ("(kind == b's1') & (time >= 3)", [3, 4]),
        (lambda rows: rows["area"] == 1, [1]),
        (["area > 1", lambda rows: rows["area"] != 3], [2, 4]),
        ([], [0, 1, 2, 3, 4]),
    ],
)
def test_every_condition_must_hold(where: Any, expected: list[int]) -> None:
    assert times_of({"where": where}, rows_at(0, 1, 2, 3, 4)) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("are > 1", "no column 'are' .did you mean 'area'"),
        ("area > threshold", "no column 'threshold'"),
        ("wave > 1", "several values a row"),
        ("area", "gives float32 .* one boolean a row"),
        ("sum(time)", r"shape \(\)"),
        ("foo(area) > 1", "numexpr cannot evaluate it"),
        ("area.__class__ == 1", "numexpr cannot evaluate it"),
        ("area[0] > 1", "numexpr cannot evaluate it"),
        (lambda rows: rows["area"], "function <lambda> gives float32"),
        (lambda rows: (rows["area"] > 1)[:2], r"shape \(2,\)"),
        (lambda _: True, r"shape \(\)"),
    ],
)
def test_a_condition_that_gives_no_boolean_for_each_row_is_refused(
    where: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        query_of({"where": where}).rows_of(rows_at(1, 2, 3))


def test_unknown_names_in_a_condition_are_found_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="did you mean 'area'"):
        query_of({"where": "aera > 1"}).dtype_of(ROW)


def test_sanitizing_cannot_be_turned_off_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMEXPR_SANITIZE", "0")

    with pytest.raises(ConfigError, match="forbidden"):
        query_of({"where": "area[0] > 1"}).rows_of(rows_at(1))


def test_whole_numbers_beyond_int64_are_not_taken_for_negative_ones() -> None:
    rows = np.zeros(1, [*ROW.descr, ("counter", "<u8")])
    rows["counter"] = 2**63 + 1

    with pytest.raises(ConfigError, match="beyond int64"):
        query_of({"where": "counter > 5"}).rows_of(rows)


def test_the_time_is_selected_before_the_condition() -> None:
    seen: list[int] = []

    def note(rows: np.ndarray) -> np.ndarray:
        seen.extend(rows["time"].tolist())
        return rows["area"] >= 0

    query_of({"time_range": (2, 20), "where": note}).rows_of(rows_at(1, 2, 3))

    assert seen == [2, 3]


def test_a_function_is_not_asked_about_no_rows() -> None:
    rows = rows_at()

    assert query_of({"where": lambda rows: rows["area"] > rows["area"].max()}).rows_of(rows) is rows


def test_numexpr_works_for_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate, is_locked = numexpr.evaluate, []

    def observed(*args: Any, **kwargs: Any) -> Any:
        is_locked.append(conditions._one_at_a_time.locked())
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(numexpr, "evaluate", observed)

    assert times_of({"where": "area > 1"}, rows_at(1, 2, 3)) == [3]
    assert is_locked == [True]
    assert not conditions._one_at_a_time.locked()


def test_texts_are_evaluated_by_several_threads_at_once() -> None:
    n_threads = 4
    rows = rows_at(*range(20_000))
    together = threading.Barrier(n_threads)

    def count(limit: int) -> list[int]:
        together.wait()
        return [len(query_of({"where": f"area > {limit + i}"}).rows_of(rows)) for i in range(20)]

    with ThreadPoolExecutor(n_threads) as pool:
        counts = list(pool.map(count, [0, 1000, 2000, 3000]))

    assert counts == [[19_999 - 1000 * k - i for i in range(20)] for k in range(n_threads)]


# --- Columns


def test_columns_come_packed_and_in_the_order_asked() -> None:
    aligned = np.dtype(ROW.descr, align=True)
    rows = rows_at(1, 2).astype(aligned)
    selected = query_of({"columns": ["wave", "time"]}).rows_of(rows)

    assert selected.dtype == np.dtype([("wave", "<i2", (2,)), (("When it starts", "time"), "<i8")])
    assert selected.dtype.itemsize == 12
    assert selected["time"].tolist() == [1, 2]


def test_dropped_columns_are_left_out() -> None:
    dtype = query_of({"drop_columns": ("wave", "kind")}).dtype_of(ROW)

    assert dtype.names == ("time", "endtime", "area")
    assert query_of({"drop_columns": "time"}).dtype_of(ROW).names == ROW.names[1:]


@pytest.mark.parametrize("option", ["columns", "drop_columns"])
def test_a_column_that_does_not_exist_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=r"no column 'aera' .did you mean 'area'"):
        query_of({option: ["time", "aera"]}).rows_of(rows_at())


def test_dropping_all_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="leaves no column"):
        query_of({"drop_columns": ROW.names}).dtype_of(ROW)


def test_a_condition_may_use_a_column_that_is_not_asked_for() -> None:
    selected = query_of({"where": "area > 1", "columns": "time"}).rows_of(rows_at(5, 6, 7))

    assert selected.tolist() == [(7,)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"time_range": (0, 100)},
        {"where": "area >= 0"},
        {"columns": ROW.names},
        {"time_range": (0, 1), "time_selection": "skip"},
    ],
)
def test_rows_are_not_copied_if_all_are_wanted(options: LoadOptions) -> None:
    rows = rows_at(1, 2, 3)

    assert query_of(options).rows_of(rows) is rows


@pytest.mark.parametrize(
    "options", [{"columns": "time"}, {"time_range": (0, 12)}, {"where": "area < 1"}]
)
def test_a_small_selection_does_not_keep_all_rows_in_memory(options: LoadOptions) -> None:
    rows = rows_at(1, 2, 3)

    assert not np.shares_memory(query_of(options).rows_of(rows), rows)


def test_a_chunk_keeps_its_borders() -> None:
    subruns = {"3": {"start": 0, "end": 100}}
    chunk = Chunk(0, 100, rows_at(1, 50), "7", "peaks", subruns)
    selected = query_of({"where": "area > 0", "columns": "area"}).chunk_of(chunk)

    assert (selected.start, selected.end, selected.run_id, selected.data_type) == (
        (0, 100, "7", "peaks")
    )
    assert selected.subruns == subruns
    assert selected.data.tolist() == [(1.0,)]
    assert Query().chunk_of(chunk) is chunk


@pytest.mark.parametrize(
    "options",
    [
        {"selection": "area > 2"},
        {"selection": ["area > 1", "area < 4"]},
        {"keep_columns": ("time", "area")},
        {"drop_columns": ("wave",)},
        {"time_range": (2, 13), "selection": "area > 2", "keep_columns": "area"},
    ],
)
def test_strax_selects_the_same(upstream: ModuleType, options: LoadOptions) -> None:
    rows = rows_at(0, 1, 2, 3, 4)
    theirs = upstream.apply_selection(rows, **options)
    ours = query_of(options).rows_of(rows)

    assert ours.dtype == theirs.dtype
    assert ours.tobytes() == theirs.tobytes()
