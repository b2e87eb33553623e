from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from places_in_memory import ROW, context, kept, no_thread_left, place, rows, staged

from strax_core.chunks.chunk import Chunk
from strax_core.data_plugins.plugin import Plugin, SaveWhen
from strax_core.errors import ChunkError, ConfigError, DataNotAvailable

END = 100
Pieces = list[tuple[int, int, np.ndarray]]
MADE: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    MADE.clear()
    with no_thread_left():
        yield


def source(name: str, pieces: Pieces) -> type[Plugin]:
    def chunks(self: Plugin) -> Iterator[Chunk]:
        MADE.append(name)
        for start, end, data in pieces:
            yield self.chunk(start=start, end=end, data=data)

    body = {"provides": name, "dtype": ROW, "rechunk_on_save": False, "chunks": chunks}
    return type(name.title(), (Plugin,), body)


class Raised(Plugin):
    """A row of `first` and what it needs to know of the rows of `second` that touch it."""

    depends_on = ("first", "second")
    dtype = ROW
    save_when = SaveWhen.EXPLICIT

    def compute(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        MADE.append("raised")
        return raised(first, second)


def raised(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    result = first.copy()
    for row in result:
        touching = (second["endtime"] > row["time"]) & (second["time"] < row["endtime"])
        row["x"] += 1000 * np.sum(second["x"][touching])
    return result


class Twice(Plugin):
    """One step further, still not kept."""

    depends_on = ("first", "raised")  # of one kind: the columns of the last
    dtype = ROW
    save_when = SaveWhen.NEVER

    def compute(self, first: np.ndarray) -> np.ndarray:
        result = first.copy()
        result["x"] *= 2
        return result


def twice(first: np.ndarray) -> np.ndarray:
    result = first.copy()
    result["x"] *= 2
    return result


def selected(data: np.ndarray, span: tuple[int, int], time_selection: str) -> list[Any]:
    start, end = span
    if time_selection == "touching":
        return list(data[(data["endtime"] > start) & (data["time"] < end)].tolist())
    return list(data[(data["time"] >= start) & (data["endtime"] <= end)].tolist())


@st.composite
def stored(draw: st.DrawFn) -> Pieces:
    """Rows, many of no duration and some that overlap, in chunks whose borders cut none."""
    times = sorted(draw(st.lists(st.integers(0, END), max_size=12)))
    spans = []
    for i, at in enumerate(times):
        lasts = draw(st.sampled_from([0, 0, 1, 3, 15]))
        spans.append((at, min(at + lasts, END), i + 1))
    data = rows(*spans) if spans else np.zeros(0, ROW)
    wanted = draw(st.sets(st.integers(1, END - 1), max_size=5))
    free = [
        cut for cut in sorted(wanted) if not ((data["time"] < cut) & (data["endtime"] > cut)).any()
    ]
    borders = [0, *free, END]
    pieces: Pieces = []
    left = data
    for end in borders[1:]:
        n = int(np.sum(left["time"] < end)) if end < END else len(left)
        if end < END and n < len(left) and left["endtime"][n] == end and draw(st.booleans()):
            n += 1  # a row of no duration may lie on either side of a border
        pieces.append((borders[len(pieces)], end, left[:n]))
        left = left[n:]
    return pieces


@given(
    first=stored(),
    second=stored(),
    span=st.tuples(st.integers(0, END - 1), st.integers(0, END)).map(
        lambda pair: tuple(sorted(pair))
    ),
    time_selection=st.sampled_from(["fully_contained", "touching", "skip"]),
    target=st.sampled_from(["raised", "twice", ["first", "raised"]]),
)
def test_a_part_of_what_is_not_kept_is_the_same_part_of_the_whole(
    first: Pieces, second: Pieces, span: tuple[int, int], time_selection: str, target: Any
) -> None:
    here = place()
    ctx = context(here, source("first", first), source("second", second), Raised, Twice)
    ctx.make("7", ["first", "second"])
    before = kept(here)
    options: Any = {"time_range": span, "time_selection": time_selection}
    try:
        chunks = list(ctx.get_iter("7", target, **options))
    except ChunkError as error:
        # The one thing that may be refused, with the way out.
        assert "make the data first, or ask for the whole run" in str(error)  # noqa: PT017
        event("refused")
        return
    found = np.concatenate([chunk.data for chunk in chunks]).tolist() if chunks else []
    whole = raised(*(np.concatenate([data for *_, data in each]) for each in (first, second)))
    whole["x"] *= 2 if target == "twice" else 1

    assert ctx.get_array("7", target).tolist() == whole.tolist()
    assert ctx.get_array("7", target, **options).tolist() == found
    assert (kept(here), staged(here)) == (before, {})
    if time_selection != "skip":
        assert found == selected(whole, span, time_selection)
        return
    assert chunks[0].start <= span[0]
    assert chunks[-1].end >= span[1]
    assert all(c.end > span[0] and c.start < max(span[1], span[0] + 1) for c in chunks[:-1])
    touching = selected(whole, span, "touching")
    assert [row for row in found if row in touching] == touching
    between = selected(whole, (chunks[0].start, chunks[-1].end), "fully_contained")
    assert [row for row in found if row in between] == found


def small() -> list[type[Plugin]]:
    first = [(0, 50, rows((10, 12, 1))), (50, 100, rows((60, 61, 2)))]
    second = [(0, 100, rows((11, 13, 5), (60, 65, 7)))]
    return [source("first", first), source("second", second), Raised, Twice]


@pytest.mark.parametrize(
    "part", [{"time_range": (0, 50)}, {"seconds_range": (0, 1)}, {"chunk_numbers": 0}]
)
@pytest.mark.parametrize("target", ["first", "raised", ["first", "raised"]])
@pytest.mark.parametrize("ask", ["get_iter", "get_array", "get_df", "get_columns"])
def test_a_part_of_what_would_have_to_be_made_is_not_available_and_nothing_is_made(
    part: Any, target: Any, ask: str
) -> None:
    here = place()
    ctx = context(here, *small())
    with pytest.raises(
        DataNotAvailable, match=r"make it first|seconds_range counts from the start"
    ):
        list(getattr(ctx, ask)("7", target, **part))

    assert (kept(here), staged(here), MADE) == (set(), {}, [])


@pytest.mark.parametrize("save_when", [SaveWhen.TARGET, SaveWhen.ALWAYS])
def test_a_part_of_what_is_kept_when_made_is_not_made_though_its_inputs_are_stored(
    save_when: SaveWhen,
) -> None:
    here = place()
    first, second, *_ = small()
    keeping = type("Raised", (Raised,), {"save_when": save_when})
    ctx = context(here, first, second, keeping)
    ctx.make("7", ["first", "second"])
    MADE.clear()
    with pytest.raises(DataNotAvailable, match=r"7-raised-.* is not stored, and only a part"):
        ctx.get_array("7", "raised", time_range=(0, 50))

    assert (kept(here), staged(here), MADE) == ({"7-first", "7-second"}, {}, [])


def test_a_part_whose_input_is_partly_missing_is_not_available() -> None:
    here = place()
    ctx = context(here, *small())
    ctx.make("7", "first")
    MADE.clear()
    with pytest.raises(DataNotAvailable, match=r"7-second-.* is not stored"):
        ctx.get_array("7", "raised", time_range=(0, 50))

    assert (kept(here), MADE) == ({"7-first"}, [])


def test_a_part_is_never_saved() -> None:
    here = place()
    ctx = context(here, *small())
    ctx.make("7", ["first", "second"])
    for part in ({"time_range": (0, 50)}, {"chunk_numbers": 0}):
        with pytest.raises(ConfigError, match=r"only a part of the run .* saved"):
            ctx.get_array("7", "raised", save="raised", **part)  # type: ignore[arg-type]

    assert ctx.get_array("7", "raised", time_range=(0, 50)).tolist() == [(10, 12, 5001)]
    assert (kept(here), staged(here)) == ({"7-first", "7-second"}, {})


def test_chunks_by_number_go_with_one_stored_data_type() -> None:
    ctx = context(place(), *small())
    ctx.make("7", ["first", "second"])

    assert ctx.get_array("7", "first", chunk_numbers=1).tolist() == [(60, 61, 2)]
    with pytest.raises(DataNotAvailable, match="by number only if it is stored"):
        ctx.get_array("7", "raised", chunk_numbers=1)
    with pytest.raises(ConfigError, match="goes with one data type"):
        ctx.get_array("7", ["first", "second"], chunk_numbers=1)


def test_only_what_a_part_needs_is_computed() -> None:
    pieces = [(i * 10, i * 10 + 10, rows((i * 10, i * 10 + 5, i))) for i in range(10)]
    here = place()
    ctx = context(here, source("first", pieces), source("second", pieces), Raised)
    ctx.make("7", ["first", "second"])
    MADE.clear()
    found = ctx.get_array("7", "raised", time_range=(52, 68), time_selection="touching")

    assert found.tolist() == [(50, 55, 5005), (60, 65, 6006)]
    assert MADE == ["raised"] * 2
