import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from small_plugins import (
    N_CHUNKS,
    RECORDS,
    ROW,
    WIDTH,
    Peaks,
    Records,
    context,
    files,
    flip,
    folder_of,
    place,
    staged,
)

from strax_core.chunks.chunk import Chunk
from strax_core.data_plugins.plugin import Plugin
from strax_core.errors import ConfigError, DataCorrupted, DataNotAvailable

LOOSE = {"fuzzy_for_options": ("offset",)}


def test_an_exact_copy_far_away_is_loaded_before_a_loose_match_nearby() -> None:
    near, far = place("near"), place("far")
    context(near, config={"offset": 0.5}).make("7", "records")
    context(far).make("7", "records")
    ctx = context(near, far, **LOOSE)

    assert ctx.find("7", "records").place == "far"
    assert ctx.get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    ctx.remove("7", "records", from_="far")
    found = ctx.find("7", "records")
    assert found.place == "near"
    assert found.differences == ("option 'offset' of records: 0.5 here, 0.0 wanted",)
    assert not found.is_exact
    assert ctx.get_array("7", "records")["x"].tolist() == (RECORDS + 0.5).tolist()
    with pytest.raises(DataNotAvailable):
        context(near, far).find("7", "records")


def test_of_loose_matches_the_newest_is_loaded() -> None:
    near = place()
    for offset in (0.25, 0.75, 0.5):
        context(near, config={"offset": offset}).make("7", "records")

    assert context(near, **LOOSE).get_array("7", "records")["x"][0] == 0.5


def test_what_is_made_from_a_loose_match_is_given_and_not_kept() -> None:
    near = place()
    context(near, config={"offset": 0.5}).make("7", "records")
    before = files(near)
    ctx = context(near, **LOOSE)
    with pytest.warns(
        UserWarning, match=r"peaks-.* is not kept, since records was found by a loose"
    ):
        rows = ctx.get_array("7", "peaks")

    assert rows["x"].tolist() == (RECORDS + 0.5).tolist()
    assert files(near) == before
    assert staged(near) == set()


def test_to_make_something_from_a_loose_match_is_refused_with_the_way_out() -> None:
    near = place()
    context(near, config={"offset": 0.5}).make("7", "records")
    before = files(near)
    message = (
        r"7-peaks-\w+ is not kept, since records was found by a loose match \(option 'offset' of "
        r"records: 0.5 here, 0.0 wanted\); make it in a strict context, or load it with get_array"
    )
    with pytest.raises(ConfigError, match=message):
        context(near, **LOOSE).make("7", "peaks")

    assert files(near) == before
    assert staged(near) == set()
    context(near).make("7", "peaks")
    assert context(near).get_array("7", "peaks")["x"].tolist() == RECORDS.tolist()


