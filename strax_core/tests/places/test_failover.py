import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_plugins import (
    N_CHUNKS,
    RECORDS,
    ROW,
    WIDTH,
    Down,
    Peaks,
    Records,
    chunk_path,
    context,
    edit_metadata,
    flip,
    place,
    take_down,
)

from strax_core.chunks.chunk import Chunk
from strax_core.concurrency.executors import workers
from strax_core.context.context import Context
from strax_core.data_plugins.registered import DataPlugins
from strax_core.errors import DataCorrupted, DataNotAvailable, StorageUnavailable
from strax_core.format.keys import DataKey
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.frontend import StorageFrontend
from strax_core.frontend.live import find_unfinished
from strax_core.frontend.location import Location
from strax_core.places.failover import is_replica
from strax_core.places.places import Places
from strax_core.processing.plan import Plan
from strax_core.processing.request import Request

KEY = context().key_for("7", "records")
N, STEP = 20, 10
VALUES = list(range(N))


def store(
    frontend: StorageFrontend,
    borders: Sequence[int] = (0, 5, 10, 15, N),
    *,
    data_id: str | None = "made once",
    offset: float = 0,
    key: DataKey = KEY,
    **options: Any,
) -> None:
    """Store N rows, cut before the rows of these numbers."""
    rows = np.zeros(N, ROW)
    rows["time"] = STEP * np.arange(N)
    rows["endtime"] = rows["time"] + STEP
    rows["x"] = np.arange(N) + offset
    pieces = [(STEP * begin, STEP * end, begin, end) for begin, end in pairwise(borders)]
    store_chunks(frontend, rows, pieces, data_id=data_id, key=key, **options)


def store_chunks(
    frontend: StorageFrontend,
    rows: np.ndarray[Any, Any],
    pieces: Sequence[tuple[int, ...]],
    *,
    data_id: str | None = "made once",
    key: DataKey = KEY,
    **options: Any,
) -> None:
    """Store these rows, cut in pieces of (start, end, first row, row after the last)."""
    document = {
        "run_id": key.run_id,
        "data_type": key.data_type,
        "data_kind": "records",
        "dtype": repr(ROW.descr),
        "compressor": "zstd",
        "lineage": key.lineage.as_json(),
        "lineage_hash": key.lineage_hash,
        "data_id": data_id,
    }
    frontend.saver(key, document, **options).save_from(
        Chunk(start, end, rows[begin:stop], key.run_id, key.data_type)
        for start, end, begin, stop in pieces
    )


def reader(*places: StorageFrontend, **options: Any) -> Context:
    return context(*places, forbid_creation_of="*", **options)


def taken(ctx: Context, **options: Any) -> tuple[list[float], Exception | None]:
    """The values handed out until the end, or an error."""
    values: list[float] = []
    try:
        for chunk in ctx.get_iter("7", "records", max_workers=1, **options):
            values += chunk.data["x"].tolist()
    except Exception as error:  # noqa: BLE001 - handed back
        return values, error
    return values, None


def failing_at(*chunk_numbers: int) -> list[DirectoryFrontend]:
    """Places with copies of one making, each with one bad chunk (-1: none)."""
    places = [place(f"place{i}") for i in range(len(chunk_numbers))]
    for each, number in zip(places, chunk_numbers, strict=True):
        store(each)
        if number >= 0:
            flip(each, "records", number)
    return places


def test_a_load_goes_on_in_the_next_copy_where_the_first_one_fails() -> None:
    for numbers in ((2, -1), (0, -1), (3, -1), (1, 0, 3), (1, 2, -1), (2, 1, -1), (3, 2, 0)):
        assert taken(reader(*failing_at(*numbers))) == (VALUES, None)


