import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strax_core.chunks import rechunk as joining
from strax_core.chunks.chunk import Chunk, Rows, concatenate
from strax_core.chunks.copy_rows import put_rows
from strax_core.chunks.rechunk import Rechunker
from strax_core.errors import ChunkError, ConfigError

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8")])
FAR = 2000  # rows this far apart may be cut apart
NEAR = 1000  # these not


def chunk_of(start: int, end: int, *row_times: int, duration: int = 0, **fields: Any) -> Chunk:
    rows = np.zeros(len(row_times), ROW)
    rows["time"] = row_times
    rows["endtime"] = rows["time"] + duration
    return Chunk(start, end, rows, **{"run_id": "7", "data_type": "peaks", **fields})


def evenly(start: int, n: int, step: int) -> Chunk:
    return chunk_of(start, start + n * step, *range(start, start + n * step, step))


def rechunked(target_rows: int, *chunks: Chunk) -> list[Chunk]:
    rechunker = Rechunker(target_rows * ROW.itemsize)
    emitted = [done for chunk in chunks for done in rechunker.receive(chunk)]
    return emitted + rechunker.flush()


def spans(chunks: list[Chunk]) -> list[tuple[int, int, int]]:
    return [(chunk.start, chunk.end, chunk.n) for chunk in chunks]


def test_small_chunks_are_joined_until_they_reach_the_target() -> None:
    small = [evenly(i * 20, 2, 10) for i in range(5)]

    assert spans(rechunked(4, *small)) == [(0, 40, 4), (40, 80, 4), (80, 100, 2)]


def test_a_large_chunk_is_cut_500_ns_before_the_row_after_a_gap() -> None:
    large = chunk_of(0, 30_000, *range(1000, 30_000, FAR))

    assert spans(rechunked(6, large)) == [(0, 12_500, 6), (12_500, 24_500, 6), (24_500, 30_000, 3)]


def test_a_gap_must_be_longer_than_1000_ns() -> None:
    assert spans(rechunked(1, chunk_of(0, 5000, 0, 1000, 2001))) == [(0, 1501, 2), (1501, 5000, 1)]


def test_a_long_early_row_closes_the_gaps_beneath_it() -> None:
    chunk = chunk_of(0, 20_000, 0, 2000, 4000, 9000)
    chunk.data["endtime"][0] = 7000

    assert spans(rechunked(1, chunk)) == [(0, 8500, 3), (8500, 20_000, 1)]


def test_the_end_of_a_row_counts_not_its_start() -> None:
    chunk = chunk_of(0, 20_000, 0, 2000, 6000, duration=1000)

    assert spans(rechunked(1, chunk)) == [(0, 5500, 2), (5500, 20_000, 1)]


def test_the_possible_cut_nearest_to_the_target_is_taken() -> None:
    gap_before_row_4 = chunk_of(0, 9000, 0, 1, 2, 3, 5000, 5001, 5002, 5003)

    assert [chunk.n for chunk in rechunked(5, gap_before_row_4)] == [4, 4]
    assert [chunk.n for chunk in rechunked(7, gap_before_row_4)] == [8]


def test_of_two_equally_near_cuts_the_earlier_is_taken() -> None:
    gaps_before_rows_2_and_6 = chunk_of(0, 20_000, 0, 1, 5000, 5001, 5002, 5003, 9000, 9001)

    assert [chunk.n for chunk in rechunked(4, gaps_before_rows_2_and_6)] == [2, 4, 2]


def test_a_border_with_what_is_pending_may_be_nearest() -> None:
    first = evenly(0, 3, 10)
    no_gap = evenly(30, 9, 10)

    assert spans(rechunked(4, first, no_gap)) == [(0, 30, 3), (30, 120, 9)]
    assert spans(rechunked(8, first, no_gap)) == [(0, 120, 12)]


# What upstream gets wrong (its first gap is never taken, a single gap beyond the target crashes)


def test_a_single_gap_beyond_the_target_is_taken() -> None:
    chunk = chunk_of(0, 9000, 0, 1, 2, 3, 5000)

    assert spans(rechunked(2, chunk)) == [(0, 4500, 4), (4500, 9000, 1)]


