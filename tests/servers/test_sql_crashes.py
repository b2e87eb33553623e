"""A process that is killed between the storage's commit and the row: nothing is computed again.

It is killed at each step in turn, on SQLite and on PostgreSQL: before and after each change in the
storage, each statement of SQL and each commit, from the moment when the data become visible.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from postgres_server import Postgres
from racing import FORKS
from sqlalchemy import Engine, delete, event

from strax_core import Buffer, Chunk, Context, Plugin, SecretReference, metadata_path
from strax_local import LocalBackend, LocalOptions
from strax_sql import SqlFrontend, SqlOptions
from strax_sql.catalogue.schema import COPIES
from strax_sql.database.engine import Database

pytestmark = pytest.mark.servers  # some dozens of processes take a while, also without one
DTYPE = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])
computed: list[str] = []
"""The runs that were computed in this process."""


class Records(Plugin):
    """Three rows; whoever computes them is noted."""

    provides = "records"
    dtype = DTYPE

    def chunks(self) -> Iterator[Chunk]:
        computed.append(self.run_id)
        rows = np.array([(0, 5, 1), (10, 15, 2), (20, 25, 3)], DTYPE)
        yield self.chunk(start=0, end=30, data=rows)


@dataclass(frozen=True)
class Scene:
    """A catalogue, and the folder that it knows."""

    url: str
    folder: Path
    password: SecretReference | None = None

    def catalogue(self, kind: type[LocalBackend] = LocalBackend) -> SqlFrontend:
        disk = kind(LocalOptions(path=str(self.folder), fsync=False))
        options = SqlOptions(url=self.url, password=self.password, backends={"disk": disk})
        return SqlFrontend(options, name="catalog")


class Death:
    """Kills this process at one of the steps, counted from the one that makes data visible."""

    def __init__(self, at_step: int) -> None:
        self._left = at_step
        self._is_near = False

    def may_come(self, *_: object) -> None:
        if self._is_near:
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1

    def comes_near(self) -> None:
        self._is_near = True


def make_until(scene: Scene, run_id: str, at_step: int) -> None:
    """Make a run, and die at a step; end well if there are fewer."""
    death = Death(at_step)

    class Disk(LocalBackend):
        def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
            if "/journal-" in path:  # they come by the clock
                return super().write(path, buffers, create_only=create_only)
            return watched(lambda: super(Disk, self).write(path, buffers, create_only=create_only))

        def delete_files(self, paths: Sequence[str]) -> None:
            watched(lambda: super(Disk, self).delete_files(paths))

        def drop_empty(self, folder: str) -> None:
            watched(lambda: super(Disk, self).drop_empty(folder))

        def rename(self, source: str, target: str) -> None:
            death.comes_near()
            watched(lambda: super(Disk, self).rename(source, target))

    def watched(change: Callable[[], None]) -> None:
        death.may_come()
        change()
        death.may_come()

    def write(self: Database, *arguments: Any, **options: Any) -> Any:
        answer = plain_write(self, *arguments, **options)
        death.may_come()
        return answer

    plain_write = Database.write
    Database.write = write  # type: ignore[method-assign]
    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, name, death.may_come)
    Context([scene.catalogue(Disk)], plugins=[Records]).make(run_id, "records")


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "sqlite":
        yield Scene(f"sqlite:///{tmp_path}/catalog.db", folder)
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    database = server.new_database()
    (tmp_path / "password").write_text(database.password)
    yield Scene(database.url, folder, SecretReference(file=str(tmp_path / "password")))
    server.give_back(database)


@pytest.fixture
def catalogue(scene: Scene) -> Iterator[SqlFrontend]:
    catalogue = scene.catalogue()
    yield catalogue
    catalogue.database.close()


def test_whoever_asks_next_finds_what_was_committed_and_computes_nothing_again(
    scene: Scene, catalogue: SqlFrontend
) -> None:
    context = Context([catalogue], plugins=[Records])
    was_there: list[bool] = []
    has_ended = False
    while not has_ended:
        run_id = f"run_{len(was_there)}"
        writer = FORKS.Process(target=make_until, args=(scene, run_id, len(was_there)))
        writer.start()
        writer.join()
        has_ended = writer.exitcode == 0
        assert has_ended or writer.exitcode == -signal.SIGKILL
        key = context.key_for(run_id, "records")
        was_there.append((scene.folder / metadata_path(key.name)).exists())
        computed.clear()
        context.make(run_id, "records")

        assert computed == ([] if was_there[-1] else [run_id])
        assert context.get_array(run_id, "records")["x"].tolist() == [1, 2, 3]
        (found,) = catalogue.find_several([key])
        assert found is not None
        assert found.listed
    assert was_there == [False] + [True] * (len(was_there) - 1)
    assert len(was_there) > 12  # rename, tidying up, looks, the entry, the commit
    assert list(catalogue.check_catalogue()) == []


@pytest.mark.parametrize("how", ["make", "get_array"])
def test_what_lies_in_the_storage_without_a_row_is_not_computed_again(
    catalogue: SqlFrontend, how: str
) -> None:
    computed.clear()
    context = Context([catalogue], plugins=[Records])
    context.make("run_1", "records")
    catalogue.database.write(lambda connection: connection.execute(delete(COPIES)))
    assert not context.is_stored("run_1", "records")

    getattr(context, how)("run_1", "records")
    assert computed == ["run_1"]
    assert context.is_stored("run_1", "records")
    assert list(catalogue.check_catalogue()) == []