def test_rows_of_zero_duration_on_borders_come_once_whichever_copy_goes_on() -> None:
    # On a border such a row may stand before or after it; and the last chunk may last no time.
    spans = [(0, 0), (0, 10), (10, 10), (10, 10), (15, 20), (20, 20), (20, 20)]
    rows = np.zeros(len(spans), ROW)
    rows["time"], rows["endtime"] = np.transpose(spans)
    rows["x"] = np.arange(len(spans))
    pieces = [(0, 0, 0, 1), (0, 10, 1, 3), (10, 20, 3, 5), (20, 20, 5, 7)]
    for n_joined in (1, 2, 3, 4):
        joined = [pieces[i : i + n_joined] for i in range(0, len(pieces), n_joined)]
        for bad in range(len(pieces)):
            near, far = place("near"), place("far")
            store_chunks(near, rows, pieces)
            store_chunks(
                far, rows, [(each[0][0], each[-1][1], each[0][2], each[-1][3]) for each in joined]
            )
            flip(near, "records", bad)

            values, error = taken(reader(near, far))

            assert (values, error) == (rows["x"].tolist(), None), (n_joined, bad)


def test_a_whole_array_comes_from_the_first_copy_that_is_good() -> None:
    for numbers in ((2, -1), (1, 2, -1)):
        assert reader(*failing_at(*numbers)).get_array("7", "records")["x"].tolist() == VALUES


def test_if_all_copies_fail_at_one_chunk_the_error_tells_each() -> None:
    places = failing_at(2, 2)
    backends = [each.backends["main"] for each in places]
    values, error = taken(reader(*places))

    assert values == VALUES[:10]
    assert isinstance(error, DataCorrupted)
    assert str(error).count("records, chunk 2") == len(backends)
    with pytest.raises(DataCorrupted, match=r"no copy could be read: .*chunk 2.*; .*chunk 2"):
        reader(*places).get_array("7", "records")


def test_that_a_retry_may_help_shows_in_the_type_of_the_error() -> None:
    near, far = failing_at(0, -1)
    ctx = reader(near, far)

    class Plugged(Down):
        pulled = False

        def read(self, path: str) -> bytes:
            if self.pulled and "metadata" not in path:
                raise StorageUnavailable("the cable is out")
            return super().read(path)

    far._backend.__class__ = Plugged
    Plugged.pulled = True
    for ask in (ctx.get_array, lambda *names: list(ctx.get_iter(*names))):
        with pytest.raises(StorageUnavailable, match=r"chunk 0.*cable"):
            ask("7", "records")  # type: ignore[operator]


cuts = st.sets(st.integers(1, N - 1), max_size=8).map(lambda inner: [0, *sorted(inner), N])


@given(data=st.data(), copies=st.lists(cuts, min_size=1, max_size=3))
def test_each_row_is_handed_out_once_and_in_order_however_copies_are_cut_and_damaged(
    data: st.DataObject, copies: list[list[int]]
) -> None:
    places, reached = [], 0
    for i, borders in enumerate(copies):
        places.append(place(f"place{i}"))
        store(places[-1], borders)
        bad = data.draw(st.sets(st.integers(0, len(borders) - 2), max_size=2))
        for number in bad:
            flip(places[-1], "records", number)
        # As told by the rule: it goes on where the last one stopped, up to the next bad chunk.
        stops = [borders[number] for number in bad if borders[number + 1] > reached]
        reached = max(reached, min([*stops, N]))
    values, error = taken(reader(*places))

    assert values == VALUES[:reached]
    assert (error is None) == (reached == N)
    assert error is None or isinstance(error, DataCorrupted)


def test_rows_made_twice_are_never_mixed() -> None:
    near, far = place("near"), place("far")
    store(near)
    store(far, data_id="made again", offset=0.5)
    flip(near, "records", 2)
    values, error = taken(reader(near, far))

    assert values == VALUES[:10]
    assert isinstance(error, DataCorrupted)
    flip(near, "records", 0)
    assert taken(reader(near, far)) == ([value + 0.5 for value in VALUES], None)
    assert reader(near, far).get_array("7", "records")["x"][0] == 0.5


