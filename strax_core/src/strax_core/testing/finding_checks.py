"""The contract of finding: what a saver committed is found, by everyone, until it is removed."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import (
    AccessDenied,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    StorageUnavailable,
)
from strax_core.frontend import StorageFrontend
from strax_core.keys import DataKey, Lineage
from strax_core.location import Location
from strax_core.matching import Match
from strax_core.testing.base import ContractBase
from strax_core.testing.faults import Fault, FaultyBackend
from strax_core.testing.levels import at_level
from strax_core.testing.raw import RawAccess
from strax_core.testing.samples import bytes_of_chunks, sample_chunks, sample_key, sample_metadata

OpenFrontend = Callable[..., StorageFrontend]
Put = Callable[[DataKey, int], None]
KEY = sample_key()
MATCHES = (
    Match(),
    Match(fuzzy_for=("peaks",)),
    Match(fuzzy_for_options=("gain",)),
    Match(allow_incomplete=True),
    Match(fuzzy_for=("peaks",), fuzzy_for_options=("gain", "unknown"), allow_incomplete=True),
)
JUNK = (
    "README.md",
    "my-notes/file",
    "run_1-peaks-/x",
    "run_1-peaks-notes/x-metadata.json",
    "x-y-z",
)


class FrontendBase(ContractBase):
    """Fixtures and known deviations. A deviation is an attribute here, never a skipped check."""

    takes_data = True
    """Whether data can be saved through it; if not, give `put` too."""
    keeps_run_documents = True
    """Whether documents about runs can be written through it."""
    requests_for_many: int | None = None
    """How many requests `find_several` may make, for any number of keys; None: not counted."""

    @pytest.fixture
    def open_frontend(self) -> OpenFrontend:
        """A function that opens a frontend with these options, always on one fresh place."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture `open_frontend`")

    @pytest.fixture
    def frontend(self, open_frontend: OpenFrontend) -> StorageFrontend:
        """The frontend under test."""
        return open_frontend()

    @pytest.fixture
    def raw(self) -> RawAccess | None:
        """A way to the place that bypasses the frontend, if others can leave files there."""
        return None

    @pytest.fixture
    def requests(self) -> Callable[[], int] | None:
        """A function that says how many requests the frontend has made; None: nobody counts."""
        return None

    @pytest.fixture
    def put(self, open_frontend: OpenFrontend) -> Put:
        """A function that puts a sample under a key; another number gives other rows."""
        return lambda key, mark: save_through(open_frontend(), key, mark)


def save_through(frontend: StorageFrontend, key: DataKey, mark: int = 1, **options: Any) -> None:
    """Save a sample by way of a frontend."""
    saver = frontend.saver(key, sample_metadata(key), **options)
    saver.save_from(sample_chunks(key, mark=mark))


def rows_of(frontend: StorageFrontend, key: DataKey) -> bytes:
    """Return the bytes of all rows, found and loaded by way of a frontend."""
    return frontend.loader(key).read_all().tobytes()


def sample_rows_of(key: DataKey, mark: int = 1) -> bytes:
    """Return the bytes that a sample should have."""
    return bytes_of_chunks(sample_chunks(key, mark=mark))


def made_with(gain: float) -> DataKey:
    """Return a key that differs from `KEY` in one option."""
    return DataKey("run_1", "peaks", Lineage({"peaks": ("Peaks", "0.1.0", {"gain": gain})}))


def is_found(frontend: StorageFrontend, key: DataKey) -> bool:
    """Say whether data are found; by its name too, in a request for many."""
    (one,) = frontend.find_several([key])
    try:
        found = frontend.find(key)
    except DataNotAvailable:
        assert one is None
        return False
    assert one is not None
    assert where(one) == where(found)
    return True


def where(location: Location | None) -> tuple[str, str] | None:
    """Return what two answers about the same data have in common."""
    return None if location is None else (location.backend, location.backend_key)


