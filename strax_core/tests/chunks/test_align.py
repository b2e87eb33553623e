from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strax_core.chunks.align import Aligner, latest_cut
from strax_core.chunks.chunk import Chunk
from strax_core.chunks.merge import merge_columns, merged_dtype
from strax_core.errors import ChunkError

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8")])
Spans = list[tuple[int, int]]


def rows_of(spans: Spans, dtype: Any = ROW) -> np.ndarray:
    rows = np.zeros(len(spans), dtype)
    rows["time"] = [time for time, _ in spans]
    rows["endtime"] = [endtime for _, endtime in spans]
    return rows


def chunk_of(start: int, end: int, *spans: tuple[int, int], data_type: str = "a") -> Chunk:
    return Chunk(start, end, rows_of(list(spans)), "7", data_type)


def spans_of(chunk: Chunk) -> Spans:
    return [(int(row["time"]), int(row["endtime"])) for row in chunk.data]


def steps(
    from_ns: int | None = None, **inputs: list[Chunk]
) -> list[dict[str, tuple[int, int, Spans]]]:
    chunks = {name: iter(chunks) for name, chunks in inputs.items()}
    synchroniser = Aligner(chunks, who="data plugin P", from_ns=from_ns)
    return [
        {name: (chunk.start, chunk.end, spans_of(chunk)) for name, chunk in step.items()}
        for step in synchroniser
    ]


def test_a_single_input_passes_as_it_is() -> None:
    chunks = [chunk_of(0, 10, (1, 10)), chunk_of(10, 10), chunk_of(10, 30, (10, 12))]

    assert [step["a"] for step in Aligner({"a": iter(chunks)})] == chunks


def test_different_borders_are_cut_at_the_earlier_one() -> None:
    assert steps(a=[chunk_of(0, 10, (1, 2)), chunk_of(10, 20)], b=[chunk_of(0, 20, (12, 13))]) == [
        {"a": (0, 10, [(1, 2)]), "b": (0, 10, [])},
        {"a": (10, 20, []), "b": (10, 20, [(12, 13)])},
    ]


def test_a_row_that_straddles_a_border_of_another_input_is_not_cut() -> None:
    a = [chunk_of(0, 10, (1, 2), (6, 9)), chunk_of(10, 20, (11, 12))]
    b = [chunk_of(0, 20, (8, 15))]

    assert steps(a=a, b=b) == [
        {"a": (0, 6, [(1, 2)]), "b": (0, 6, [])},
        {"a": (6, 20, [(6, 9), (11, 12)]), "b": (6, 20, [(8, 15)])},
    ]


def test_rows_of_zero_duration_on_a_border_go_with_what_begins_there() -> None:
    a = [chunk_of(0, 10, (10, 10)), chunk_of(10, 20)]

    assert steps(a=a, b=[chunk_of(0, 20, (10, 10))]) == [
        {"a": (0, 10, []), "b": (0, 10, [])},
        {"a": (10, 20, [(10, 10)]), "b": (10, 20, [(10, 10)])},
    ]


def test_rows_of_zero_duration_at_the_very_end_come_in_a_last_step() -> None:
    assert steps(a=[chunk_of(0, 10, (10, 10))], b=[chunk_of(0, 10)]) == [
        {"a": (0, 10, []), "b": (0, 10, [])},
        {"a": (10, 10, [(10, 10)]), "b": (10, 10, [])},
    ]


def test_inputs_without_any_time_give_one_step() -> None:
    assert steps(a=[chunk_of(5, 5)], b=[chunk_of(5, 5), chunk_of(5, 5)]) == [
        {"a": (5, 5, []), "b": (5, 5, [])}
    ]


def test_inputs_that_end_at_different_times_are_an_error_that_names_them() -> None:
    with pytest.raises(ChunkError, match=r"a \[10, 10\), b \[10, 20\).*not end at the same time"):
        steps(a=[chunk_of(0, 10)], b=[chunk_of(0, 20)])