@pytest.mark.parametrize(
    ("near_id", "far_id"), [(None, None), (None, "made once"), ("made once", None)]
)
@pytest.mark.parametrize("is_cut_alike", [True, False])
def test_data_of_strax_which_have_no_id_go_on_only_if_they_are_cut_alike(
    near_id: str | None, far_id: str | None, *, is_cut_alike: bool
) -> None:
    near, far = place("near"), place("far")
    for each, data_id in ((near, near_id), (far, far_id)):
        store(each, (0, 5, 10, 15, N) if each is near or is_cut_alike else (0, 5, 10, N))
        edit_metadata(each, "records", data_id=data_id)
    flip(near, "records", 2)
    values, error = taken(reader(near, far))

    assert values == (VALUES if is_cut_alike else VALUES[:10])
    assert (error is None) == is_cut_alike


def test_a_time_range_goes_on_too() -> None:
    near, far = place("near"), place("far")
    store(near)
    store(far, (0, 7, 13, 18, N))
    flip(near, "records", 2)
    rows = {"time_range": (30, 170)}

    assert taken(reader(near, far), **rows) == (VALUES[3:17], None)
    assert reader(near, far).get_array("7", "records", **rows)["x"].tolist() == VALUES[3:17]  # type: ignore[arg-type]


@pytest.mark.parametrize("is_cut_alike", [True, False])
def test_chunks_asked_for_by_number_go_on_only_in_a_copy_cut_alike(*, is_cut_alike: bool) -> None:
    near, far = place("near"), place("far")
    store(near)
    store(far, (0, 5, 10, 15, N) if is_cut_alike else (0, 2, 10, 15, N))
    flip(near, "records", 3)
    values, error = taken(reader(near, far), chunk_numbers=[1, 3])

    assert values[:5] == VALUES[5:10]
    assert values[5:] == (VALUES[15:] if is_cut_alike else [])
    assert (error is None) == is_cut_alike


def test_what_a_data_plugin_needs_goes_on_too_and_the_result_is_kept() -> None:
    near, far = place("near"), place("far", readonly=True)
    context(near).make("7", "records")
    far.readonly = False
    context(near, far).copy("7", "records", "far", chunk_size_bytes=1)
    far.readonly = True
    flip(near, "records", 1)
    ctx = context(near, far, config={"gain": 2.0})
    ctx.make("7", "peaks")

    assert ctx.get_array("7", "peaks")["x"].tolist() == (2 * RECORDS).tolist()


def plan_of(*places: StorageFrontend) -> Plan:
    with workers(None, 1) as pool:
        return Plan(
            Request(
                run_id="7",
                targets=("peaks",),
                places=Places(places),
                data_plugins=DataPlugins([Records, Peaks]),
                workers=pool,
            )
        )


# Data that change while they are read


class Changing(Down):
    """Calls something when a chunk of this number is read for the first time."""

    at: int = -1
    then: Callable[[], None] | None = None

    def read(self, path: str) -> bytes:
        if self.then is not None and path.endswith(f"{self.at:06d}") and "staging" not in path:
            then, self.then = self.then, None
            then()
        return super().read(path)


def changing(at: int, change: Callable[[DirectoryFrontend], None]) -> DirectoryFrontend:
    backend = Changing()
    frontend = DirectoryFrontend(backend, name="here")
    store(frontend)
    backend.at, backend.then = at, lambda: change(frontend)
    return frontend


def replace_by_another(frontend: DirectoryFrontend) -> None:
    store(frontend, data_id="made again", offset=0.5, overwrite="always")


def cut_otherwise(frontend: DirectoryFrontend) -> None:
    store(frontend, (0, 3, 12, N), overwrite="always")


def remove(frontend: DirectoryFrontend) -> None:
    frontend.remove(KEY)


def test_data_replaced_before_the_first_chunk_are_read_from_the_start() -> None:
    expected = [value + 0.5 for value in VALUES]

    assert taken(reader(changing(0, replace_by_another))) == (expected, None)
    for at in (0, 2):
        rows = reader(changing(at, replace_by_another)).get_array("7", "records", max_workers=1)
        assert rows["x"].tolist() == expected


