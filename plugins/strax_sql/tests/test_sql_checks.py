"""`strax doctor` of a catalogue: a line for each thing that may be wrong, with the way out."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from postgres_server import Postgres
from sql_places import OpenCatalogue, reach_of_server, rows, save, save_everywhere
from sqlalchemy import text, update

from strax_core import MemoryBackend, StorageBackend
from strax_core.testing import sample_key
from strax_sql.catalogue.schema import CATALOGUE, COPIES
from strax_sql.frontend import SqlFrontend
from strax_sql.options import SqlOptions


@pytest.fixture
def reach(reach_of_each: dict[str, Any]) -> dict[str, Any]:
    return reach_of_each


def told(frontend: SqlFrontend, *, writes: bool = True) -> dict[str, tuple[bool, str]]:
    return {each.name: (each.is_good, each.text) for each in frontend.checks(writes=writes)}


def bad(frontend: SqlFrontend, *, writes: bool = True) -> list[tuple[str, str]]:
    """Return what is not good, and make sure that it is the last that was looked at."""
    checks = list(frontend.checks(writes=writes))
    assert [each for each in checks[:-1] if not each.is_good] == []
    return [(each.name, each.text) for each in checks if not each.is_good]


def n_rows(frontend: SqlFrontend) -> list[int]:
    return frontend.database.read(
        lambda link: [
            link.execute(text(f"SELECT count(*) FROM {each.name}")).scalar_one()  # noqa: S608 - ours
            for each in CATALOGUE.sorted_tables
        ]
    )


def test_all_is_well_and_nothing_stays(catalogue: SqlFrontend) -> None:
    save_everywhere(catalogue)
    save(catalogue, sample_key("run_2"))
    catalogue.write_run_metadata("run_1", {})
    before = n_rows(catalogue)
    found = told(catalogue)

    assert [name for name, (is_good, _) in found.items() if not is_good] == []
    own = ["file", "journal"] if catalogue.options.is_sqlite else ["clock"]
    assert set(found) == {"database", "latency", "tables", "contents", "copies", "write", *own}
    assert found["database"][1].startswith(
        "SQLite 3." if catalogue.options.is_sqlite else "PostgreSQL 1"
    )
    assert found["latency"][1].endswith(" ms")
    assert found["tables"][1] == "of version 1"
    assert found["contents"][1] == "2 pieces of data, 1 documents about runs"
    assert found["copies"][1] == "disk: 2 complete; hall: 1 complete; bucket: 1 complete"
    assert n_rows(catalogue) == before
    assert set(told(catalogue, writes=False)) == {*found} - {"write"}


def test_marks_and_backends_that_are_not_known_are_counted(
    open_catalogue: OpenCatalogue, places: dict[str, StorageBackend]
) -> None:
    save_everywhere(open_catalogue())
    catalogue = open_catalogue({"backends": {"disk": places["disk"], "far": MemoryBackend()}})
    catalogue.database.write(
        lambda link: link.execute(
            update(COPIES).where(COPIES.c.backend == "disk").values(state="damaged")
        )
    )
    _, copies = told(catalogue)["copies"]

    assert sorted(copies.split("; ")) == [
        "bucket, which is not among the backends: 1 complete",
        "disk: 1 damaged",
        "far: none",
        "hall, which is not among the backends: 1 complete",
    ]


def test_tables_that_are_not_there_are_made_only_if_it_writes(
    open_catalogue: OpenCatalogue, tmp_path: Path
) -> None:
    catalogue = open_catalogue()
    if catalogue.options.is_sqlite:
        (tmp_path / "catalog.db").touch()
    for _ in range(2):
        found = told(catalogue, writes=False)
        assert found["tables"] == (
            True,
            "none yet; the first save makes them, or `strax catalog rebuild`",
        )
        assert found["contents"][1].startswith("0 pieces")
        assert found["copies"][1] == "disk: none; hall: none; bucket: none"
    assert bad(catalogue) == []

    assert told(catalogue)["tables"] == (True, "of version 1")
    assert rows(catalogue) == []


def test_newer_tables_are_told(catalogue: SqlFrontend) -> None:
    save(catalogue)
    catalogue.database.write(lambda link: link.execute(text("UPDATE strax_schema SET version = 2")))
    ((name, why),) = bad(catalogue)

    assert name == "tables"
    assert "install a newer one" in why


def test_a_file_or_its_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    places = {"disk": MemoryBackend()}
    for path, way_out in (
        ("a.db", "strax catalog rebuild"),
        ("no/a.db", f"mkdir -p {tmp_path}/no"),
    ):
        catalogue = SqlFrontend(SqlOptions(url=f"sqlite:///{tmp_path}/{path}", backends=places))
        ((name, why),) = bad(catalogue)
        assert (name, way_out in why) == ("file", True)

    assert list(tmp_path.iterdir()) == []


def test_a_file_of_sqlite_that_is_none_or_has_another_journal_is_told(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    options = SqlOptions(url=f"sqlite:///{file}", backends={"disk": MemoryBackend()})
    file.write_bytes(b"no database at all, " * 100)
    ((name, why),) = bad(SqlFrontend(options))
    assert (name, "rebuild" in why) == ("database", True)
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE anything (x)")
    ((name, why),) = bad(SqlFrontend(options, readonly=True), writes=False)

    assert (name, "a disk of this machine" in why) == ("journal", True)


def test_a_database_that_takes_no_rows_is_told(tmp_path: Path) -> None:
    options = SqlOptions(url=f"sqlite:///{tmp_path}/catalog.db", backends={"disk": MemoryBackend()})
    catalogue = SqlFrontend(options)
    save(catalogue)
    catalogue.database.write(
        lambda link: link.execute(
            text(
                "CREATE TRIGGER no BEFORE INSERT ON strax_runs BEGIN SELECT RAISE(FAIL, 'no'); END"
            )
        )
    )
    ((name, _),) = bad(catalogue)
    catalogue.database.close()

    assert name == "write"


@pytest.mark.servers
def test_what_a_server_refuses_is_told(
    own_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_postgres.server

    def opened(**more: Any) -> SqlFrontend:
        reach = reach_of_server(server, tmp_path)
        chosen = SqlOptions(
            **{**reach, "backends": {"disk": MemoryBackend()}, "timeout_s": 5, **more}
        )
        return SqlFrontend(chosen)

    owner = opened()
    save(owner)
    own_postgres.sql("CREATE ROLE reader LOGIN PASSWORD 'canary-of-a-reader'")
    own_postgres.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    (tmp_path / "readers").write_text("canary-of-a-reader")
    reader = opened(
        url=server.url.replace("//test@", "//reader@"),
        password=type(owner.options.password)(file=str(tmp_path / "readers")),
    )
    assert bad(reader, writes=False) == []
    ((name, why),) = bad(reader)
    assert (name, "what this user may do" in why, "canary" in why) == ("write", True, False)
    (tmp_path / "readers").write_text("canary-that-is-wrong")
    ((name, why),) = bad(opened(url=reader.options.url, password=reader.options.password))
    assert (name, "check user, password" in why, "canary" in why) == ("database", True, False)
    ((name, why),) = bad(opened(url=server.url.replace("/postgres", "/missing")))
    assert (name, "make the database" in why) == ("database", True)
    monkeypatch.setattr("strax_sql.database.checks.CLOCK_TOLERANCE_S", -1.0)
    ((name, why),) = bad(owner)
    assert (name, "set it" in why) == ("clock", True)
    own_postgres.kill()
    ((name, why),) = bad(owner)

    assert (name, "is the server up" in why) == ("database", True)
    for each in (owner, reader):
        each.database.close()
