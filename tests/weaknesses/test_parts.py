"""Only what is needed is read, and read once; chunks come in the size wanted (W36 W40 W41 W44)."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_line import RUN, context, loading, local
from wide_line import N_CHUNKS, N_ROWS, ROW, STEP_NS, Negative, Wide, rows_of

from strax_core import Context, Metadata, ReadReport

ALL_ROWS = np.concatenate([rows_of(i) for i in range(N_CHUNKS)])


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    wide(folder).make(RUN, "wide")
    return folder


def wide(folder: Path) -> Context:
    return Context([local(folder)], plugins=[Wide, Negative])


@pytest.mark.weakness("W36")
@pytest.mark.parametrize(
    "load",
    [
        lambda ctx: ctx.get_array(RUN, "records"),
        lambda ctx: ctx.get_columns(RUN, "records", columns="x"),
        lambda ctx: ctx.get_df(RUN, "records"),
        lambda ctx: list(ctx.get_iter(RUN, "records", where="x > 3")),
        lambda ctx: ctx.get_array(RUN, "records", time_range=(0, 1000), progress=True),
    ],
)
def test_a_load_reads_and_parses_the_metadata_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[Context], Any]
) -> None:
    context(tmp_path).make(RUN, "records")
    place = local(tmp_path)
    ctx = loading(place)
    backend, parsed, read = place.backends["main"], [], []
    honest_parse, honest_read = Metadata.parse, backend.read

    def parse(raw: bytes, **options: Any) -> Metadata:
        parsed.append(raw)
        return honest_parse(raw, **options)

    def read_file(path: str) -> bytes:
        read.append(path)
        return honest_read(path)

    monkeypatch.setattr(Metadata, "parse", parse)
    monkeypatch.setattr(backend, "read", read_file)
    load(ctx)

    assert len(parsed) == 1
    assert len([path for path in read if path.endswith("metadata.json")]) == 1


@pytest.mark.weakness("W40")
def test_of_one_column_only_its_bytes_are_fetched(stored: Path) -> None:
    ctx, report, other = wide(stored), ReadReport(), ReadReport()
    rows = ctx.get_array(RUN, "wide", columns="x3", report=report)
    columns = ctx.get_columns(RUN, "wide", columns=["x5", "x3"], where="x5 > 2", report=other)

    np.testing.assert_array_equal(rows["x3"], ALL_ROWS["x3"])
    kept = ALL_ROWS[ALL_ROWS["x5"] > 2]
    np.testing.assert_array_equal(columns["x3"], kept["x3"])
    np.testing.assert_array_equal(columns["x5"], kept["x5"])
    assert 0 < report.fetched_bytes < 0.1 * report.stored_bytes
    assert 0 < other.fetched_bytes < 0.2 * other.stored_bytes


@pytest.mark.weakness("W41")
def test_of_a_small_time_range_only_a_part_of_one_chunk_is_fetched(stored: Path) -> None:
    start, end = 1000, 1100  # rows, in the first chunk
    ctx, report = wide(stored), ReadReport()
    rows = ctx.get_array(RUN, "wide", time_range=(start * STEP_NS, end * STEP_NS), report=report)
    of_chunk = ctx.get_metadata(RUN, "wide").chunks[0].filesize or 0

    np.testing.assert_array_equal(rows, ALL_ROWS[start:end])
    assert 0 < report.fetched_bytes < 0.5 * of_chunk


EXECUTORS: dict[str, Callable[[], Executor | None]] = {
    "none": lambda: None,
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
}


@contextmanager
def executor_named(name: str) -> Iterator[Executor | None]:
    executor = EXECUTORS[name]()
    yield executor
    if executor is not None:
        executor.shutdown()


@pytest.mark.weakness("W44")
@pytest.mark.parametrize("kind", EXECUTORS)
@pytest.mark.parametrize("data_type", ["wide", "negative"])
@pytest.mark.parametrize("n_rows", [N_ROWS // 5, 2 * N_ROWS])
def test_chunks_come_in_the_size_wanted_with_any_executor(
    stored: Path, tmp_path: Path, kind: str, data_type: str, n_rows: int
) -> None:
    # What is not stored yet is made, and kept as ever in another place.
    ctx = Context([local(tmp_path), local(stored, readonly=True)], plugins=[Wide, Negative])
    with executor_named(kind) as executor:
        size_bytes = n_rows * ROW.itemsize
        chunks = list(ctx.get_iter(RUN, data_type, executor=executor, chunk_size_bytes=size_bytes))

    assert [chunk.n for chunk in chunks] == [n_rows] * (N_CHUNKS * N_ROWS // n_rows)
    assert all(one.end == next_one.start for one, next_one in pairwise(chunks))
    x0 = np.concatenate([chunk.data["x0"] for chunk in chunks])
    np.testing.assert_array_equal(x0, ALL_ROWS["x0"] * (-1 if data_type == "negative" else 1))
    assert [info.n for info in ctx.get_metadata(RUN, data_type).chunks] == [N_ROWS] * N_CHUNKS