def test_inputs_that_start_at_different_times_are_an_error() -> None:
    with pytest.raises(ChunkError, match="not start at the same time"):
        steps(a=[chunk_of(0, 10)], b=[chunk_of(5, 10)])


def test_an_input_without_chunks_is_an_error_that_names_it() -> None:
    with pytest.raises(ChunkError, match="the input b has no chunks"):
        steps(a=[chunk_of(0, 10)], b=[])


def test_a_hole_in_an_input_is_an_error() -> None:
    holed = [chunk_of(0, 10), chunk_of(11, 20)]

    with pytest.raises(ChunkError, match="hole"):
        steps(a=holed)
    with pytest.raises(ChunkError, match="hole"):
        steps(a=holed, b=[chunk_of(0, 20)])


def test_nothing_is_read_further_ahead_than_a_step_needs() -> None:
    fetched: list[str] = []

    def source(name: str, width: int) -> Iterator[Chunk]:
        for start in range(0, 100, width):
            fetched.append(f"{name}{start}")
            yield chunk_of(start, start + width)

    stepped = iter(Aligner({"a": source("a", 10), "b": source("b", 50)}))
    next(stepped)
    next(stepped)

    assert fetched == ["a0", "b0", "a10"]


@pytest.mark.parametrize(
    ("spans", "at", "cut"),
    [
        ([], 7, 7),
        ([(0, 9)], 5, 0),
        ([(0, 9)], 9, 9),
        ([(0, 3), (3, 6), (4, 8), (7, 12)], 10, 3),
        ([(0, 20), (1, 2), (3, 4)], 10, 0),
        ([(0, 5), (5, 5), (5, 9)], 7, 5),
        ([(2, 3), (9, 12)], 5, 5),
    ],
)
def test_the_latest_cut_cuts_no_row(spans: Spans, at: int, cut: int) -> None:
    assert latest_cut(chunk_of(0, 30, *spans), at) == cut


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, list[Chunk]]:
    """Streams of the same time range, each cut where its own rows let it."""
    end = draw(st.integers(0, 30))
    streams = {}
    for name in draw(st.sampled_from(["a", "ab", "abc"])):
        times = sorted(draw(st.lists(st.integers(0, end), max_size=8)))
        spans = [(time, min(end, time + draw(st.integers(0, 6)))) for time in times]
        wanted = draw(st.lists(st.integers(0, end), max_size=5))
        cuts = [at for at in sorted(wanted) if not any(t < at < e for t, e in spans)]
        rest = chunk_of(0, end, *spans, data_type=name)
        chunks = []
        for at in cuts:
            chunk, rest = rest.split(at)
            chunks.append(chunk)
        streams[name] = [*chunks, rest]
    return streams


@given(inputs())
def test_steps_are_aligned_and_hold_every_row_once_where_it_belongs(
    streams: dict[str, list[Chunk]],
) -> None:
    stepped = steps(**streams)

    ends = [0]
    for step in stepped:
        assert len({(start, end) for start, end, _ in step.values()}) == 1
        start, end, _ = step["a"]
        assert start == ends[-1]
        ends.append(end)
        for _, _, spans in step.values():
            assert all(start <= t and e <= end for t, e in spans)
            if len(streams) > 1:
                assert all(t < end or start == end for t, _ in spans)
    for name, chunks in streams.items():
        given_rows = [span for chunk in chunks for span in spans_of(chunk)]
        assert [span for step in stepped for span in step[name][2]] == given_rows
        assert ends[-1] == chunks[-1].end


def test_from_a_time_on_inputs_start_at_the_latest_of_their_starts() -> None:
    a = [chunk_of(0, 10, (1, 2), (3, 8), (5, 6)), chunk_of(10, 20, (12, 13))]
    b = [chunk_of(4, 20, (4, 5), (11, 12))]

    assert steps(9, a=a, b=b) == [
        {"a": (4, 10, [(5, 6)]), "b": (4, 10, [(4, 5)])},
        {"a": (10, 20, [(12, 13)]), "b": (10, 20, [(11, 12)])},
    ]


