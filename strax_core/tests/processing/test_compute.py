from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from strax_core.chunks.chunk import Chunk
from strax_core.data_plugins.plugin import Plugin, provided
from strax_core.data_plugins.registered import DataPlugins
from strax_core.errors import ChunkError, PluginGaveWrongOutput, StorageUnavailable
from strax_core.processing import compute as computing
from strax_core.processing.compute import computed

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i4")])


def rows_of(*spans: tuple[int, int], dtype: Any = ROW) -> np.ndarray:
    rows = np.zeros(len(spans), dtype)
    rows["time"] = [time for time, _ in spans]
    rows["endtime"] = [endtime for _, endtime in spans]
    return rows


class Records(Plugin):
    dtype = ROW


class Peaks(Plugin):
    depends_on = "records"
    data_kind = "peaks"
    dtype = ROW
    answer: Any = None

    def compute(self, records: np.ndarray, start: int, end: int, chunk_i: int) -> Any:
        return type(self).answer(records, start, end, chunk_i)


class Source(Plugin):
    provides = "source"
    dtype = ROW


def instance_of(data_plugin: type[Plugin]) -> Plugin:
    data_plugins = DataPlugins([Records, data_plugin])
    return data_plugins.instances(provided(data_plugin), run_id="7", defaults={})[data_plugin]


def records(n_chunks: int = 2) -> Iterator[Chunk]:
    for i in range(n_chunks):
        yield Chunk(10 * i, 10 * i + 10, rows_of((10 * i + 1, 10 * i + 2)), "7", "records")


def peaks(answer: Any, *, n_chunks: int = 2) -> list[Chunk]:
    data_plugin = type("Peaks", (Peaks,), {"answer": staticmethod(answer)})
    steps = list(computed(instance_of(data_plugin), {"records": records(n_chunks)}))
    assert all(list(step) == ["peaks"] for step in steps)
    return [step["peaks"] for step in steps]


def sourced(**methods: Any) -> list[Chunk]:
    data_plugin = type("Source", (Source,), methods)
    return [step["source"] for step in computed(instance_of(data_plugin), {})]


def test_each_chunk_is_made_of_the_rows_of_its_time() -> None:
    chunks = peaks(lambda rows, start, end, _: rows_of((start, end), (rows["endtime"][0], end)))

    assert [(chunk.start, chunk.end, chunk.run_id, chunk.data_type) for chunk in chunks] == [
        (0, 10, "7", "peaks"),
        (10, 20, "7", "peaks"),
    ]
    assert [chunk.data["time"].tolist() for chunk in chunks] == [[0, 2], [10, 12]]


def test_compute_gets_only_the_extras_that_it_names() -> None:
    class Plain(Peaks):
        provides = "peaks"

        def compute(self, records: np.ndarray) -> np.ndarray:  # type: ignore[override]
            return records

    assert len(list(computed(instance_of(Plain), {"records": records()}))) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda *_: rows_of((1, 2), dtype=[*ROW.descr[:2], ("x", "<f4")]), "promised rows of"),
        (lambda *_: rows_of((1, 2), dtype=ROW.descr[:2]), "promised rows of"),
        (lambda *_: rows_of((3, 4), (1, 2)), "sort rows by time"),
        (lambda *_: rows_of((1, 11)), "ends after the chunk"),
        (lambda *_: rows_of((1, 2)).reshape(1, 1), "one-dimensional"),
        (lambda *_: None, "gave NoneType, not an array"),
        (lambda *_: [1], "gave list, not an array"),
        (lambda *_: {"time": [1], "endtime": [2]}, "promised the columns time, endtime, x"),
        (lambda *_: {"time": [1], "endtime": [2], "x": ["a"]}, "do not make rows"),
        (lambda *_: {"time": [1], "endtime": [2], "x": [2.7]}, "do not make rows"),
        (lambda *_: {"time": [1], "endtime": [2], "x": [1 << 40]}, "does not hold"),
        (lambda *_: {"time": [1, 2], "endtime": [2, 3], "x": [1]}, "column of 1 values among 2"),
        (lambda *_: {"time": 1, "endtime": 2, "x": 3}, "do not make rows"),
    ],
)
def test_wrong_output_names_the_data_plugin_the_data_type_and_the_run(
    answer: Any, message: str
) -> None:
    with pytest.raises(PluginGaveWrongOutput, match=rf"Peaks \(peaks of run 7\).*{message}"):
        peaks(answer)


def test_a_dictionary_of_columns_makes_rows() -> None:
    columns = {"time": [1, 2], "endtime": np.array([2, 3]), "x": 7}

    assert peaks(lambda *_: columns, n_chunks=1)[0].data.tolist() == [(1, 2, 7), (2, 3, 7)]


def test_padding_is_dropped() -> None:
    padded = np.dtype([*ROW.descr], align=True)
    chunk = peaks(lambda *_: rows_of((1, 2), dtype=padded), n_chunks=1)[0]

    assert padded.itemsize == 24
    assert chunk.dtype == ROW