class FindingChecks(FrontendBase):
    """`find`, `find_several`, `loader` of what is there."""

    def test_what_was_put_there_is_found_and_loaded(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend, put: Put
    ) -> None:
        assert not is_found(frontend, KEY)
        put(KEY, 1)

        for each in (frontend, open_frontend()):
            assert is_found(each, KEY)
            assert rows_of(each, KEY) == sample_rows_of(KEY)
            assert each.get_metadata(KEY).lineage == KEY.lineage
            assert each.find(KEY).backend in each.backends

    def test_other_keys_are_not_found(self, frontend: StorageFrontend, put: Put) -> None:
        put(KEY, 1)
        others = [
            *(sample_key("run_10"), sample_key("run"), sample_key("run_1", "peaks_more")),
            *(sample_key("run_1", "peak"), made_with(1.0)),
        ]

        assert [key for key in others if is_found(frontend, key)] == []
        assert is_found(frontend, KEY)

    @pytest.mark.parametrize("match", MATCHES, ids=str)
    def test_no_question_raises_but_to_say_that_there_is_nothing(
        self, frontend: StorageFrontend, put: Put, match: Match
    ) -> None:
        for wanted in (KEY, made_with(1.0)):
            with pytest.raises(DataNotAvailable):
                frontend.find(wanted, match)
            assert frontend.find_several([wanted, wanted], match) == [None, None]
            assert frontend.others(wanted) == []
        put(KEY, 1)

        assert where(frontend.find(KEY, match)) == where(frontend.find(KEY))
        answers = [frontend.find_several([KEY, made_with(1.0)], match, check=c) for c in (0, 1)]
        for exact, loose in answers:
            assert where(exact) == where(frontend.find(KEY))
            assert loose is None or match.is_fuzzy
            if loose is not None:
                assert frontend.loader_at(loose).read_all().tobytes() == sample_rows_of(KEY)

    @pytest.mark.parametrize("check", [False, True])
    def test_a_request_for_many_answers_as_one_for_each(
        self, frontend: StorageFrontend, put: Put, *, check: bool
    ) -> None:
        keys = [sample_key(f"run_{i}") for i in range(at_level(quick=30, full=300))]
        for key in keys[::3]:
            put(key, 1)
        expected = [where(frontend.find(key)) if i % 3 == 0 else None for i, key in enumerate(keys)]

        assert [where(one) for one in frontend.find_several(keys, check=check)] == expected
        assert [where(one) for one in frontend.find_several(keys[::-1], check=check)] == (
            expected[::-1]
        )
        assert frontend.find_several([]) == []

    def test_many_keys_cost_few_requests(
        self,
        frontend: StorageFrontend,
        put: Put,
        requests: Callable[[], int] | None,
    ) -> None:
        if requests is None or self.requests_for_many is None:
            return
        keys = [sample_key(f"run_{i}") for i in range(1000)]
        for key in keys[::100]:
            put(key, 1)
        before = requests()
        answers = frontend.find_several(keys)

        assert requests() - before <= self.requests_for_many
        assert [i for i, answer in enumerate(answers) if answer] == list(range(0, 1000, 100))

    @pytest.mark.parametrize("options", [{"take_only": "events"}, {"exclude": ("peaks",)}], ids=str)
    def test_data_types_that_a_place_does_not_deal_with_are_not_found(
        self, open_frontend: OpenFrontend, put: Put, options: dict[str, Any]
    ) -> None:
        put(KEY, 1)
        closed = open_frontend(**options)

        with pytest.raises(DataNotAvailable):
            closed.find(KEY)
        assert closed.find_several([KEY]) == [None]
        with pytest.raises(ReadOnlyError):
            closed.saver(made_with(1.0), sample_metadata(made_with(1.0)))
        assert is_found(open_frontend(take_only=["peaks"]), KEY)

    @pytest.mark.parametrize(
        "error", [StorageUnavailable, AccessDenied, DataCorrupted, TimeoutError]
    )
    def test_a_backend_that_raises_is_never_taken_for_one_without_data(
        self, frontend: StorageFrontend, put: Put, error: type[Exception]
    ) -> None:
        put(KEY, 1)
        broken = break_backends(frontend, list(frontend.backends), error)

        with pytest.raises(error):
            frontend.find(KEY)
        with pytest.raises(error):
            frontend.loader(KEY)
        frontend.backends.update(broken)
        assert rows_of(frontend, KEY) == sample_rows_of(KEY)

    @pytest.mark.parametrize("error", [StorageUnavailable, DataCorrupted, TimeoutError])
    def test_a_backend_that_raises_does_not_hide_a_copy_in_another(
        self, frontend: StorageFrontend, put: Put, error: type[Exception]
    ) -> None:
        put(KEY, 1)
        copies = copy_to_all(frontend)
        for bad in frontend.backends if len(copies) > 1 else ():
            whole = break_backends(frontend, [bad], error)

            assert frontend.find(KEY).backend in copies - {bad}
            assert rows_of(frontend, KEY) == sample_rows_of(KEY)
            frontend.backends.update(whole)

    def test_what_others_left_there_is_passed_over(
        self, frontend: StorageFrontend, put: Put, raw: RawAccess | None
    ) -> None:
        if raw is None:
            return
        for path in JUNK:
            raw.write(path, b"{")
        put(KEY, 1)

        assert is_found(frontend, KEY)
        assert not is_found(frontend, sample_key("run_2"))
        for match in MATCHES:
            assert where(frontend.find(KEY, match)) == where(frontend.find(KEY))
            frontend.find_several([KEY, made_with(1.0)], match)
        assert frontend.others(made_with(1.0))