class Events(Plugin):
    depends_on = "peaks"
    dtype = ROW

    def compute(self, records: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return records  # peaks are of that kind


def test_nothing_further_down_the_line_is_kept_either() -> None:
    near = place()
    context(near, config={"offset": 0.5}).make("7", "records")
    before = files(near)
    ctx = context(near, plugins=[Records, Peaks, Events], **LOOSE)
    with pytest.warns(UserWarning, match="events-.* is not kept"):
        ctx.get_array("7", "events")
    with pytest.raises(ConfigError, match=r"events-.*since records was found by a loose match"):
        ctx.make("7", "events")

    assert files(near) == before


def test_what_needs_no_loose_match_is_kept_in_a_loose_context() -> None:
    near = place()
    ctx = context(near, **LOOSE)
    ctx.make("7", "peaks")

    assert context(near).is_stored("7", ["records", "peaks"])


def test_no_loose_match_stands_in_for_an_exact_input_of_what_is_kept() -> None:
    """It was planned with an exact input, which then cannot be read."""
    near, far = place("near"), place("far")
    context(near).make("7", "records")
    context(far, config={"offset": 0.5}).make("7", "records")
    flip(near, "records")
    before = files(near) | files(far)
    ctx = context(near, far, **LOOSE)
    with pytest.raises(DataCorrupted, match="records, chunk 0"):
        ctx.make("7", "peaks")

    assert files(near) | files(far) == before
    assert not context(near, far).is_stored("7", "peaks")


def test_a_loose_match_never_stands_for_an_exact_one_that_cannot_be_read() -> None:
    near, far = place("near"), place("far")
    context(near).make("7", "records")
    context(far, config={"offset": 0.5}).make("7", "records")
    flip(near, "records")
    loose = context(near, far, **LOOSE)

    with pytest.raises(DataCorrupted, match="7-records"):
        loose.get_array("7", "records")
    with pytest.raises(DataCorrupted, match="7-records"):
        list(loose.get_iter("7", "records"))


def test_any_output_stands_for_its_data_plugin_and_a_name_nothing_makes_is_refused() -> None:
    near = place()
    newer = type("Records", (Records,), {"__version__": "9"})
    context(near).make("7", "records")

    assert context(near, plugins=[newer, Peaks], fuzzy_for="records").is_stored("7", "records")
    ctx = context(near, fuzzy_for=["records", "peeks"])
    for ask in (ctx.find, ctx.is_stored, ctx.explain, ctx.get_array, ctx.make, ctx.availability):
        with pytest.raises(ConfigError, match=r"fuzzy_for = \['records', 'peeks'\]: .*'peaks'"):
            ask("7", "records")


# Data that are being written


class Slow(Records):
    """Waits before its third chunk until it is told to go on."""

    provides = "records"
    half_way = threading.Event()
    go_on = threading.Event()

    def chunks(self) -> Iterator[Chunk]:
        for i in range(N_CHUNKS):
            if i == N_CHUNKS // 2:
                Slow.half_way.set()
                if not Slow.go_on.wait(600):
                    raise TimeoutError("nobody told it to go on")
            rows = np.zeros(1, ROW)
            rows["time"] = rows["endtime"] = WIDTH * i
            rows["x"] = i
            yield self.chunk(start=WIDTH * i, end=WIDTH * (i + 1), data=rows)


@pytest.fixture
def busy_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal tell soon what was written."""
    monkeypatch.setattr("strax_core.saver.journal.SEGMENT_INTERVAL_S", 0.01)


@pytest.mark.usefixtures("busy_journal")
def test_a_context_reads_what_another_one_writes_and_keeps_nothing_of_it() -> None:
    near = place()
    Slow.half_way.clear()
    Slow.go_on.clear()
    plugins = [Slow, Peaks]
    live = context(near, plugins=plugins, allow_incomplete=True)
    strict = context(near, plugins=plugins)
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(context(near, plugins=plugins).make, "7", "records")
        try:
            assert Slow.half_way.wait(600)
            written = _as_soon_as_written(live)

            assert written == [0, 1]
            assert not live.find("7", "records").is_complete
            assert not strict.is_stored("7", "records")
            assert "readable so far" in live.explain("7", "records")
            with pytest.warns(
                UserWarning, match="peaks-.* not kept, since records is not complete"
            ):
                assert live.get_array("7", "peaks")["x"].tolist() == [0, 1]
            with pytest.raises(ConfigError, match="records is not complete yet"):
                live.make("7", "peaks")
            assert files(near) == set()
        finally:
            Slow.go_on.set()
        making.result()

    assert live.find("7", "records").is_complete
    assert live.get_array("7", "records")["x"].tolist() == [0, 1, 2, 3]
    live.make("7", "peaks")
    assert strict.get_array("7", "peaks")["x"].tolist() == [0, 1, 2, 3]
    assert staged(near) == set()


def _as_soon_as_written(live: Any) -> list[float]:
    """Ask until the journal tells of both chunks, which it does within a second."""
    while True:
        try:
            values = live.new_context(forbid_creation_of="*").get_array("7", "records")["x"]
        except DataNotAvailable:
            continue
        if len(values) == N_CHUNKS // 2:
            return list(values)


@pytest.mark.usefixtures("busy_journal")
def test_make_makes_what_another_writer_has_only_begun() -> None:
    near = place()
    begun = context(near).get_iter("7", "records")
    next(begun)
    live = context(near, allow_incomplete=True)
    while not live.is_stored("7", "records"):
        pass  # until the journal tells of the chunk, within a second
    live.make("7", "records")
    begun.close()

    assert context(near).is_stored("7", "records")
    assert context(near).get_array("7", "records")["x"].tolist() == RECORDS.tolist()


def test_a_loose_match_that_is_complete_comes_before_what_is_being_written() -> None:
    near = place()
    context(near, config={"offset": 0.5}).make("7", "records")
    ctx = context(near, allow_incomplete=True, **LOOSE)
    chunks = context(near).get_iter("7", "records")
    next(chunks)

    assert folder_of(near, "records").startswith("7-records-")
    assert ctx.find("7", "records").is_complete
    assert not ctx.find("7", "records").is_exact
    chunks.close()


def test_make_makes_what_another_writer_left_half_done() -> None:
    near = place("near")
    ctx = context(near, allow_incomplete=True)
    ctx.make("7", "records")
    document = dict(ctx.get_metadata("7", "records"))
    first = next(ctx.get_iter("7", "records"))
    dead = near.saver(ctx.key_for("7", "records"), document, overwrite="always")
    dead.save(first, 0)
    dead._journal._write_segment()
    ctx.remove("7", "records", from_="near")

    assert len(ctx.get_array("7", "records")) == first.n
    ctx.make("7", "records")
    assert ctx.find("7", "records").is_complete
    assert ctx.get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    dead.abort()
