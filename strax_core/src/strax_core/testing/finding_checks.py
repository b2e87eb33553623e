"""The contract of finding: what is there is found by everyone, and nothing else."""

import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import (
    AccessDenied,
    DataCorrupted,
    DataNotAvailable,
    ReadOnlyError,
    StorageUnavailable,
)
from strax_core.frontend import Match, StorageFrontend
from strax_core.testing.faults import Fault, FaultyBackend
from strax_core.testing.frontend_base import (
    KEY,
    FrontendBase,
    OpenFrontend,
    Put,
    is_found,
    made_with,
    rows_of,
    sample_rows_of,
    where,
)
from strax_core.testing.levels import at_level
from strax_core.testing.raw import RawAccess
from strax_core.testing.samples import sample_chunks, sample_key, sample_metadata
from strax_core.testing.secret_checks import holds

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

        assert is_found(frontend, KEY)
        assert where(frontend.find(KEY, match)) == where(frontend.find(KEY))
        answers = [
            frontend.find_several([KEY, made_with(1.0)], match, check=c) for c in (False, True)
        ]
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

    def test_nothing_that_shows_a_frontend_or_tells_of_it_holds_its_secret(
        self,
        frontend: StorageFrontend,
        put: Put,
        caplog: pytest.LogCaptureFixture,
        secret: str | None,
    ) -> None:
        told = [repr(frontend), str(frontend), frontend.name, repr(vars(frontend))]
        with caplog.at_level(logging.DEBUG):
            put(KEY, 1)
            for key in (made_with(1.0), sample_key("run_2")):
                with pytest.raises(DataNotAvailable) as caught:
                    frontend.find(key)
                told.append("".join(traceback.format_exception(caught.value)))

        assert frontend.name
        assert not [text for text in (*told, caplog.text) if holds(text, secret)]


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