def test_from_a_time_on_whole_chunks_before_the_latest_start_are_left_out() -> None:
    a = [chunk_of(0, 3, (1, 2)), chunk_of(3, 6, (4, 5)), chunk_of(6, 9, (6, 7))]

    assert steps(6, a=a, b=[chunk_of(6, 9, (7, 8))]) == [
        {"a": (6, 9, [(6, 7)]), "b": (6, 9, [(7, 8)])}
    ]


def test_from_a_time_on_rows_of_zero_duration_on_the_latest_start_stay() -> None:
    a = [chunk_of(0, 4, (1, 4), (4, 4)), chunk_of(4, 9, (4, 4))]

    assert steps(4, a=a, b=[chunk_of(4, 9)]) == [{"a": (4, 9, [(4, 4), (4, 4)]), "b": (4, 9, [])}]


@pytest.mark.parametrize("end", [6, 9, 10])
def test_a_row_left_out_may_end_up_to_the_time_that_is_asked_for(end: int) -> None:
    a, b = [chunk_of(0, 20, (1, end), (6, 7))], [chunk_of(5, 20)]

    if end <= 9:
        assert steps(9, a=a, b=b)[0]["a"] == (5, 20, [(6, 7)])
        return
    message = r"P: a row of a that starts before 5 ends at 10, .*cut out at 9: .*the whole run"
    with pytest.raises(ChunkError, match=message):
        steps(9, a=a, b=b)


def test_a_long_row_that_is_left_out_is_found_behind_short_ones_and_in_earlier_chunks() -> None:
    b = [chunk_of(5, 20)]

    with pytest.raises(ChunkError, match="ends at 12"):
        steps(9, a=[chunk_of(0, 20, (1, 12), (2, 3))], b=b)


@pytest.mark.parametrize("starts", [(0, 5), (5, 5), (5, 0)])
def test_inputs_must_reach_back_to_the_time_that_is_asked_for(starts: tuple[int, int]) -> None:
    inputs = {name: [chunk_of(start, 20)] for name, start in zip("ab", starts, strict=True)}

    assert steps(5, **inputs)[0]["a"][:2] == (5, 20)
    with pytest.raises(ChunkError, match=r"P: .*do not all reach back to 4"):
        steps(4, **inputs)


def test_a_single_input_must_reach_back_too_and_passes_as_it_is() -> None:
    chunks = [chunk_of(2, 5, (2, 3)), chunk_of(5, 9)]

    assert list(Aligner({"a": iter(chunks)}, from_ns=4)) == [{"a": each} for each in chunks]
    with pytest.raises(ChunkError, match="reach back to 1"):
        steps(1, a=chunks)


def test_an_input_that_ends_before_the_others_start_is_an_error() -> None:
    a = [chunk_of(0, 2), chunk_of(2, 4)]

    with pytest.raises(ChunkError, match=r"P: .*a ends before 5"):
        steps(7, a=a, b=[chunk_of(5, 9)])


def test_a_hole_before_the_latest_start_is_an_error() -> None:
    with pytest.raises(ChunkError, match="hole"):
        steps(7, a=[chunk_of(0, 2), chunk_of(3, 9)], b=[chunk_of(5, 9)])


@given(inputs(), st.lists(st.integers(0, 3), min_size=3, max_size=3), st.integers(0, 30))
def test_from_a_time_on_the_steps_hold_every_row_that_matters(
    streams: dict[str, list[Chunk]], n_skipped: list[int], from_ns: int
) -> None:
    late = {
        name: chunks[min(skipped, len(chunks) - 1) :]
        for (name, chunks), skipped in zip(streams.items(), n_skipped, strict=False)
    }
    start = max(chunks[0].start for chunks in late.values())
    rows = {
        name: [span for chunk in chunks for span in spans_of(chunk)]
        for name, chunks in late.items()
    }
    reaches_on = [e > from_ns for spans in rows.values() for t, e in spans if t < start]
    if start > from_ns or any(reaches_on):
        with pytest.raises(ChunkError):
            steps(from_ns, **late)
        return

    stepped = steps(from_ns, **late)
    for name, spans in rows.items():
        assert stepped[0][name][0] == start
        wanted = [(t, e) for t, e in spans if t >= start]
        assert [span for step in stepped for span in step[name][2]] == wanted
        assert stepped[-1][name][1] == late[name][-1].end


