"""Checking and rebuilding a catalogue; what replicates."""

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blob_places import made, sqlite_options
from sql_places import (
    KEY,
    NAMES,
    OpenCatalogue,
    begin,
    break_down,
    made_with,
    rows,
    save,
    save_everywhere,
    states,
    watch,
)
from sqlalchemy import inspect, select, update

from strax_core import (
    AccessDenied,
    Match,
    MemoryBackend,
    NewerFormat,
    ReadOnlyError,
    StorageBackend,
    StorageUnavailable,
    metadata_path,
)
from strax_core.testing import (
    FaultyBackend,
    RawMemory,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_sql.catalogue.schema import CATALOGUE, COPIES, LINEAGES, PIECES, RUNS
from strax_sql.database.engine import Database
from strax_sql.database.schema import VERSIONS
from strax_sql.frontend import SqlFrontend
from strax_sql.runs import documents
from strax_sql.runs.store import RunStore
from strax_sql.upkeep import metadata_reader
from strax_sql.upkeep.compare import Comparison, Difference
from strax_sql.upkeep.repair import mend
from strax_sql.upkeep.scan import scan


@pytest.fixture
def reach(reach_of_each: dict[str, Any]) -> dict[str, Any]:
    return reach_of_each


def told(frontend: SqlFrontend) -> list[tuple[str, str]]:
    return [(each.name, each.text) for each in frontend.check_catalogue()]


def rebuild(frontend: SqlFrontend) -> list[str]:
    return [each.name for each in frontend.rebuild_catalogue(dry_run=False)]


def everything(frontend: SqlFrontend) -> list[tuple[object, ...]]:
    """Return all of a catalogue but numbers of rows and times of verification."""
    facts = [
        each
        for each in COPIES.c
        if each.name not in {"piece_id", "verified_s", "failed_s", "failure"}
    ]
    pieces = (
        select(PIECES.c.run_id, PIECES.c.data_type, PIECES.c.lineage_hash, *facts)
        .add_columns(LINEAGES.c.document)
        .join(COPIES, COPIES.c.piece_id == PIECES.c.id)
        .join(LINEAGES, LINEAGES.c.id == PIECES.c.lineage_id)
        .order_by(PIECES.c.run_id, PIECES.c.lineage_hash, COPIES.c.backend)
    )
    runs = select(*RUNS.c).order_by(RUNS.c.run_id)
    return frontend.database.read(
        lambda connection: [
            tuple(row) for query in (pieces, runs) for row in connection.execute(query)
        ]
    )


def drop(frontend: SqlFrontend, folder: Path) -> None:
    """Lose the database, or, on a server, all that is in it."""
    if not frontend.options.is_sqlite:
        frontend.database.write(CATALOGUE.drop_all)
        frontend.database.write(VERSIONS.drop)
    frontend.database.close()
    for file in folder.glob("catalog.db*"):
        file.unlink()


def is_empty(frontend: SqlFrontend, folder: Path) -> bool:
    """Say whether there is no file, or, on a server, no table."""
    if frontend.options.is_sqlite:
        return list(folder.glob("catalog.db*")) == []
    bare = Database(frontend.options, creates=False)
    names = bare.read(lambda connection: inspect(connection).get_table_names())
    bare.close()
    return names == []


def test_a_catalogue_that_was_dropped_is_rebuilt_row_by_row(
    open_catalogue: OpenCatalogue, tmp_path: Path
) -> None:
    catalogue = open_catalogue({"write_to": {"peaks": "disk", "*": "bucket"}})
    save_everywhere(catalogue)
    for gain in (5.0, 6.0):
        save(catalogue, made_with(gain))
        save(catalogue, sample_key(f"run_{gain:.0f}", "records"))
    for i in range(5):
        catalogue.write_run_metadata(f"run_{i}", {"mode": "x", "nested": {"n": float("nan")}})
    before = everything(catalogue)
    drop(catalogue, tmp_path)

    fresh = open_catalogue()
    dry = [each.name for each in fresh.rebuild_catalogue(dry_run=True)]
    assert is_empty(fresh, tmp_path)
    assert sorted(rebuild(fresh)) == sorted(dry)
    assert len(before) == 3 + 4 + 5
    assert everything(fresh) == before
    assert rebuild(fresh) == []
    assert told(fresh) == []


def test_who_only_looks_makes_no_tables(
    open_catalogue: OpenCatalogue, places: dict[str, StorageBackend], tmp_path: Path
) -> None:
    save_sample(places["disk"], KEY)
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        connection.execute("CREATE TABLE others (x)")
        for catalogue in (open_catalogue(), open_catalogue(readonly=True)):
            assert [each.name for each in catalogue.rebuild_catalogue(dry_run=True)] == [
                f"disk/{KEY.name}"
            ]
            assert told(catalogue) == [(f"disk/{KEY.name}", "lies there, and is not entered")]

        names = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert names == [("others",)]


def test_what_was_entered_is_not_read_again(catalogue: SqlFrontend) -> None:
    for i in range(3):
        save(catalogue, sample_key(f"run_{i}"))
    save_sample(catalogue.backends["disk"], sample_key("run_9"))
    watched = watch(catalogue, "disk")

    assert rebuild(catalogue) == [f"disk/{sample_key('run_9').name}"]
    assert {call.path.split("/")[0] for call in watched.calls if call.verb == "read"} == {
        sample_key("run_9").name
    }


def test_rows_without_data_and_data_without_rows_are_told_and_mended(
    catalogue: SqlFrontend, places: dict[str, StorageBackend]
) -> None:
    save_everywhere(catalogue)
    places["hall"].remove(KEY.name)
    save_sample(places["bucket"], sample_key("run_2"))

    names = {name for name, _ in told(catalogue)}
    assert names == {f"hall/{KEY.name}", f"bucket/{sample_key('run_2').name}"}
    assert states(catalogue)["hall"] == "complete"
    assert set(rebuild(catalogue)) == names
    assert rows(catalogue) == [
        ("run_1", "bucket", "complete"),
        ("run_1", "disk", "complete"),
        ("run_2", "bucket", "complete"),
    ]
    assert told(catalogue) == []


def test_sizes_that_differ_are_told(catalogue: SqlFrontend) -> None:
    save(catalogue)
    catalogue.database.write(
        lambda connection: connection.execute(update(COPIES).values(size_bytes=1, n_rows=2))
    )

    assert told(catalogue) == [
        (f"disk/{KEY.name}", "entered with other values of size_bytes, n_rows")
    ]


def test_metadata_that_cannot_be_read_are_told(
    catalogue: SqlFrontend, places: dict[str, StorageBackend]
) -> None:
    save(catalogue)
    raw = RawMemory(places["disk"])  # type: ignore[arg-type]
    (name,) = [each for each in raw.list(KEY.name) if each.endswith("metadata.json")]
    raw.write(f"{KEY.name}/{name}", b"{")
    ((about, text),) = told(catalogue)

    assert about == f"disk/{KEY.name}"
    assert "cannot be read" in text


def test_a_backend_that_does_not_answer_loses_no_row(catalogue: SqlFrontend) -> None:
    save_everywhere(catalogue)
    break_down(catalogue, "hall")
    names = [name for name, _ in told(catalogue)]

    assert names == ["hall"]
    assert rebuild(catalogue) == ["hall"]
    assert sorted(states(catalogue)) == sorted(NAMES)


def test_a_writing_that_never_ended_is_taken_out_after_its_time(
    open_catalogue: OpenCatalogue,
) -> None:
    catalogue = open_catalogue()
    saver = begin(catalogue)
    assert rebuild(catalogue) == []
    catalogue.database.write(
        lambda connection: connection.execute(
            update(COPIES).values(written_s=time.time() - 2 * catalogue.grace_time_s)
        )
    )

    assert rebuild(catalogue) == [f"disk/{KEY.name}"]
    assert rows(catalogue) == []
    saver.abort()


def test_so_is_one_whose_chunks_lie_there(open_catalogue: OpenCatalogue, tmp_path: Path) -> None:
    place = made(sqlite_options(tmp_path / "blobs.db"))  # chunks go where the data will be
    catalogue = open_catalogue({"backends": {"disk": place}})
    saver = catalogue.saver(KEY, sample_metadata(KEY))
    saver.save(sample_chunks(KEY)[0], 0)
    assert [entry.name for entry in catalogue.backends["disk"].list("")] == [".staging", KEY.name]
    assert rebuild(catalogue) == []
    catalogue.database.write(
        lambda connection: connection.execute(update(COPIES).values(written_s=1.0))
    )

    assert rebuild(catalogue) == [f"disk/{KEY.name}"]
    assert rows(catalogue) == []
    saver.abort()


def test_a_file_of_sqlite_without_tables_is_left_so_by_a_dry_run(
    catalogue: SqlFrontend, tmp_path: Path, places: dict[str, StorageBackend]
) -> None:
    (tmp_path / "catalog.db").touch()
    save_sample(places["disk"], KEY)

    assert [name for name, _ in told(catalogue)] == [f"disk/{KEY.name}"]
    assert (tmp_path / "catalog.db").stat().st_size == 0


class Failing(MemoryBackend):
    """Cannot say what is in one folder."""

    error: Exception | None = None

    def read(self, path: str) -> bytes:
        if self.error is not None and path.startswith(KEY.name):
            raise self.error
        return super().read(path)


@pytest.mark.parametrize("is_entered", [False, True])
def test_a_place_that_ceases_to_answer_is_told(
    open_catalogue: OpenCatalogue, *, is_entered: bool
) -> None:
    place = Failing()
    for run_id in ("run_0", "run_1", "run_2"):
        save_sample(place, sample_key(run_id))
    catalogue = open_catalogue({"backends": {"disk": place}})
    if is_entered:
        rebuild(catalogue)
    place.error = StorageUnavailable("no answer")
    before = rows(catalogue)

    assert told(catalogue) == [("disk", "could not be compared: no answer")]
    assert rows(catalogue) == before
    assert len(before) == (3 if is_entered else 0)


@pytest.mark.parametrize("error", [NewerFormat("of next year"), AccessDenied("not for you")])
def test_what_cannot_be_looked_at_is_told_and_the_rest_compared(
    open_catalogue: OpenCatalogue, error: Exception
) -> None:
    place = Failing()
    place.error = error
    for run_id in ("run_0", "run_1", "run_2"):
        save_sample(place, sample_key(run_id))
    catalogue = open_catalogue({"backends": {"disk": place}})

    assert (f"disk/{KEY.name}", f"could not be looked at: {error}") in told(catalogue)
    assert len(rebuild(catalogue)) == 3
    assert [run_id for run_id, *_ in rows(catalogue)] == ["run_0", "run_2"]
    assert rebuild(catalogue) == [f"disk/{KEY.name}"]


def test_a_folder_that_holds_something_else_is_not_what_is_entered(
    catalogue: SqlFrontend, places: dict[str, StorageBackend]
) -> None:
    save(catalogue)
    other = sample_key("run_2")
    save_sample(places["disk"], other)
    raw = RawMemory(places["disk"])  # type: ignore[arg-type]
    raw.write(metadata_path(KEY.name), raw.read(metadata_path(other.name)))

    ((name, text),) = [each for each in told(catalogue) if KEY.name in each[0]]
    assert name == f"disk/{KEY.name}"
    assert "peaks of run run_2 lies there" in text
    assert set(comparison_of(catalogue, "disk", thorough=True)) == {KEY.name, other.name}


def comparison_of(frontend: SqlFrontend, name: str, *, thorough: bool) -> list[str]:
    """Compare one backend, mend, and return which folders differed."""
    names = []
    for batch in batches(frontend, name, thorough=thorough):
        frontend.database.write(lambda connection, batch=batch: mend(connection, name, batch))
        names += [each.name.removeprefix(f"{name}/") for each in batch]
    return names


def batches(frontend: SqlFrontend, name: str, *, thorough: bool) -> list[list[Difference]]:
    backend = frontend.backends[name]
    comparison = Comparison(
        database=frontend.database, name=name, backend=backend, thorough=thorough, grace_time_s=60
    )
    return list(comparison.batches(scan(backend).pieces))


@pytest.mark.parametrize("was", ["nothing", "other values", "damaged", "gone"])
def test_what_was_entered_since_it_was_compared_stays(
    catalogue: SqlFrontend, places: dict[str, StorageBackend], was: str
) -> None:
    save_sample(places["disk"], KEY)
    if was != "nothing":
        rebuild(catalogue)
        catalogue.database.write(lambda link: link.execute(update(COPIES).values(n_rows=1)))
    if was == "damaged":
        RawMemory(places["disk"]).write(metadata_path(KEY.name), b"{")  # type: ignore[arg-type]
    if was == "gone":
        places["disk"].remove(KEY.name)
    (batch,) = [each for each in batches(catalogue, "disk", thorough=True) if each]
    save(catalogue, mark=2, overwrite="always")
    newer = everything(catalogue)
    catalogue.database.write(lambda connection: mend(connection, "disk", batch))

    assert len(batch) == 1
    assert everything(catalogue) == newer
    assert states(catalogue) == {"disk": "complete"}
    assert told(catalogue) == []


def test_each_backend_is_listed_once(catalogue: SqlFrontend) -> None:
    save(catalogue)
    catalogue.write_run_metadata("run_1", {})
    watched = FaultyBackend(catalogue.backends["disk"])
    catalogue.backends["disk"] = watched

    assert told(catalogue) == []
    assert [call.path for call in watched.calls if call.verb == "list"] == [""]


def test_a_document_that_was_entered_since_it_was_looked_for_stays(
    catalogue: SqlFrontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.write_run_metadata("run_1", {"mode": "filed"})
    RunStore(catalogue.database, place="catalog", mirror=None).write("run_1", {"mode": "entered"})
    monkeypatch.setattr(documents, "run_ids", lambda _: set())
    rebuild(catalogue)

    assert catalogue.run_metadata("run_1")["mode"] == "entered"


def test_a_document_that_was_filed_since_the_listing_is_no_difference(
    catalogue: SqlFrontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.write_run_metadata("run_1", {"mode": "filed"})
    monkeypatch.setattr(
        "strax_sql.upkeep.upkeep.scan", lambda backend: replace(scan(backend), runs=set())
    )

    assert told(catalogue) == []


@pytest.mark.parametrize("waits", [False, True])
def test_metadata_are_read_side_by_side_if_one_has_to_wait(
    open_catalogue: OpenCatalogue, monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    class Slow(MemoryBackend):
        def read(self, path: str) -> bytes:
            time.sleep(0.005)
            readers.add(threading.get_ident())
            if len(readers) > 4:
                are_many.set()
            if waits and threading.get_ident() != caller:  # none goes on before others have come
                assert are_many.wait(600)
            return super().read(path)

    if not waits:  # as if all the time were work
        clocks = {name: cycle([0.0, 1.0]).__next__ for name in ("thread_time", "perf_counter")}
        monkeypatch.setattr(metadata_reader, "time", SimpleNamespace(**clocks))
    readers: set[int] = set()
    caller, are_many = threading.get_ident(), threading.Event()
    place = Slow()
    for i in range(40):
        save_sample(place, sample_key(f"run_{i}"))
    readers.clear()
    found = rebuild(open_catalogue({"backends": {"disk": place}, "mirror_runs": False}))

    assert found == sorted(f"disk/{sample_key(f'run_{i}').name}" for i in range(40))
    assert (len(readers) > 4) == waits


def test_what_is_absent_goes_and_what_is_damaged_stays_so(
    catalogue: SqlFrontend, places: dict[str, StorageBackend]
) -> None:
    save_everywhere(catalogue)
    for name, state in (("disk", "absent"), ("hall", "damaged")):
        catalogue.database.write(
            lambda connection, name=name, state=state: connection.execute(  # type: ignore[misc]
                update(COPIES).where(COPIES.c.backend == name).values(state=state)
            )
        )
    places["disk"].remove(KEY.name)
    rebuild(catalogue)

    assert states(catalogue) == {"hall": "damaged", "bucket": "complete"}


def test_documents_are_taken_from_files_and_filed(
    catalogue: SqlFrontend, open_catalogue: OpenCatalogue, places: dict[str, StorageBackend]
) -> None:
    open_catalogue({"mirror_runs": False}).write_run_metadata("run_1", {"mode": "entered"})
    raw = RawMemory(places["hall"])  # type: ignore[arg-type]
    raw.write("run_2-metadata.json", b'{"name": "run_2", "mode": "filed"}')
    raw.write("run_3-metadata.json", b"{")
    raw.write("my-notes-metadata.json", b"{}")

    assert [name for name, _ in told(catalogue)] == [
        *("hall/run_2", "hall/run_3"),  # the one of run_3 cannot be read
        *("catalog/run_1", "catalog/run_2"),
    ]
    rebuild(catalogue)
    assert catalogue.run_metadata("run_2")["mode"] == "filed"
    assert b"entered" in RawMemory(places["disk"]).read("run_1-metadata.json")  # type: ignore[arg-type]
    assert [name for name, _ in told(catalogue)] == ["hall/run_3"]


def test_a_place_to_look_only_is_not_rebuilt(open_catalogue: OpenCatalogue) -> None:
    save(open_catalogue())

    with pytest.raises(ReadOnlyError):
        open_catalogue(readonly=True).rebuild_catalogue(dry_run=False)


def test_what_has_no_copy_somewhere_is_listed(catalogue: SqlFrontend) -> None:
    save_everywhere(catalogue)
    save(catalogue, sample_key("run_2"), backend="bucket")

    assert list(catalogue.catalogued()) == [KEY, sample_key("run_2")]
    assert list(catalogue.catalogued(missing_in="hall")) == [sample_key("run_2")]
    assert list(catalogue.catalogued(missing_in="bucket")) == []


@pytest.mark.parametrize("document", ["{", "[]", '{"peaks": 3}'])
def test_a_lineage_that_cannot_be_read_hides_nothing_else(
    catalogue: SqlFrontend, document: str, caplog: pytest.LogCaptureFixture
) -> None:
    for gain in (1.0, 2.0, 3.0):
        save(catalogue, made_with(gain))
    damaged = update(LINEAGES).where(LINEAGES.c.document.like("%2.0%")).values(document=document)
    catalogue.database.write(lambda connection: connection.execute(damaged))

    assert set(catalogue.catalogued()) == {made_with(1.0), made_with(3.0)}
    assert "peaks of run run_1 is left out" in caplog.text
    (found,) = catalogue.find_several([made_with(9.0)], Match(fuzzy_for_options=("gain",)))
    assert found is not None
    assert found.backend_key == made_with(3.0).name
