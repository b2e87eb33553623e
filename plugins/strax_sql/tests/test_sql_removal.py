"""Several clients remove copies at the same moment: none may lose the last good one."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sql_places import KEY, OpenCatalogue, break_down, offered, rows, save, states
from sqlalchemy import update

from strax_core import (
    AccessDenied,
    DataCorrupted,
    DataNotAvailable,
    ReadOnlyError,
    StorageBackend,
    StorageUnavailable,
)
from strax_core.testing import FaultyBackend
from strax_sql.catalogue.schema import COPIES
from strax_sql.frontend import SqlFrontend


@pytest.fixture
def reach(reach_of_each: dict[str, Any]) -> dict[str, Any]:
    return reach_of_each


@pytest.fixture
def two(open_catalogue: OpenCatalogue) -> tuple[SqlFrontend, SqlFrontend]:
    """Two clients of one catalogue, which has copies on disk and in the hall."""
    first = open_catalogue()
    for name in ("disk", "hall"):
        save(first, backend=name)
    return first, open_catalogue()


class Interrupted(FaultyBackend):
    """Lets something happen just before a file is deleted, or just after one was read; once."""

    def __init__(self, backend: StorageBackend, verb: str, meanwhile: Callable[[], None]) -> None:
        super().__init__(backend)
        self._verb = verb
        self._meanwhile = [meanwhile]

    def read(self, path: str) -> bytes:
        stored = super().read(path)
        self._happens("read")
        return stored

    def delete(self, path: str) -> None:
        self._happens("delete")
        super().delete(path)

    def _happens(self, verb: str) -> None:
        while verb == self._verb and self._meanwhile:
            self._meanwhile.pop()()


def holders(catalogue: SqlFrontend) -> list[str]:
    """Return where the data are, asking the storage."""
    return [name for name in catalogue.backends if list(catalogue.backends[name].list(KEY.name))]


def test_a_copy_that_another_client_is_removing_does_not_count_as_one_that_stays(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    first, second = two
    told: list[str] = []

    def remove_the_other() -> None:
        assert states(second) == {"disk": "removing", "hall": "complete"}
        with pytest.raises(ReadOnlyError, match=r"stays: the one in disk is .*force=True") as error:
            second.remove(KEY, backend="hall")
        told.append(str(error.value))

    first.backends["disk"] = Interrupted(first.backends["disk"], "delete", remove_the_other)
    first.remove(KEY, backend="disk")

    assert len(told) == 1
    assert holders(second) == ["hall"]
    assert states(second) == {"hall": "complete"}


def test_what_goes_between_the_look_and_the_announcement_does_not_count_either(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    first, second = two
    first.backends["hall"] = Interrupted(
        first.backends["hall"], "read", lambda: second.remove(KEY, backend="hall")
    )
    with pytest.raises(ReadOnlyError, match="last good copy"):
        first.remove(KEY, backend="disk")

    assert holders(second) == ["disk"]
    assert states(second) == {"disk": "complete"}


def test_of_two_that_remove_the_last_two_at_once_one_keeps_its_own(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    start = threading.Barrier(2)

    def remove(frontend: SqlFrontend, name: str) -> bool:
        start.wait(600)
        try:
            frontend.remove(KEY, backend=name)
        except ReadOnlyError:
            return False
        return True

    for _ in range(5):
        with ThreadPoolExecutor(2) as threads:
            done = list(threads.map(remove, two, ("disk", "hall")))

        assert sorted(done) == [False, True]
        (left,) = holders(two[0])
        assert states(two[0]) == {left: "complete"}
        save(two[0], backend="disk" if left == "hall" else "hall")


def test_a_removal_that_was_broken_off_is_told_and_can_be_done_again(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    first, second = two

    def die() -> None:
        raise KeyboardInterrupt

    first.backends["disk"] = Interrupted(first.backends["disk"], "delete", die)
    with pytest.raises(KeyboardInterrupt):
        first.remove(KEY, backend="disk")

    assert states(second) == {"disk": "removing", "hall": "complete"}
    assert offered(second) == ["hall", "disk"]
    assert [each.backend for each in second.find_all(KEY)] == ["hall", "disk"]
    (remark,) = second.remarks(KEY)
    assert remark.startswith("disk has a copy that is being removed, asked last, noted at 20")
    with pytest.raises(ReadOnlyError):
        second.remove(KEY, backend="hall")
    second.remove(KEY, backend="disk")
    assert holders(second) == ["hall"]
    assert states(second) == {"hall": "complete"}


def test_a_removal_whose_answer_was_lost_leaves_nobody_in_doubt(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    first, second = two

    def remove_and_lose_the_answer() -> None:
        second.backends["disk"].remove(KEY.name)
        raise StorageUnavailable("no answer")

    first.backends["disk"] = Interrupted(
        first.backends["disk"], "delete", remove_and_lose_the_answer
    )
    with pytest.raises(StorageUnavailable):
        first.remove(KEY, backend="disk")
    assert states(second) == {"disk": "removing", "hall": "complete"}

    with pytest.raises(DataNotAvailable):
        second.remove(KEY, backend="disk")
    assert states(second) == {"disk": "absent", "hall": "complete"}


def test_only_a_rebuild_counts_it_again_and_not_before_the_grace_time(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    first, second = two
    break_down(first, "disk")
    with pytest.raises(StorageUnavailable):
        first.remove(KEY, backend="disk")
    assert list(second.check_catalogue()) == []
    assert list(second.rebuild_catalogue(dry_run=False)) == []
    assert states(second)["disk"] == "removing"

    second.database.write(
        lambda connection: connection.execute(
            update(COPIES)
            .where(COPIES.c.backend == "disk")
            .values(failed_s=COPIES.c.failed_s - second.grace_time_s)
        )
    )
    (check,) = second.rebuild_catalogue(dry_run=False)
    assert check.name == f"disk/{KEY.name}"
    assert "its removal began" in check.text
    assert states(second) == {"disk": "complete", "hall": "complete"}
    second.remove(KEY, backend="hall")
    assert holders(second) == ["disk"]


def test_a_removal_that_the_place_refuses_is_taken_back_at_once(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    first, second = two

    def refuse() -> None:
        raise AccessDenied("not yours to delete")

    first.backends["disk"] = Interrupted(first.backends["disk"], "delete", refuse)
    with pytest.raises(AccessDenied):
        first.remove(KEY, backend="disk")

    assert states(second) == {"disk": "complete", "hall": "complete"}
    assert second.remarks(KEY) == []


def test_who_insists_announces_it_too(two: tuple[SqlFrontend, SqlFrontend]) -> None:
    first, second = two
    told: list[ReadOnlyError] = []

    def remove_the_other() -> None:
        with pytest.raises(ReadOnlyError) as error:
            second.remove(KEY, backend="disk")
        told.append(error.value)

    first.backends["hall"] = Interrupted(first.backends["hall"], "delete", remove_the_other)
    first.remove(KEY, backend="hall", force=True)

    assert len(told) == 1
    assert holders(second) == ["disk"]


def test_what_others_find_of_a_copy_that_goes_does_not_make_it_stay(
    two: tuple[SqlFrontend, SqlFrontend],
) -> None:
    first, second = two
    found = {at.backend: at for at in second.find_all(KEY)}
    break_down(first, "disk")
    with pytest.raises(StorageUnavailable):
        first.remove(KEY, backend="disk")

    metadata = found["disk"].metadata
    assert metadata is not None
    second._verified(KEY, found["disk"])
    second._committed(KEY, found["disk"], metadata)
    assert states(second)["disk"] == "removing"
    second.report_failure(KEY, found["disk"], DataCorrupted("a bit flipped"))
    assert states(second)["disk"] == "damaged"
    save(second, mark=2, backend="disk", overwrite="always")
    assert states(second)["disk"] == "complete"
    assert len(rows(second)) == 2