def columns(name: str, *values: int, times: tuple[int, ...] = (1, 2)) -> Chunk:
    rows = rows_of([(time, time) for time in times], [*ROW.descr, (name, "<i4"), ("both", "<i4")])
    rows[name] = rows["both"] = values
    return Chunk(0, 10, rows, "7", name)


def test_rows_of_one_kind_are_merged_by_column_and_the_last_one_wins() -> None:
    merged = merge_columns({"x": columns("x", 3, 4), "y": columns("y", 5, 6)}, kind="peaks")

    assert merged.dtype.names == ("time", "endtime", "x", "both", "y")
    assert merged.tolist() == [(1, 1, 3, 5, 5), (2, 2, 4, 6, 6)]


def test_titles_survive_the_merging_of_columns() -> None:
    titled = np.dtype([(("start of it", "time"), "<i8"), ("endtime", "<i8")])
    chunk = Chunk(0, 10, rows_of([(1, 1), (2, 2)], titled), "7", "t")

    assert merge_columns({"x": columns("x", 3, 4), "t": chunk}, kind="peaks").dtype.fields[
        "start of it"
    ]


@pytest.mark.parametrize("times", [(1,), (1, 3)])
def test_columns_of_other_rows_are_not_merged(times: tuple[int, ...]) -> None:
    other = columns("y", *range(len(times)), times=times)

    with pytest.raises(ChunkError, match="y and x are of the kind peaks"):
        merge_columns({"x": columns("x", 3, 4), "y": other}, kind="peaks")


def test_columns_stand_in_the_order_of_the_data_types_names_and_have_the_last_ones_values() -> None:
    wide = np.dtype([*ROW.descr, ("both", "<i8"), ("w", "<i2")])
    rows = rows_of([(1, 1), (2, 2)], wide)
    rows["both"] = 1 << 40, 1 << 41
    x, w = columns("x", 3, 4), Chunk(0, 10, rows, "7", "w")

    one, other = (
        merge_columns({"x": x, "w": w}, kind="p"),
        merge_columns({"w": w, "x": x}, kind="p"),
    )
    assert one.dtype.names == other.dtype.names == ("time", "endtime", "both", "w", "x")
    assert one["both"].tolist() == [1 << 40, 1 << 41]
    assert other["both"].tolist() == [3, 4]
    assert one.dtype["both"] == np.dtype("<i8")
    for chunks, merged in (({"x": x, "w": w}, one), ({"w": w, "x": x}, other)):
        dtypes = {name: chunk.dtype for name, chunk in chunks.items()}
        assert merged_dtype(dtypes, kind="p") == merged.dtype


def test_the_dtype_of_a_single_data_type_stays() -> None:
    padded = np.dtype([*ROW.descr, ("x", "i1")], align=True)

    assert merged_dtype({"x": padded}, kind="p") is padded


def test_a_column_that_has_values_of_another_sort_elsewhere_is_not_converted() -> None:
    texts = rows_of([(1, 1), (2, 2)], [*ROW.descr, ("both", "<U5")])
    texts["both"] = "text"
    text = Chunk(0, 10, texts, "7", "t")

    assert merge_columns({"t": text, "x": columns("x", 3, 4)}, kind="p")["both"].tolist() == [3, 4]


def test_titles_that_are_names_of_other_columns_are_an_error_that_names_the_data_types() -> None:
    titled = np.dtype([*ROW.descr, (("x", "y"), "<i4")])
    dtypes = {"x": columns("x", 3, 4).dtype, "t": titled}

    with pytest.raises(ChunkError, match="x, t are of the kind peaks, but their columns cannot"):
        merged_dtype(dtypes, kind="peaks")