def test_the_first_gap_is_taken() -> None:
    chunk = chunk_of(0, 20_000, 0, 1, 5000, 5001, 9000, 9001)

    assert [part.n for part in rechunked(2, chunk)] == [2, 2, 2]


def test_without_a_gap_a_chunk_stays_whole() -> None:
    assert spans(rechunked(2, evenly(0, 50, NEAR))) == [(0, 50_000, 50)]


def test_rows_larger_than_the_target_are_alone_where_a_gap_permits() -> None:
    rechunker = Rechunker(1)
    emitted = rechunker.receive(chunk_of(0, 20_000, 0, 5000, 5001, 9000))

    assert spans(emitted) == [(0, 4500, 1), (4500, 8500, 2), (8500, 20_000, 1)]
    assert rechunker.flush() == []


# Chunks without rows


def test_empty_chunks_keep_their_time() -> None:
    chunks = [chunk_of(0, 5), chunk_of(5, 5), evenly(5, 2, 10), chunk_of(25, 30), evenly(30, 2, 10)]

    assert spans(rechunked(3, *chunks)) == [(0, 30, 2), (30, 50, 2)]
    assert spans(rechunked(4, *chunks, chunk_of(50, 60))) == [(0, 50, 4), (50, 60, 0)]
    assert spans(rechunked(9, chunk_of(0, 5), chunk_of(5, 5), chunk_of(5, 8))) == [(0, 8, 0)]


def test_nothing_in_gives_nothing_out() -> None:
    rechunker = Rechunker(100)

    assert rechunker.flush() == []
    rechunker.receive(chunk_of(0, 5))
    assert len(rechunker.flush()) == 1
    assert rechunker.flush() == []


# Refusals


@pytest.mark.parametrize(
    "second",
    [
        chunk_of(11, 20),
        chunk_of(9, 20),
        chunk_of(10, 20, run_id="8"),
        chunk_of(10, 20, data_type="events"),
        Chunk(10, 20, np.zeros(0, [*ROW.descr, ("area", "<f4")]), "7", "peaks"),
    ],
)
@pytest.mark.parametrize("target_bytes", [1, 1000])
def test_a_chunk_that_does_not_follow_is_refused_and_harms_nothing(
    second: Chunk, target_bytes: int
) -> None:
    rechunker = Rechunker(target_bytes)
    emitted = rechunker.receive(chunk_of(0, 10, 3))
    with pytest.raises(ChunkError):
        rechunker.receive(second)
    emitted += rechunker.receive(chunk_of(10, 20, 15)) + rechunker.flush()

    assert concatenate(emitted).data["time"].tolist() == [3, 15]


@pytest.mark.parametrize("target_bytes", [0, -5])
def test_a_target_without_bytes_is_refused(target_bytes: int) -> None:
    with pytest.raises(ConfigError, match="at least 1 byte"):
        Rechunker(target_bytes)


# Cost


def test_each_row_is_copied_about_once_however_many_small_chunks_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied: list[int] = []

    def counting(out: Rows, rows: Rows) -> None:
        copied.append(len(rows))
        put_rows(out, rows)

    monkeypatch.setattr(joining, "put_rows", counting)
    emitted = rechunked(700, *(evenly(i * 20, 2, 10) for i in range(2000)))

    assert [chunk.n for chunk in emitted] == [700] * 5 + [500]
    assert 4000 <= sum(copied) <= 4000 * 8 // 7


def test_what_came_is_let_go_once_it_is_joined() -> None:
    rechunker = Rechunker(10 * ROW.itemsize)
    rechunker.receive(evenly(0, 2, FAR))
    second = evenly(2 * FAR, 2, FAR)
    rows = weakref.ref(second.data)
    rechunker.receive(second)
    del second

    assert rows() is None
    [joined] = rechunker.flush()
    assert joined.data["time"].tolist() == [0, FAR, 2 * FAR, 3 * FAR]


