"""One context, a catalogue on PostgreSQL, copies on the local disk, on OpenSSH and on Ceph.

The nearest place is harmed, before a load or in the middle of it; the rows are right, and the
context says what happened.
"""

import math
import re
import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from combined_places import NAMES, PAUSE_S, Combined, OnServer, Storage, storage

from strax_core import Chunk, Context, Option, Plugin
from strax_sql import SqlFrontend

__all__ = ["storage"]
pytestmark = pytest.mark.servers
RUN, N_CHUNKS, ROWS = "run_7", 8, 50
DTYPE = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i4"), ("area", "<f8")])
WELL = dict.fromkeys(NAMES, "complete|")
"""What the database holds of all copies: their state, and no failure."""
MOMENTS = {"before": 0, "in_mid_load": 2}
"""After how many chunks a place is harmed."""


class Records(Plugin):
    """A source whose rows `EXPECTED` tells in another way."""

    provides = "records"
    dtype = DTYPE
    rechunk_on_save = False
    gain = Option(default=1.0)

    def chunks(self) -> Iterator[Chunk]:
        for i in range(N_CHUNKS):
            number = np.arange(i * ROWS, (i + 1) * ROWS)
            rows = np.zeros(ROWS, DTYPE)
            rows["time"] = 1000 * i + 20 * (number - number[0])
            rows["endtime"] = rows["time"] + 5
            rows["x"] = 7919 * number % 10007 - 5000
            rows["area"] = np.where(number % 17 == 0, np.nan, self.gain * np.sqrt(number))
            yield self.chunk(start=i * 1000, end=(i + 1) * 1000, data=rows)


