import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from places_in_memory import ROW, context, kept, no_thread_left, place, rows, staged

from strax_core.chunks.chunk import Chunk
from strax_core.context.context import Context
from strax_core.data_plugins.plugin import Plugin, SaveWhen
from strax_core.errors import ConfigError, DataNotAvailable

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
N = 40


def all_rows() -> np.ndarray:
    """Rows of 60 ms every 50 ms: each reaches into the next, but none over a whole 500 ms."""
    data = np.zeros(N, ROW)
    data["time"] = START + np.arange(N) * SECOND // 20
    data["endtime"] = data["time"] + 60_000_000
    data["endtime"][9::10] = data["time"][9::10] + 50_000_000
    data["x"] = np.arange(N) * 7 % 11
    return data


DATA = all_rows()
BORDERS = [START + i * SECOND // 2 for i in range(5)]


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    with no_thread_left():
        yield


class Hits(Plugin):
    dtype = ROW
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for i in range(4):
            start, end = BORDERS[i : i + 2]
            yield self.chunk(start=start, end=end, data=DATA[10 * i : 10 * i + 10])


class Seconds(Plugin):
    depends_on = "hits"
    dtype = [("time", "<i8"), ("endtime", "<i8"), ("y", "<f4")]  # noqa: RUF012
    save_when = SaveWhen.EXPLICIT  # so that a part of it can be made from stored hits

    def compute(self, hits: np.ndarray) -> Any:
        return {"time": hits["time"], "endtime": hits["endtime"], "y": hits["x"] / 2}


@pytest.fixture
def ctx() -> Context:
    made = context(place(), Hits, Seconds)
    made.make("7", "hits")
    return made


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


def selected(time_selection: str, start: int, end: int) -> np.ndarray:
    """What is expected, by numpy alone."""
    if time_selection == "skip":
        parts = [
            DATA[10 * i : 10 * i + 10]
            for i in range(4)
            if BORDERS[i] < end and BORDERS[i + 1] > start
        ]
        return np.concatenate(parts)
    if time_selection == "touching":
        return DATA[(DATA["endtime"] > start) & (DATA["time"] < end)]
    return DATA[(DATA["time"] >= start) & (DATA["endtime"] <= end)]


RANGES = [
    (at(0.26), at(0.74)),
    (at(0.5), at(1.0)),  # just a chunk
    (at(0.55), at(0.55) + 1),
    (at(1.01), at(9)),  # reaches beyond the data
    (START - SECOND, at(0.12)),
]


@pytest.mark.parametrize("span", RANGES)
@pytest.mark.parametrize("time_selection", ["fully_contained", "touching", "skip"])
@pytest.mark.parametrize("made", [False, True])
def test_a_time_range_gives_the_rows_that_numpy_gives(
    ctx: Context,
    span: tuple[int, int],
    time_selection: str,
    made: bool,  # noqa: FBT001
) -> None:
    options: Any = {"time_range": span, "time_selection": time_selection}
    target = "seconds" if made else "hits"
    expected = selected(time_selection, *span)
    found = ctx.get_array("7", target, **options)
    streamed = [chunk.data for chunk in ctx.get_iter("7", target, **options)]

    assert found["time"].tolist() == expected["time"].tolist()
    assert np.concatenate(streamed)["time"].tolist() == expected["time"].tolist()
    if made:
        assert found["y"].tolist() == (expected["x"] / 2).tolist()
    else:
        assert found.tolist() == expected.tolist()
    both = ctx.get_array("7", ["hits", "seconds"], **options)
    assert both["x"].tolist() == expected["x"].tolist()


def test_a_part_that_is_made_on_the_way_is_not_kept(ctx: Context) -> None:
    ctx.get_array("7", "seconds", time_range=RANGES[0])

    assert kept(ctx.storage[0]) == {"7-hits"}  # type: ignore[arg-type]
    assert staged(ctx.storage[0]) == {}  # type: ignore[arg-type]


def test_a_seconds_range_counts_from_the_runs_document_else_from_the_first_chunk(
    ctx: Context,
) -> None:
    expected = selected("touching", at(0.26), at(0.74))
    options: Any = {"time_selection": "touching"}
    for target in ("hits", "seconds"):
        found = ctx.get_array("7", target, seconds_range=(0.26, 0.74), **options)
        assert found["time"].tolist() == expected["time"].tolist()
    begun = datetime.fromtimestamp(START // SECOND - 2, UTC)
    ctx.write_run_metadata("7", {"start": begun})

    for target in ("hits", "seconds"):
        found = ctx.get_array("7", target, seconds_range=(2.26, 2.74), **options)
        assert found["time"].tolist() == expected["time"].tolist()


def test_the_start_of_a_run_without_a_zone_is_utc(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = datetime.fromtimestamp(START // SECOND, UTC).replace(tzinfo=None)
    monkeypatch.setattr(
        type(ctx.storage[0]), "_run_metadata", lambda *_: {"name": "7", "start": begun}
    )
    expected = selected("fully_contained", at(0.26), at(0.74))

    assert ctx.get_array("7", "hits", seconds_range=(0.26, 0.74)).tolist() == expected.tolist()


def test_a_start_that_is_no_datetime_is_not_passed_over(ctx: Context) -> None:
    for start in ("2023-11-14T22:13:20", START, 1.7e9):
        ctx.write_run_metadata("7", {"start": start})
        with pytest.raises(ConfigError, match=r"its document says start = .*a datetime"):
            ctx.get_array("7", "hits", seconds_range=(0, 1))
    ctx.write_run_metadata("7", {"start": None})

    assert len(ctx.get_array("7", "hits", seconds_range=(0, 1)))


def test_an_option_of_the_context_in_a_request_is_told_where_it_belongs(ctx: Context) -> None:
    with pytest.raises(ConfigError, match=r"config is an option of a context.*new_context\("):
        ctx.get_array("7", "hits", config={})  # type: ignore[call-arg]


def test_a_misspelt_option_of_a_request_is_told_its_name(ctx: Context) -> None:
    with pytest.raises(ConfigError, match=r"no option 'time_rang'.*did you mean 'time_range'"):
        ctx.get_array("7", "hits", time_rang=(1, 2))  # type: ignore[call-arg]


def test_seconds_of_a_run_of_which_nothing_is_known_are_refused() -> None:
    here = place()
    with pytest.raises(DataNotAvailable, match="seconds_range counts from the start of run 7"):
        context(here, Hits).get_array("7", "hits", seconds_range=(0, 1))

    assert kept(here) == set()


def test_a_row_or_a_chunk_gives_the_time(ctx: Context) -> None:
    row = DATA[15]
    chunk = next(ctx.get_iter("7", "hits", chunk_numbers=1))
    touching = selected("touching", row["time"], row["endtime"])

    for within in (row, DATA[15:16]):
        found = ctx.get_array("7", "hits", time_within=within, time_selection="touching")
        assert found.tolist() == touching.tolist()
        assert ctx.get_array("7", "seconds", time_within=within)["time"].tolist() == [row["time"]]
    assert ctx.get_array("7", "hits", time_within=chunk).tolist() == DATA[10:20].tolist()


@pytest.mark.parametrize("stored", [False, True])
def test_columns_come_as_asked(stored: bool) -> None:  # noqa: FBT001
    made = context(place(), Hits, Seconds)
    if stored:
        made.make("7", "hits")
    found = made.get_array("7", "hits", columns=["x", "time"])

    assert found.dtype == np.dtype([("x", "<i8"), ("time", "<i8")])
    assert found["x"].tolist() == DATA["x"].tolist()
    names = made.get_array("7", "hits", drop_columns="endtime").dtype.names
    assert names == ("time", "x")
    only = list(made.get_iter("7", "hits", keep_columns="x"))
    assert [chunk.data.dtype.names for chunk in only] == [("x",)] * 4
    assert [(chunk.start, chunk.end) for chunk in only] == [
        (BORDERS[i], BORDERS[i + 1]) for i in range(4)
    ]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    "where",
    [
        {"where": "(x > 3) & (x < 9)"},
        {"where": ["x > 3", "x < 9"]},
        {"where": lambda hits: (hits["x"] > 3) & (hits["x"] < 9)},
        {"where": ["x > 3", lambda hits: hits["x"] < 9]},
        {"selection": "(x > 3) & (x < 9)"},
        {"selection": ("x > 3", "x < 9")},
    ],
)
def test_conditions_that_all_hold(stored: bool, where: Any) -> None:  # noqa: FBT001
    made = context(place(), Hits, Seconds)
    if stored:
        made.make("7", "hits")
    expected = DATA[(DATA["x"] > 3) & (DATA["x"] < 9)]

    assert made.get_array("7", "hits", **where).tolist() == expected.tolist()
    assert made.is_stored("7", "hits")  # all of it, whatever was selected
    assert len(made.get_array("7", "hits")) == N


def test_all_ways_to_select_go_together(ctx: Context) -> None:
    inside = selected("touching", at(0.26), at(1.2))
    expected = inside[(inside["x"] > 3)]["x"].tolist()
    options: Any = {"time_selection": "touching", "where": "x > 3", "columns": "x"}

    assert (
        ctx.get_array("7", "hits", seconds_range=(0.26, 1.2), **options)["x"].tolist() == expected
    )
    columns = ctx.get_columns("7", "hits", seconds_range=(0.26, 1.2), **options)
    assert list(columns) == ["x"]
    assert columns["x"].tolist() == expected
    frame = ctx.get_df("7", "hits", seconds_range=(0.26, 1.2), **options)
    assert frame["x"].tolist() == expected


@pytest.mark.parametrize(
    "numbers",
    [
        1,
        [1],
        (1,),
        {1},
        np.int64(1),
        np.uint8(1),
        [np.int32(1)],
        np.array([1]),
        np.array(1),
        range(1, 2),
    ],
)
def test_chunk_numbers_of_any_kind(ctx: Context, numbers: Any) -> None:
    for option in ("chunk_numbers", "chunk_number"):
        found = ctx.get_array("7", "hits", **{option: numbers})  # type: ignore[arg-type]
        assert found.tolist() == DATA[10:20].tolist()


def test_chunks_come_in_order_of_time_and_with_a_time_range(ctx: Context) -> None:
    found = ctx.get_array("7", "hits", chunk_numbers=[3, 0])
    assert found.tolist() == [*DATA[:10].tolist(), *DATA[30:].tolist()]
    found = ctx.get_array("7", "hits", chunk_numbers=[1, 3], time_range=(at(0), at(0.9)))
    expected = DATA[10:20][DATA[10:20]["endtime"] <= at(0.9)]

    assert found.tolist() == expected.tolist()
    with pytest.raises(ConfigError, match="4 chunks, numbered 0 to 3; there is no chunk 4"):
        ctx.get_array("7", "hits", chunk_numbers=[0, 4])
    with pytest.raises(ConfigError, match="outside"):
        ctx.get_array("7", "hits", chunk_numbers=3, time_range=(at(0), at(0.9)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_range": (1, 2), "seconds_range": (1, 2)}, "time_range and seconds_range"),
        ({"time_range": (1, 2), "time_within": DATA[0]}, "time_range and time_within"),
        ({"seconds_rnage": (1, 2)}, "did you mean 'seconds_range'"),
        ({"colums": "x"}, "did you mean 'columns'"),
        ({"time_selection": "touch"}, "did you mean 'touching'"),
        ({"where": "x > 1", "selection": "x > 1"}, "where and selection are the same"),
        ({"columns": "time", "drop_columns": "x"}, "exclude each other"),
        ({"columns": "ex"}, "no column 'ex'"),
        ({"columns": "endtme"}, "did you mean 'endtime'"),
        ({"where": "yy > 1"}, "yy"),
        ({"time_range": (at(10), at(11))}, r"outside the data, which span \[17"),
        ({"seconds_range": (-2, -1)}, "outside the data"),
    ],
)
@pytest.mark.parametrize("target", ["hits", "seconds", ("hits", "seconds")])
def test_what_cannot_be_is_a_clear_error_however_it_is_asked_for(
    ctx: Context, options: Any, message: str, target: Any
) -> None:
    for ask in (ctx.get_iter, ctx.get_array, ctx.get_df, ctx.get_columns):
        with pytest.raises(ConfigError, match=message):
            list(ask("7", target, **options))  # type: ignore[operator]

    assert staged(ctx.storage[0]) == {}  # type: ignore[arg-type]


def test_names_of_options_are_checked_before_the_first_chunk_is_asked_for(ctx: Context) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        ctx.get_iter("7", "hits", colums="x")  # type: ignore[call-arg]


def test_each_column_is_contiguous_and_its_own(ctx: Context) -> None:
    columns = ctx.get_columns("7", "hits")

    assert {name: column.tolist() for name, column in columns.items()} == {
        name: DATA[name].tolist() for name in ("time", "endtime", "x")
    }
    assert all(column.flags.c_contiguous and column.flags.owndata for column in columns.values())


def test_a_frame_has_the_rows(ctx: Context) -> None:
    frame = ctx.get_df("7", "hits", where="x == 7")

    assert frame["time"].tolist() == DATA["time"][DATA["x"] == 7].tolist()
    assert list(frame.columns) == ["time", "endtime", "x"]


def test_without_pandas_a_frame_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    here = place()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pip install .*strax-core\[pandas\]"):
        context(here, Hits).get_df("7", "hits")

    assert (kept(here), staged(here)) == (set(), {})


def test_progress_goes_to_stderr_only_and_only_if_asked(
    ctx: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    for show in (False, None):  # the tests have no terminal
        list(ctx.get_iter("7", "hits", progress=show))
        ctx.get_array("7", "seconds", progress_bar=show)
        assert capsys.readouterr() == ("", "")
    for show in ({"progress": True}, {"progress_bar": True}):
        for ask in (ctx.get_iter, ctx.get_array, ctx.get_df, ctx.get_columns):
            list(ask("7", "hits", **show))  # type: ignore[operator]
            out, err = capsys.readouterr()
            assert out == ""
            assert "7 hits: 100%" in err


def test_a_bar_knows_where_it_ends_if_the_data_do(
    ctx: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx.get_array("7", "seconds", time_range=(at(0.5), at(1.5)), progress=True)
    assert "1.0/1.0 s" in capsys.readouterr().err
    fresh = context(place(), Hits)
    fresh.get_array("7", "hits", progress=True)

    assert "7 hits: 2.0 s" in capsys.readouterr().err


def test_a_bar_is_asked_for_once_and_spelt_right(ctx: Context) -> None:
    for ask in (ctx.get_iter, ctx.get_array, ctx.make):
        with pytest.raises(ConfigError, match="the same option"):
            ask("7", "hits", progress=True, progress_bar=False)
        with pytest.raises(ConfigError, match="did you mean 'progress'"):
            ask("7", "hits", progres=True)  # type: ignore[call-arg]


def test_rows_are_the_same_with_a_bar(ctx: Context) -> None:
    for options in ({}, {"time_range": RANGES[0]}, {"chunk_numbers": 2}, {"columns": "x"}):
        plain = ctx.get_array("7", "hits", **options)  # type: ignore[arg-type]
        shown = ctx.get_array("7", "hits", progress=True, **options)  # type: ignore[arg-type]

        assert shown.dtype == plain.dtype
        assert shown.tolist() == plain.tolist()


def test_rows_of_zero_duration_on_the_borders_are_found_stored_or_made() -> None:
    spans = [(10, 10, 0), (10, 20, 1), (20, 20, 2), (20, 20, 3), (20, 25, 4), (30, 30, 5)]

    class Points(Plugin):
        dtype = ROW
        rechunk_on_save = False

        def chunks(self) -> Iterator[Chunk]:
            yield self.chunk(start=0, end=20, data=rows(*spans[:3]))  # one 20 on either side
            yield self.chunk(start=20, end=30, data=rows(*spans[3:5]))
            yield self.chunk(start=30, end=40, data=rows(*spans[5:]))

    class Copied(Plugin):
        depends_on = "points"
        dtype = ROW
        save_when = SaveWhen.EXPLICIT

        def compute(self, points: np.ndarray) -> np.ndarray:
            return points

    made = context(place(), Points, Copied)
    made.make("7", "points")
    for span, expected in {
        (10, 20): [0, 1, 2, 3],
        (20, 30): [2, 3, 4, 5],
        (20, 20): [2, 3],
        (30, 30): [5],
        (25, 30): [5],
    }.items():
        for target in ("points", "copied", ["points", "copied"]):
            found = made.get_array("7", target, time_range=span)
            assert found["x"].tolist() == expected, (span, target)
