from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import strax_core.laws  # noqa: F401  (compiles now, not within the deadline of hypothesis)
from strax_core.chunks import Chunk
from strax_core.errors import ChunkError
from strax_core.synchronise import Synchroniser, latest_cut, merge_columns

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


def steps(**inputs: list[Chunk]) -> list[dict[str, tuple[int, int, Spans]]]:
    synchroniser = Synchroniser({name: iter(chunks) for name, chunks in inputs.items()})
    return [
        {name: (chunk.start, chunk.end, spans_of(chunk)) for name, chunk in step.items()}
        for step in synchroniser
    ]


def test_a_single_input_passes_as_it_is() -> None:
    chunks = [chunk_of(0, 10, (1, 10)), chunk_of(10, 10), chunk_of(10, 30, (10, 12))]

    assert [step["a"] for step in Synchroniser({"a": iter(chunks)})] == chunks


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

    stepped = iter(Synchroniser({"a": source("a", 10), "b": source("b", 50)}))
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