def row(number: int) -> bytes:
    time_ns = 1000 * (number // ROWS) + 20 * (number % ROWS)
    area = math.nan if number % 17 == 0 else math.sqrt(number)
    return struct.pack("<qqid", time_ns, time_ns + 5, 7919 * number % 10007 - 5000, area)


EXPECTED = b"".join(row(number) for number in range(N_CHUNKS * ROWS))


def context_on(catalogue: SqlFrontend) -> Context:
    return Context([catalogue], plugins=[Records], buffer_bytes=1)


@pytest.fixture(scope="module")
def kept(storage: Storage) -> Storage:
    """The rows, made once, and copied, so that each place has them."""
    with storage.opened() as combined:
        context = context_on(combined.catalogue())
        context.make(RUN, "records")
        for name in NAMES[1:]:
            context.copy(RUN, "records", to=f"catalog/{name}")
    return storage


@pytest.fixture
def combined(kept: Storage) -> Iterator[Combined]:
    """All places and the database, well, as a process finds them that has just begun."""
    yield from well(kept)


def well(storage: Storage, silent: str = "") -> Iterator[Combined]:
    with storage.opened(silent) as combined:
        combined.sql("UPDATE strax_copies SET state = 'complete', failed_s = NULL, failure = NULL")
        yield combined


@pytest.fixture(params=NAMES[1:])
def silent(request: pytest.FixtureRequest, kept: Storage) -> Iterator[tuple[Combined, str]]:
    """The same, and the name of a server that is going to be silent."""
    for combined in well(kept, request.param):
        yield combined, request.param


def loaded(context: Context, after: int, harm: Callable[[], None]) -> bytes:
    """Load all rows: in one array after harm was done, or by chunks, with harm after so many."""
    if not after:
        harm()
        return context.get_array(RUN, "records").tobytes()
    rows = []
    for i, chunk in enumerate(context.get_iter(RUN, "records")):
        rows.append(chunk.data.tobytes())
        if i + 1 == after:
            harm()
    return b"".join(rows)


def told(context: Context) -> tuple[str, list[str]]:
    """Return where `explain` says that the data are, and what else it says."""
    first, *more = context.explain(RUN, "records").splitlines()
    found = re.search(r" is stored in catalog/(\w+): 8 chunks, 400 rows", first)
    assert found is not None
    return found[1], more


def next_after(name: str) -> str:
    return next(each for each in NAMES if each != name)


@pytest.mark.parametrize("after", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_nearest_place_is_down(combined: Combined, name: str, after: int) -> None:
    catalogue = combined.catalogue(nearest=name)
    context = context_on(catalogue)

    assert loaded(context, after, combined.places[name].take_down) == EXPECTED
    place, (remark,) = told(context)
    assert place == next_after(name)
    assert re.match(rf"  catalog: {name} did not answer this process \d+ s ago, and is ", remark)
    assert "StorageUnavailable: " in remark
    # It is asked last by this client. Nobody else is told: others look there first.
    assert combined.marks() == WELL
    key = context.key_for(RUN, "records")
    other = combined.catalogue(nearest=name)
    asked_first = [each.find_several([key])[0] for each in (catalogue, other)]
    assert [at and at.backend for at in asked_first] == [next_after(name), name]
    assert other.remarks(key) == []


@pytest.mark.parametrize("after", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_nearest_place_is_damaged(combined: Combined, name: str, after: int) -> None:
    context = context_on(combined.catalogue(nearest=name))

    assert loaded(context, after, lambda: combined.damage(name)) == EXPECTED
    # All are told, by the database: also who has not looked there.
    marks = combined.marks()
    assert marks.pop(name).startswith("damaged|DataCorrupted: ")
    assert marks == dict.fromkeys(marks, "complete|")
    for each in (context, context_on(combined.catalogue(nearest=name))):
        place, (remark,) = told(each)
        assert place == next_after(name)
        assert re.match(rf"  catalog: {name} has a damaged copy, asked last, noted at 2", remark)
        assert re.search(rf" UTC: DataCorrupted: .*: run {RUN}, records, chunk \d: ", remark)
    # And all are told when it was mended.
    combined.repair()
    assert sorted(context.verify(RUN, "records")) == sorted(f"catalog/{each}" for each in NAMES)
    assert combined.marks() == WELL
    assert told(context) == (name, [])


@pytest.mark.parametrize("after", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_nearest_place_is_slow(combined: Combined, name: str, after: int) -> None:
    context = context_on(combined.catalogue(nearest=name))
    others = [each for each in NAMES if each != name]
    began = time.monotonic()
    rows = loaded(context, after, combined.places[name].slow_down)
    took_s = time.monotonic() - began
    for each in others:
        combined.places[each].take_down()

    assert rows == EXPECTED
    assert took_s > 2 * PAUSE_S  # its metadata and chunks, or more than one chunk
    assert told(context) == (name, [])
    assert combined.marks() == WELL


@pytest.mark.parametrize("after", MOMENTS.values(), ids=MOMENTS)
def test_the_nearest_server_is_silent(silent: tuple[Combined, str], after: int) -> None:
    combined, name = silent
    context = context_on(combined.catalogue(nearest=name))
    place = combined.places[name]
    assert isinstance(place, OnServer)

    assert loaded(context, after, place.silence) == EXPECTED
    where, (remark,) = told(context)
    assert where == next_after(name)
    assert f"  catalog: {name} did not answer this process " in remark
    assert combined.marks() == WELL


def test_the_last_place_goes_on_though_the_database_is_down_too(combined: Combined) -> None:
    context = context_on(combined.catalogue())

    def harm() -> None:
        combined.places["disk"].take_down()
        combined.damage("hall")
        combined.proxy.close()

    assert loaded(context, 2, harm) == EXPECTED
    assert combined.marks() == WELL  # nobody could say otherwise


TABLES = "strax_copies, strax_pieces, strax_lineages, strax_runs, strax_schema"
PIECES = """
    SELECT to_jsonb(p) - 'id' - 'lineage_id', to_jsonb(l) - 'id',
           to_jsonb(c) - 'piece_id' - 'verified_s'
    FROM strax_copies c JOIN strax_pieces p ON p.id = c.piece_id
                        JOIN strax_lineages l ON l.id = p.lineage_id
    ORDER BY p.run_id, p.data_type, p.lineage_hash, c.backend
"""
RUNS = "SELECT to_jsonb(r) FROM strax_runs r ORDER BY run_id"


def test_a_catalogue_that_was_dropped_is_rebuilt_from_the_places_row_by_row(
    combined: Combined,
) -> None:
    context = context_on(combined.catalogue())
    for i in range(3):
        context.make(f"run_{i}", "records")
        context.write_run_metadata(f"run_{i}", {"mode": "x", "nested": {"n": math.nan, "i": [i]}})
    context.copy("run_0", "records", to="catalog/bucket", compressor="zstd")
    context.copy("run_1", "records", to="catalog/hall")
    context.remove("run_1", "records", from_="catalog/disk")
    louder = context.new_context(config={"gain": 2.0})
    louder.make(RUN, "records")
    louder.copy(RUN, "records", to="catalog/hall")
    context.verify(RUN, "records")
    before = [combined.sql(each) for each in (PIECES, RUNS)]
    combined.sql(f"DROP TABLE {TABLES}")

    fresh = combined.catalogue()
    found = [each.name for each in fresh.rebuild_catalogue(dry_run=True)]
    assert combined.sql("SELECT tablename FROM pg_tables WHERE tablename LIKE 'strax%'") == []
    done = [each.name for each in fresh.rebuild_catalogue(dry_run=False)]
    assert done == found
    assert [len(rows) for rows in before] == [3 + 2 + 1 + 1 + 2, 3]
    assert [combined.sql(each) for each in (PIECES, RUNS)] == before
    assert list(fresh.rebuild_catalogue(dry_run=False)) == []
    assert list(fresh.check_catalogue()) == []
    again = context_on(fresh)
    assert again.find("run_1", "records").place == "catalog/hall"
    assert again.get_array(RUN, "records").tobytes() == EXPECTED