def break_backends(
    frontend: StorageFrontend, names: Sequence[str], error: type[Exception]
) -> dict[str, StorageBackend]:
    """Let every call of these backends of a frontend fail; return the whole ones."""
    whole = {name: frontend.backends[name] for name in names}
    for name, backend in whole.items():
        frontend.backends[name] = FaultyBackend(backend, Fault(call=0, error=error, times=None))
    return whole


def copy_to_all(frontend: StorageFrontend) -> set[str]:
    """Put a copy wherever the frontend would look for it; return in which backends it lies."""
    found = frontend.find(KEY)
    copies = {found.backend}
    for location in frontend._find(KEY, Match()):  # noqa: SLF001 - where it looks is the question
        if location.backend not in copies:
            backend = frontend.backends[location.backend]
            backend.saver(location.backend_key, sample_metadata(KEY)).save_from(sample_chunks(KEY))
            copies.add(location.backend)
    return copies


class KeepingChecks(FrontendBase):
    """`saver` and `remove`: reserved, committed, forgotten."""

    def test_data_are_found_from_the_commit_until_they_are_removed(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend
    ) -> None:
        if not self.takes_data:
            return
        other = open_frontend()
        for mark in (1, 2):
            with frontend.saver(KEY, sample_metadata(KEY)) as saver:
                for chunk_i, chunk in enumerate(sample_chunks(KEY, mark=mark)):
                    saver.save(chunk, chunk_i)
                    assert not is_found(frontend, KEY)
                    assert not is_found(other, KEY)

            for each in (frontend, other, open_frontend()):
                assert is_found(each, KEY)
                assert rows_of(each, KEY) == sample_rows_of(KEY, mark)
            other.remove(KEY)
            for each in (frontend, other):
                assert not is_found(each, KEY)
                with pytest.raises(DataNotAvailable):
                    each.remove(KEY)

    def test_a_save_that_failed_is_not_found_and_can_be_done_again(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend
    ) -> None:
        if not self.takes_data:
            return
        for stop in (ZeroDivisionError, KeyboardInterrupt):
            with pytest.raises(stop), frontend.saver(KEY, sample_metadata(KEY)) as saver:  # noqa: PT012 - `with` is tested
                saver.save(sample_chunks(KEY)[0], 0)
                raise stop
            assert not is_found(frontend, KEY)
            assert not is_found(open_frontend(), KEY)
        save_through(frontend, KEY)

        assert rows_of(open_frontend(), KEY) == sample_rows_of(KEY)

    def test_the_first_of_two_writers_wins(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend
    ) -> None:
        if not self.takes_data:
            return
        other = open_frontend()
        savers = [each.saver(KEY, sample_metadata(KEY)) for each in (frontend, other)]
        savers[0].save_from(sample_chunks(KEY, mark=1))
        with pytest.raises(DataExistsError):
            savers[1].save_from(sample_chunks(KEY, mark=2))

        for each in (frontend, other):
            assert rows_of(each, KEY) == sample_rows_of(KEY, 1)
            with pytest.raises(DataExistsError):
                each.saver(KEY, sample_metadata(KEY))
        save_through(other, KEY, 3, overwrite="always")
        assert rows_of(frontend, KEY) == sample_rows_of(KEY, 3)

    def test_removing_touches_no_other_data(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend
    ) -> None:
        if not self.takes_data:
            return
        others = [sample_key("run_10"), sample_key("run_1", "peaks_more"), made_with(1.0)]
        for key in (KEY, *others):
            save_through(frontend, key)
        frontend.remove(KEY)

        assert [is_found(open_frontend(), key) for key in (KEY, *others)] == [False, *[True] * 3]

    def test_a_place_that_takes_nothing_refuses_before_it_writes(
        self, open_frontend: OpenFrontend, put: Put, requests: Callable[[], int] | None
    ) -> None:
        put(KEY, 1)
        readonly = open_frontend(readonly=True)
        before = requests() if requests else 0
        for refused in (
            lambda: readonly.saver(made_with(1.0), sample_metadata(made_with(1.0))),
            lambda: readonly.saver(KEY, sample_metadata(KEY), overwrite="always"),
            lambda: readonly.remove(KEY),
            lambda: readonly.write_run_metadata("run_1", {}),
        ):
            with pytest.raises(ReadOnlyError):
                refused()

        assert (requests() if requests else 0) == before
        assert rows_of(readonly, KEY) == sample_rows_of(KEY)

    def test_a_frontend_that_cannot_take_data_says_so(
        self, frontend: StorageFrontend, put: Put
    ) -> None:
        if self.takes_data:
            return
        put(KEY, 1)
        for refused in (
            lambda: frontend.saver(made_with(1.0), sample_metadata(made_with(1.0))),
            lambda: frontend.remove(KEY),
        ):
            with pytest.raises(ReadOnlyError):
                refused()

        assert is_found(frontend, KEY)
