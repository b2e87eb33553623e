"""The claim check of `saver_class`: what the commit needs must hold in a race, across instances."""

import threading
from collections.abc import Callable, Sequence

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import ObjectExists, ObjectMissing, StorageError
from strax_core.testing.base import BackendBase, renames
from strax_core.testing.faults import FaultyBackend
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import sample_key, save_sample

RACERS = 8
ROUNDS = 5


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
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


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

    def test_a_saver_that_does_not_rename_needs_no_rename(self, backend: StorageBackend) -> None:
        watched = FaultyBackend(backend)
        save_sample(watched, sample_key())

        assert ("rename" in {call.verb for call in watched.calls}) == renames(backend)

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
        stop = threading.Event()
        seen: set[int] = set()

        def keep_listing() -> None:
            while not stop.is_set():
                for i in range(ROUNDS):
                    seen.add(len(list(second.list(f"target-{i}"))))

        for i in range(ROUNDS):
            for j in range(20):
                raw.write(f"source-{i}/file-{j}", b"x")
        reader = threading.Thread(target=keep_listing)
        reader.start()
        for i in range(ROUNDS):
            backend.rename(f"source-{i}", f"target-{i}")
        stop.set()
        reader.join()

        assert seen <= {0, 20}
