"""The claim check of `saver_class`: what the commit needs must hold in a race, across instances."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import ObjectExists, ObjectMissing, StorageError
from strax_core.testing.base import BackendBase, renames
from strax_core.testing.faults import FaultyBackend
from strax_core.testing.levels import at_level
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import sample_key, save_sample

RACERS = at_level(quick=8, full=32)
ROUNDS = at_level(quick=5, full=20)
PROCESSES = 4
FORK_S = 600
"""A fork that takes longer waits for something that never comes."""
_START: list[Any] = []
SWITCHES_S = 1e-6
"""Threads take turns this often during a race; Python's 5 ms would hide most races."""


def race(actions: Sequence[Callable[[], object]]) -> list[BaseException | None]:
    """Start all at once, in threads; return what each ended with."""
    outcomes: list[BaseException | None] = [None] * len(actions)
    barrier = threading.Barrier(len(actions))

    def run(number: int) -> None:
        barrier.wait()
        try:
            actions[number]()
        except BaseException as error:  # noqa: BLE001 - the caller judges it
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(actions))]
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCHES_S)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return outcomes


def watched(work: Callable[[], object], *watchers: Callable[[], object]) -> None:
    """Do the work once, while each watcher looks again and again; none of them may raise."""
    done = threading.Event()

    def work_once() -> None:
        try:
            work()
        finally:
            done.set()

    def keep(watch: Callable[[], object]) -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()  # so that each looks once more when all is done
            watch()

    keeping: list[Callable[[], object]] = [partial(keep, watch) for watch in watchers]
    assert race([work_once, *keeping]) == [None] * (1 + len(keeping))


def meet_at(barrier: Any) -> None:
    """Remember where the processes of a pool wait for each other."""
    _START[:] = [barrier]


def in_a_fork(action: Callable[..., object], *arguments: object) -> int:
    """Do it in a child of this process; return 0, 1 if it raised, or -9 if it was killed by 9.

    For a process without threads: in a fork, a lock that another held is never released.
    """
    child = os.fork()
    if child == 0:
        signal.alarm(FORK_S)
        try:
            action(*arguments)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def use_in_turns_with_a_fork(backend: StorageBackend) -> list[int]:
    """Use a backend here, in a fork, and here again; return how two forks ended."""
    work_alone(backend, 1)  # whatever it opens is open now
    first = in_a_fork(work_alone, backend, 2)
    work_alone(backend, 3)
    return [first, in_a_fork(work_alone, backend, 4)]


def create_files(backend: StorageBackend, number: int, n_files: int) -> list[int]:
    """Try to create each of some files before others do; return which succeeded."""
    won = []
    _START[0].wait()
    for i in range(n_files):
        with suppress(ObjectExists):
            backend.write(f"race/file-{i}", [bytes([number]) * 5000], create_only=True)
            won.append(i)
    return won


def work_alone(backend: StorageBackend, number: int) -> None:
    """Use every verb, in a folder of one's own."""
    for i in range(10):
        folder = f"own-{number}"
        data = bytes([number, i]) * 1000
        backend.write(f"{folder}/file-{i}", [data])
        assert backend.read(f"{folder}/file-{i}") == data
        assert backend.read_ranges(f"{folder}/file-{i}", [(1, 3)]) == [data[1:4]]
        assert {entry.name for entry in backend.list(folder)} == {f"file-{i}"}
        assert f"{folder}" in {entry.name for entry in backend.list("")}
        backend.delete(f"{folder}/file-{i}")


def the_winner(outcomes: Sequence[BaseException | None], error: type[StorageError]) -> int:
    """Return which one succeeded; all others must have ended with this error."""
    winners = [i for i, outcome in enumerate(outcomes) if outcome is None]

    assert len(winners) == 1, outcomes
    assert all(isinstance(outcome, error) for outcome in outcomes if outcome is not None), outcomes
    return winners[0]


