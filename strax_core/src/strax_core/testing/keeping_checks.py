"""The contract of keeping: reserved, committed, found, removed, forgotten."""

from collections.abc import Callable

import pytest

from strax_core.errors import DataExistsError, DataNotAvailable, ReadOnlyError
from strax_core.frontend import StorageFrontend
from strax_core.testing.frontend_base import (
    KEY,
    FrontendBase,
    OpenFrontend,
    Put,
    is_found,
    made_with,
    rows_of,
    sample_rows_of,
    save_through,
)
from strax_core.testing.samples import sample_chunks, sample_key, sample_metadata


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
            assert is_found(each, KEY)
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
            assert is_found(frontend, key)
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