def test_less_than_the_target_is_held_and_counted() -> None:
    rechunker = Rechunker(10 * ROW.itemsize)
    held = []
    for i in range(5):
        rechunker.receive(evenly(i * 7 * FAR, 7, FAR))
        held.append(rechunker.pending_bytes)

    assert held == [7 * 16, 4 * 16, 16, 8 * 16, 5 * 16]


def test_a_small_rest_does_not_keep_a_large_chunk_in_memory() -> None:
    large = evenly(0, 102, FAR)
    rechunker = Rechunker(10 * ROW.itemsize)
    rechunker.receive(large)
    [rest] = rechunker.flush()

    assert rest.n == 2
    assert not np.shares_memory(rest.data, large.data)


def test_subruns_go_along() -> None:
    subruns = {"1": {"start": 0, "end": 4000}, "2": {"start": 4000, "end": 8000}}
    chunk = chunk_of(0, 8000, 0, 2000, 4000, 6000, run_id="_both", subruns=subruns)
    first, second = rechunked(3, chunk)

    assert first.subruns == {"1": {"start": 0, "end": 4000}, "2": {"start": 4000, "end": 5500}}
    assert second.subruns == {"2": {"start": 5500, "end": 8000}}


# Any stream of chunks

STEPS = st.sampled_from([0, 1, 500, 1000, 1001, 5000])
ROWS = st.lists(st.tuples(STEPS, STEPS), max_size=12)


@st.composite
def streams(draw: st.DrawFn) -> list[Chunk]:
    """Draw chunks that abut; rows may overlap, touch, last no time, and lie on the borders."""
    chunks, start = [], draw(st.integers(0, 9))
    for rows in draw(st.lists(ROWS, min_size=1, max_size=8)):
        time, end, data = start, start, np.zeros(len(rows), ROW)
        for i, (step, duration) in enumerate(rows):
            time += step
            data[i] = (time, time + duration)
            end = max(end, time + duration)
        end += draw(STEPS)
        chunks.append(Chunk(start, end, data, "7", "peaks"))
        start = end
    return chunks


def possible_cuts(chunks: list[Chunk]) -> dict[int, set[int]]:
    """Return {rows before the cut: times of the cut}, found by comparing all rows with all."""
    cuts: dict[int, set[int]] = {}
    n_before = 0
    for chunk in chunks:
        for i in range(1, chunk.n):
            if all(chunk.data["time"][i] - row["endtime"] > 1000 for row in chunk.data[:i]):
                cuts.setdefault(n_before + i, set()).add(int(chunk.data["time"][i]) - 500)
        n_before += chunk.n
        cuts.setdefault(n_before, set()).add(chunk.end)
    return cuts


@given(chunks=streams(), target_rows=st.integers(1, 15))
def test_no_row_is_lost_changed_or_cut_and_no_time_is_lost(
    chunks: list[Chunk], target_rows: int
) -> None:
    emitted = rechunked(target_rows, *chunks)
    received_rows = [row for chunk in chunks for row in chunk.data.tolist()]

    assert [row for chunk in emitted for row in chunk.data.tolist()] == received_rows
    assert (emitted[0].start, emitted[-1].end) == (chunks[0].start, chunks[-1].end)
    for chunk, following in pairwise(emitted):
        assert chunk.end == following.start
    for chunk in emitted:  # made again, so that all invariants are checked
        Chunk(chunk.start, chunk.end, chunk.data, "7", "peaks")


@given(chunks=streams(), target_rows=st.integers(1, 15))
def test_every_cut_is_a_possible_one_and_the_nearest_to_the_target(
    chunks: list[Chunk], target_rows: int
) -> None:
    rechunker = Rechunker(target_rows * ROW.itemsize)
    n_done = 0
    for n_received, chunk in enumerate(chunks, start=1):
        cuts = possible_cuts(chunks[:n_received])
        for emitted in rechunker.receive(chunk):
            sizes = sorted(cut - n_done for cut in cuts if cut > n_done)
            n_done += emitted.n

            assert emitted.n == min(sizes, key=lambda size: abs(size - target_rows))
            assert emitted.end in cuts[n_done]
        assert rechunker.pending_bytes < target_rows * ROW.itemsize