def test_what_compute_raises_is_passed_on_with_a_note() -> None:
    error = ValueError("no fit")

    def fail(*_: Any) -> None:
        raise error

    with pytest.raises(ValueError, match="no fit") as caught:
        peaks(fail)
    assert caught.value is error
    assert error.__notes__ == ["in data plugin Peaks (peaks of run 7), [0, 10) ns of records"]


def test_setup_is_called_once_before_computing_and_its_errors_are_noted() -> None:
    calls = []

    class SetUp(Source):
        def setup(self) -> None:
            calls.append(self.run_id)

        def chunks(self) -> Iterator[Chunk]:
            yield self.chunk(start=0, end=1, data=rows_of())
            yield self.chunk(start=1, end=2, data=rows_of())

    list(computed(instance_of(SetUp), {}))
    assert calls == ["7"]

    def fail(_: Any) -> None:
        raise KeyError("calibration")

    with pytest.raises(KeyError) as caught:
        sourced(setup=fail, chunks=lambda _: [])
    assert "setup" in caught.value.__notes__[0]


def test_the_rows_given_and_made_are_read_only_since_others_read_them_too() -> None:
    def spoil(rows: np.ndarray, *_: Any) -> None:
        rows["x"] = 1

    with pytest.raises(ValueError, match="read-only"):
        peaks(spoil)
    buffer = rows_of((1, 2))
    chunk = peaks(lambda *_: buffer, n_chunks=1)[0]
    assert not chunk.data.flags.writeable
    assert buffer.flags.writeable


def test_inputs_that_end_at_different_times_name_the_data_plugin() -> None:
    class Both(Plugin):
        provides, depends_on, dtype = "peaks", ("records", "others"), ROW

        def compute(self, **_: Any) -> np.ndarray:
            return rows_of()

    others = type("Others", (Plugin,), {"dtype": ROW})
    data_plugins = DataPlugins([Records, others, Both])
    instance = data_plugins.instances("peaks", run_id="7", defaults={})[Both]
    short = Chunk(0, 10, rows_of(), "7", "others")

    with pytest.raises(ChunkError, match=r"Both .peaks of run 7.: .*not end at the same time"):
        list(computed(instance, {"records": records(), "others": iter([short])}))


def test_a_source_may_be_a_generator_which_is_closed_if_left_half_way() -> None:
    closed = []

    class Generated(Source):
        def chunks(self) -> Iterator[Chunk]:
            try:
                for i in range(3):
                    yield self.chunk(start=i, end=i + 1, data=rows_of((i, i + 1)))
            finally:
                closed.append("closed")

    whole = list(computed(instance_of(Generated), {}))
    left = computed(instance_of(Generated), {})
    next(left)
    assert [step["source"].start for step in whole] == [0, 1, 2]
    assert closed == ["closed"]
    left.close()

    assert closed == ["closed", "closed"]


def test_a_source_is_asked_until_it_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "SOURCE_PAUSE_S", 0)
    ready = iter([True, False, False, True, False, False])
    finished = iter([False, False, True])

    chunks = sourced(
        is_ready=lambda *_: next(ready),
        source_finished=lambda *_: next(finished),
        compute=lambda self, chunk_i: self.chunk(start=chunk_i, end=chunk_i + 1, data=rows_of()),
    )

    assert [chunk.start for chunk in chunks] == [0, 1]


def test_a_chunk_that_came_just_before_the_source_finished_is_not_lost() -> None:
    ready = iter([False, True, False, False])

    chunks = sourced(
        is_ready=lambda *_: next(ready),
        source_finished=lambda *_: True,
        compute=lambda self: self.chunk(start=0, end=1, data=rows_of()),
    )

    assert len(chunks) == 1


def test_a_source_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "SOURCE_PAUSE_S", 0)

    with pytest.raises(
        StorageUnavailable, match=r"Source \(source of run 7\): chunk 0 did not come"
    ):
        sourced(input_timeout=0, is_ready=lambda *_: False, compute=lambda *_: None)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        (lambda _: [rows_of()], "is a source and gave ndarray"),
        (lambda _: None, "write it as a generator"),
        (lambda _: [], "gave no chunk"),
        (lambda _: [Chunk(0, 1, rows_of(), "8", "source")], "run 8"),
        (lambda _: [Chunk(0, 1, rows_of(), "7", "other")], "other"),
        (lambda self: [self.chunk(start=0, end=1, data=rows_of(dtype=ROW.descr[:2]))], "promised"),
        (
            lambda self: [self.chunk(start=i, end=i + 1, data=rows_of()) for i in (0, 2)],
            "hole",
        ),
    ],
)
def test_wrong_chunks_of_a_source_name_it(chunks: Any, message: str) -> None:
    with pytest.raises(PluginGaveWrongOutput, match=rf"Source \(source of run 7\).*{message}"):
        sourced(chunks=chunks)