def test_data_replaced_in_mid_load_are_an_error_that_says_so() -> None:
    for change, message in ((replace_by_another, "replaced"), (remove, "removed")):
        frontend = changing(3, change)
        ctx = reader(frontend, buffer_bytes=1)
        values, error = taken(ctx)

        assert values == VALUES[: len(values)]
        assert 0 < len(values) < N
        assert isinstance(error, DataNotAvailable)
        assert f"were {message} while they were read" in str(error)


def test_data_cut_otherwise_in_mid_load_are_the_same_rows_and_go_on() -> None:
    assert taken(reader(changing(2, cut_otherwise), buffer_bytes=1)) == (VALUES, None)


def test_data_removed_before_the_first_chunk_are_not_available() -> None:
    values, error = taken(reader(changing(0, remove)))

    assert values == []
    assert isinstance(error, DataNotAvailable)


def test_a_damaged_copy_does_not_hide_that_another_was_replaced() -> None:
    far = changing(1, replace_by_another)
    near = place("near", storage_type=-1)
    store(near)
    flip(near, "records", 0)

    rows = reader(near, far).get_array("7", "records", max_workers=1)
    assert rows["x"].tolist() == [value + 0.5 for value in VALUES]


def test_data_replaced_again_and_again_end_in_an_error() -> None:
    backend = Changing()
    frontend = DirectoryFrontend(backend, name="here")
    store(frontend)

    def replace_again() -> None:
        replace_by_another(frontend)
        backend.then = replace_again

    backend.at, backend.then = 0, replace_again
    with pytest.raises(DataNotAvailable, match="replaced"):
        reader(frontend).get_array("7", "records", max_workers=1)


def test_what_is_still_being_written_never_ends_a_load_of_complete_data() -> None:
    """A copy on its way has the same id, and fewer chunks."""
    near, far = place("near"), place("far")
    store(near)
    document = dict(reader(near).get_metadata("7", "records"))
    backend = far.backends["main"]
    saver = backend.saver(KEY.name, document)
    for number, chunk in zip((0, 1, 2), reader(near).get_iter("7", "records"), strict=False):
        saver.save(chunk, number)
    saver._journal._write_segment()
    unfinished = find_unfinished(backend, KEY.name)
    assert unfinished is not None
    assert len(unfinished.metadata.chunks) == 3
    complete = reader(near).get_metadata("7", "records")
    assert not is_replica(complete, unfinished.metadata, same_chunking=False)
    assert is_replica(unfinished.metadata, complete, same_chunking=False)
    ctx = reader(near, far, allow_incomplete=True)
    flip(near, "records", 1)
    with pytest.raises(DataCorrupted):
        ctx.get_array("7", "records")
    values, error = taken(ctx)

    assert values == VALUES[:5]
    assert isinstance(error, DataCorrupted)
    saver.abort()


# Frontends that raise, and are told


class Told(DirectoryFrontend):
    """Notes what it is told, then raises if it is to."""

    def __init__(self, name: str, raises: Exception | None = None) -> None:
        super().__init__(Down(), name=name)
        self.news: list[tuple[str, str]] = []
        self.raises = raises

    def _not_usable(self, key: DataKey, location: Location, error: BaseException) -> None:
        self.news.append((key.name, f"{location.backend}: {error}"))
        if self.raises is not None:
            raise self.raises


@pytest.mark.parametrize("raises", [None, RuntimeError("no database"), StorageUnavailable("no")])
@pytest.mark.parametrize("ask", ["get_array", "get_iter"])
def test_the_frontend_of_a_bad_copy_is_told_and_whatever_it_raises_the_next_one_serves(
    raises: Exception | None, ask: str
) -> None:
    near, far = Told("near", raises), place("far")
    for each in (near, far):
        store(each)
    flip(near, "records", 2)
    near.news.clear()  # it was told that it had nothing, when this was stored
    ctx = reader(near, far)
    if ask == "get_array":
        values = ctx.get_array("7", "records")["x"].tolist()
    else:
        values, _ = taken(ctx)

    assert values == VALUES
    (news,) = near.news
    assert news[0] == KEY.name
    assert "main: " in news[1]
    assert "records, chunk 2" in news[1]