class RaceChecks(BackendBase):
    """`write(create_only=True)` and `rename` are exclusive and atomic."""

    @pytest.mark.parametrize("round_", range(ROUNDS))
    def test_of_many_who_create_exactly_one_succeeds(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess, round_: int
    ) -> None:
        def create(number: int) -> None:
            at = (backend, second)[number % 2]
            at.write(f"{round_}/file", [bytes([number]) * 50_000], create_only=True)

        outcomes = race([lambda number=i: create(number) for i in range(RACERS)])  # type: ignore[misc]
        winner = the_winner(outcomes, ObjectExists)

        assert raw.read(f"{round_}/file") == bytes([winner]) * 50_000
        assert everything(raw) == {f"{round_}/file"}

    def test_of_many_processes_exactly_one_creates_each_file(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if not self.pickles:
            return
        n_files = at_level(quick=50, full=500)
        spawn = multiprocessing.get_context("spawn")
        meeting = (spawn.Barrier(PROCESSES),)
        with ProcessPoolExecutor(PROCESSES, spawn, initializer=meet_at, initargs=meeting) as pool:
            tasks = [pool.submit(create_files, backend, i, n_files) for i in range(PROCESSES)]
            won = [task.result() for task in tasks]

        assert sorted(number for each in won for number in each) == list(range(n_files))
        for number, each in enumerate(won):
            for i in each:
                assert raw.read(f"race/file-{i}") == bytes([number]) * 5000
        assert len(everything(raw)) == n_files

    def test_a_fork_shares_nothing_that_is_open(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if not self.pickles:
            return
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(use_in_turns_with_a_fork, backend).result() == [0, 0]

        assert not [path for path in everything(raw) if "/" in path]

    def test_threads_that_do_all_at_once_do_not_disturb_each_other(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess
    ) -> None:
        outcomes = race(
            [lambda i=i: work_alone((backend, second)[i % 2], i) for i in range(RACERS)]  # type: ignore[misc]
        )

        assert [outcome for outcome in outcomes if outcome is not None] == []
        assert not [path for path in everything(raw) if "/" in path]

    def test_a_listing_while_others_write_and_delete_is_whole(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess
    ) -> None:
        stay = {f"stays-{i:03d}" for i in range(100)}
        for name in stay:
            raw.write(f"folder/{name}", b"x")

        def disturb() -> None:
            for i in range(60):
                second.write(f"folder/comes-{i % 20}", [b"x"])
                second.delete(f"folder/comes-{i % 20}")

        def look() -> None:
            names = [entry.name for entry in backend.list("folder")]
            assert len(names) == len(set(names))
            assert set(names) >= stay
            assert all(name.startswith(("stays-", "comes-")) for name in names)

        watched(disturb, look, look)

    def test_a_saver_that_does_not_rename_needs_no_rename(self, backend: StorageBackend) -> None:
        counted = FaultyBackend(backend)
        save_sample(counted, sample_key())

        assert ("rename" in {call.verb for call in counted.calls}) == renames(backend)

    def test_a_renamed_folder_moves_with_all_in_it(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if not renames(backend):
            return
        for path in ("a/b/file", "a/b/deep/file", "a/bb/file", "b/file"):
            raw.write(path, path.encode())
        backend.rename("a/b", "new/c")

        assert everything(raw) == {"new/c/file", "new/c/deep/file", "a/bb/file", "b/file"}
        assert raw.read("new/c/deep/file") == b"a/b/deep/file"

    def test_renaming_a_missing_folder_says_so(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if not renames(backend):
            return
        raw.write("ab/file", b"x")
        for source in ("a", "missing/deep", "ab/file/below"):
            with pytest.raises(ObjectMissing):
                backend.rename(source, "new")

        assert everything(raw) == {"ab/file"}

    def test_renaming_never_replaces(self, backend: StorageBackend, raw: RawAccess) -> None:
        if not renames(backend):
            return
        for path in ("a/file", "folder/other", "plain"):
            raw.write(path, path.encode())
        for target in ("folder", "plain"):
            with pytest.raises(ObjectExists):
                backend.rename("a", target)

        assert everything(raw) == {"a/file", "folder/other", "plain"}
        assert raw.read("plain") == b"plain"

    @pytest.mark.parametrize("round_", range(ROUNDS))
    def test_of_many_who_rename_exactly_one_succeeds(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess, round_: int
    ) -> None:
        if not renames(backend):
            return
        for i in range(RACERS):
            raw.write(f"source/{round_}-{i}/file", bytes([i]))
        outcomes = race(
            [
                lambda i=i: (backend, second)[i % 2].rename(f"source/{round_}-{i}", "target")  # type: ignore[misc]
                for i in range(RACERS)
            ]
        )
        winner = the_winner(outcomes, ObjectExists)

        assert raw.read("target/file") == bytes([winner])
        assert raw.list("target") == {"file"}
        assert len(raw.list("source")) == RACERS - 1

    def test_a_renamed_folder_appears_with_all_its_files(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess
    ) -> None:
        if not renames(backend):
            return
        for i in range(ROUNDS):
            for j in range(20):
                raw.write(f"source-{i}/file-{j}", b"x")

        def rename_all() -> None:
            for i in range(ROUNDS):
                backend.rename(f"source-{i}", f"target-{i}")

        def look() -> None:
            for i in range(ROUNDS):
                assert len(list(second.list(f"target-{i}"))) in {0, 20}

        watched(rename_all, look)
