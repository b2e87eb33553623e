import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from places_in_memory import ROW, context, kept, no_thread_left, place, rows, staged

from strax_core.backend.memory import MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.concurrency.each_run import for_each_run
from strax_core.data_plugins.plugin import Plugin
from strax_core.errors import ConfigError
from strax_core.frontend.directory import DirectoryFrontend

RUNS = ["12", "3", "0077", "9", "5", "41"]
PATIENCE_S = 600


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    with no_thread_left():
        yield


class Numbers(Plugin):
    dtype = ROW

    def chunks(self) -> Iterator[Chunk]:
        for i in range(3):
            value = 10 * int(self.run_id) + i
            data = rows((10 * i, 10 * i + 1, value), (10 * i + 5, 10 * i + 6, -value))
            yield self.chunk(start=10 * i, end=10 * i + 10, data=data)


class Sums(Plugin):
    depends_on = "numbers"
    data_kind = "sums"
    dtype = ROW

    def compute(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[numbers["x"] > 0]


def values_of(run_id: str) -> list[int]:
    return [sign * (10 * int(run_id) + i) for i in range(3) for sign in (1, -1)]


@pytest.mark.parametrize("max_workers", [None, 1, 2, 16])
@pytest.mark.parametrize("stored", [(), ("12", "5"), tuple(RUNS)])
def test_rows_of_several_runs_stand_in_the_order_given_each_with_its_run(
    max_workers: int | None, stored: tuple[str, ...]
) -> None:
    ctx = context(place(), Numbers)
    if stored:
        ctx.make(stored, "numbers")
    found = ctx.get_array(RUNS, "numbers", max_workers=max_workers)

    assert found.dtype.names == ("run_id", "time", "endtime", "x")
    assert found["run_id"].tolist() == [run for run in RUNS for _ in range(6)]
    assert found["x"].tolist() == [value for run in RUNS for value in values_of(run)]
    for run in RUNS:
        alone = ctx.get_array(run, "numbers")
        part = found[found["run_id"] == run]
        assert part[["time", "endtime", "x"]].tolist() == alone.tolist()
    again = ctx.get_array(tuple(reversed(RUNS)), "numbers", max_workers=max_workers)
    assert again["run_id"].tolist() == found["run_id"].tolist()[::-1]


def test_one_run_in_a_list_has_its_column_too() -> None:
    ctx = context(place(), Numbers)

    assert ctx.get_array(["12"], "numbers")["run_id"].tolist() == ["12"] * 6
    assert ctx.get_array("12", "numbers").dtype == ROW


def test_tables_and_columns_name_the_run_and_selections_hold_for_each() -> None:
    ctx = context(place(), Numbers)
    frame = ctx.get_df(["12", "3"], "numbers", where="x > 0", columns="x")
    columns = ctx.get_columns(["3", "12"], "numbers", where="x > 0", columns="x")

    assert frame["run_id"].tolist() == ["12"] * 3 + ["3"] * 3
    assert frame["x"].tolist() == [120, 121, 122, 30, 31, 32]
    assert columns["run_id"].tolist() == ["3"] * 3 + ["12"] * 3
    assert columns["x"].tolist() == [30, 31, 32, 120, 121, 122]


def test_seconds_count_from_the_start_of_each_run() -> None:
    ctx = context(place(), type("Numbers", (Shifted,), {}))
    ctx.make(RUNS, "numbers")
    found = ctx.get_array(RUNS, "numbers", seconds_range=(1e-9 * 10, 1e-9 * 20))

    assert found["run_id"].tolist() == [run for run in RUNS for _ in range(2)]
    assert found["x"].tolist() == [s * (10 * int(run) + 1) for run in RUNS for s in (1, -1)]


class Shifted(Numbers):
    def chunks(self) -> Iterator[Chunk]:
        for chunk in super().chunks():
            data, by = chunk.data.copy(), 1000 * int(self.run_id)
            data["time"] += by
            data["endtime"] += by
            yield self.chunk(start=chunk.start + by, end=chunk.end + by, data=data)


def test_chunks_of_several_runs_come_one_run_after_the_other() -> None:
    here = place()
    chunks = list(context(here, Numbers, Sums).get_iter(RUNS, "sums"))

    assert [chunk.run_id for chunk in chunks] == [run for run in RUNS for _ in range(3)]
    assert kept(here) == {f"{run}-{name}" for run in RUNS for name in ("numbers", "sums")}


@pytest.mark.parametrize("max_workers", [None, 1])
def test_several_runs_and_targets_are_made_at_once(max_workers: int | None) -> None:
    here = place()
    ctx = context(here, Numbers, Sums)
    ctx.make("9", "sums")
    before = ctx.get_metadata("9", "sums").write_id
    ctx.make(RUNS, ["sums", "numbers"], max_workers=max_workers)

    assert kept(here) == {f"{run}-{name}" for run in RUNS for name in ("numbers", "sums")}
    assert ctx.get_metadata("9", "sums").write_id == before
    assert staged(here) == {}


def test_a_column_called_run_id_is_not_hidden() -> None:
    class Named(Plugin):
        dtype = [("time", "<i8"), ("endtime", "<i8"), ("run_id", "<i4")]  # noqa: RUF012

        def chunks(self) -> Iterator[Chunk]:
            yield self.chunk(start=0, end=1, data=np.zeros(1, self.dtype))

    ctx = context(place(), Named)
    assert ctx.get_array("7", "named")["run_id"].tolist() == [0]
    with pytest.raises(ConfigError, match="have a column `run_id` already"):
        ctx.get_array(["7", "8"], "named")
    assert ctx.get_array(["7"], "named", drop_columns="run_id")["run_id"].tolist() == ["7"]


class Waiting(Numbers):
    """Run 3 fails once run 12, which comes first, is at work; run 12 never ends by itself."""

    provides = "numbers"
    begun = threading.Event()
    seen: list[str] = []  # noqa: RUF012 - emptied by the test

    def chunks(self) -> Iterator[Chunk]:
        self.seen.append(self.run_id)
        if self.run_id == "3":
            assert self.begun.wait(PATIENCE_S)
            raise ZeroDivisionError("the detector is on fire")
        for i in range(10**9):
            if self.run_id == "12":
                self.begun.set()
            yield self.chunk(start=i, end=i + 1, data=rows((i, i + 1, i)))


@pytest.mark.parametrize("ask", ["get_array", "make"])
@pytest.mark.parametrize("order", [["12", "3", "9"], ["3", "12", "9"]])
def test_one_run_that_fails_stops_the_others_and_is_named(ask: str, order: list[str]) -> None:
    Waiting.begun.clear()
    Waiting.seen.clear()
    here = place()
    ctx = context(here, Waiting)
    with pytest.raises(ZeroDivisionError, match="on fire") as caught:
        getattr(ctx, ask)(order, "numbers", max_workers=2)

    assert any("in run 3, one of several" in note for note in caught.value.__notes__)
    assert any("Waiting" in note for note in caught.value.__notes__)
    assert "9" not in Waiting.seen
    assert kept(here) == set()
    notes = staged(here)
    assert set(notes) == {"3-numbers"}  # nothing is wrong with the other one
    assert ["on fire" in text for text in notes["3-numbers"]] == [True]


def test_runs_that_are_only_loaded_are_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other's chunks are read no further than the one at hand."""
    begun, is_told = threading.Event(), threading.Event()
    reads: list[str] = []

    class Telling(threading.Event):
        def set(self) -> None:
            super().set()
            is_told.set()

    class Gated(MemoryBackend):
        def read(self, path: str) -> bytes:
            if path.startswith("12-numbers") and path[-1].isdigit():
                reads.append(path)
                begun.set()
                assert is_told.wait(PATIENCE_S)
            return super().read(path)

    class Failing(Numbers):
        provides = "numbers"
        rechunk_on_save = False

        def chunks(self) -> Iterator[Chunk]:
            if self.run_id == "3":
                assert begun.wait(PATIENCE_S)
                raise ZeroDivisionError("on fire")
            yield from super().chunks()

    monkeypatch.setattr("strax_core.concurrency.each_run.Event", Telling)
    here = DirectoryFrontend(Gated(), name="here")
    ctx = context(here, Failing, buffer_bytes=1)
    ctx.make("12", "numbers")
    assert len(ctx.get_metadata("12", "numbers").chunks) == 3
    with pytest.raises(ZeroDivisionError):
        ctx.get_array(["12", "3"], "numbers", columns="x", max_workers=2)

    assert len(reads) < 3  # what two threads had begun


def test_what_has_not_begun_never_begins_after_an_error() -> None:
    seen: list[str] = []

    def work(run_id: str, stop: threading.Event) -> str:
        seen.append(run_id)
        if run_id == "b":
            raise ValueError("bad run")
        assert stop.wait(PATIENCE_S)  # only the other's failure ends this one
        return run_id

    with pytest.raises(ValueError, match="bad run") as caught:
        list(for_each_run("abcdef", work, at_once=2))

    assert caught.value.__notes__ == ["in run b, one of several"]
    assert set(seen) == {"a", "b"}


def test_answers_that_nobody_takes_stop_the_rest() -> None:
    stopped: list[bool] = []
    begun = threading.Event()

    def work(run_id: str, stop: threading.Event) -> str:
        if run_id == "a":
            assert begun.wait(PATIENCE_S)
        else:
            begun.set()
            stopped.append(stop.wait(PATIENCE_S))
        return run_id

    answers = for_each_run("abc", work, at_once=2)
    assert next(answers) == "a"
    answers.close()  # type: ignore[attr-defined]

    assert stopped == [True]


def test_an_error_of_one_run_alone_is_as_it_is() -> None:
    Waiting.begun.set()
    with pytest.raises(ZeroDivisionError) as caught:
        context(place(), Waiting).make("3", "numbers")

    assert not any("one of several" in note for note in caught.value.__notes__)


def test_few_chunks_are_held_at_once_however_many_runs_are_made() -> None:
    """The runs share the buffer: what waits to be written is bounded for all together."""
    size, lock = 20_000, threading.Lock()
    held, most = 0, 0

    class Counting(MemoryBackend):
        def write(self, path: str, buffers: Any, *, create_only: bool = False) -> None:
            nonlocal held
            super().write(path, buffers, create_only=create_only)
            with lock:
                held -= "/data/large-" in path and path[-1].isdigit()

    class Large(Plugin):
        dtype = [("time", "<i8"), ("endtime", "<i8"), ("x", f"V{size}")]  # noqa: RUF012
        rechunk_on_save = False
        compressor = "bz2"  # slow, so that what is made waits to be written

        def chunks(self) -> Iterator[Chunk]:
            nonlocal held, most
            data = np.zeros(1, self.dtype)
            data["x"] = np.random.default_rng(0).bytes(size)
            for i in range(12):
                data["time"], data["endtime"] = i, i + 1
                yield self.chunk(start=i, end=i + 1, data=data)
                with lock:
                    held += 1
                    most = max(most, held)

    backend = Counting()
    here = DirectoryFrontend(backend, name="here")
    ctx = context(here, Large, buffer_bytes=16 * (size + 16))
    ctx.make([str(i) for i in range(8)], "large")

    assert held == 0
    assert most <= 12 + 4  # three quarters of the buffer, and what each run has at hand