def test_a_frontend_that_cannot_note_what_is_missing_or_began_hides_nothing() -> None:
    class Forgetful(Told):
        def _began(self, *_: Any) -> None:
            raise RuntimeError("no database")

        def _committed(self, *_: Any) -> None:
            raise RuntimeError("no database")

    near, far = Forgetful("near", RuntimeError("no database")), place("far")
    store(far)
    assert reader(near, far).find("7", "records").place == "far"
    assert not reader(near).is_stored("7", "records")
    store(near)

    assert reader(near).is_stored("7", "records")


@pytest.mark.parametrize(
    "error", [OSError("x"), TypeError("x"), StorageUnavailable("x"), KeyError("x")], ids=repr
)
def test_a_place_that_raises_anything_is_passed_over(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    near, far = place("near"), place("far")
    for each in (near, far):
        store(each)
    take_down(near, error)
    with caplog.at_level(logging.WARNING, "strax_core"):
        assert taken(reader(near, far)) == (VALUES, None)

    assert "near could not answer" in caplog.text
    assert reader(near, far).get_array("7", "records")["x"].tolist() == VALUES


class Dying(Down):
    """Is down for good once so many chunks were read."""

    n_left = 2

    def read(self, path: str) -> bytes:
        if "metadata" not in path:
            self.n_left -= 1
            if self.n_left < 0:
                self.error = OSError("the cable is out")
        return super().read(path)


def test_a_place_that_dies_in_mid_load_is_left_for_the_next() -> None:
    near, far = DirectoryFrontend(Dying(), name="near"), place("far")
    for each in (near, far):
        store(each)

    assert taken(reader(near, far)) == (VALUES, None)
    near._backend.error, near._backend.n_left = None, 2  # type: ignore[attr-defined]
    values, error = taken(reader(near))
    assert values == VALUES[: len(values)]
    assert isinstance(error, StorageUnavailable)
    assert isinstance(error.__cause__, OSError)
    assert "7-records-kicbbhkdpa could not be read from near: OSError('the cable is out')" in str(
        error
    )


def test_the_input_of_a_data_plugin_that_cannot_be_read_on_leaves_nothing() -> None:
    near = place("near")
    context(near).make("7", "records")
    flip(near, "records", N_CHUNKS - 1)
    with pytest.raises(DataCorrupted, match=f"records, chunk {N_CHUNKS - 1}"):
        context(near).make("7", "peaks")

    assert not context(near).is_stored("7", "peaks")
    assert "records, chunk 3" in context(near).explain("7", "peaks")


def test_chunks_of_a_copy_with_other_borders_abut() -> None:
    near, far = place("near"), place("far")
    context(near).make("7", "records")
    context(near, far).copy("7", "records", "far", chunk_size_bytes=1 << 20)
    flip(near, "records", 2)
    chunks: Iterator[Chunk] = reader(near, far).get_iter("7", "records")

    assert [(chunk.start, chunk.end) for chunk in chunks] == [
        (0, WIDTH),
        (WIDTH, 2 * WIDTH),
        (2 * WIDTH, 4 * WIDTH),
    ]
    assert chunk_path(far, "records", 0)


def test_a_file_name_or_a_version_that_cannot_be_is_damage_and_not_an_outage() -> None:
    here = place()
    store(here)
    chunks = reader(here).get_metadata("7", "records")["chunks"]
    edit_metadata(here, "records", strax_version=f"{'9' * 5000}.1")
    assert taken(reader(here)) == (VALUES, None)

    named = [{**chunks[0], "filename": "\ud800"}, *chunks[1:]]
    edit_metadata(here, "records", chunks=named)
    assert isinstance(taken(reader(here))[1], DataNotAvailable)
    context(here).make("7", "records")
    assert reader(here).get_array("7", "records")["x"].tolist() == RECORDS.tolist()
