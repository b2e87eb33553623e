"""Checking and rebuilding a catalogue; what replicates."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
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
from sqlalchemy import select, update

from strax_core import ReadOnlyError, StorageBackend
from strax_core.testing import RawMemory, sample_key, save_sample
from strax_sql.frontend import SqlFrontend
from strax_sql.schema import COPIES, LINEAGES, PIECES, RUNS


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
    catalogue.database.close()
    for file in tmp_path.glob("catalog.db*"):
        file.unlink()

    fresh = open_catalogue()
    dry = [each.name for each in fresh.rebuild_catalogue(dry_run=True)]
    assert list(tmp_path.glob("catalog.db*")) == []
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
