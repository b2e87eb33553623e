"""The contract under faults: whatever call of a save fails, the result is whole or absent."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from strax_core.backend import StorageBackend, clean
from strax_core.errors import (
    AccessDenied,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import (
    KEY,
    METADATA,
    named_paths,
    sample_bytes,
    stored_bytes,
    whole_bytes,
)
from strax_core.testing.faults import Call, Fault, FaultyBackend, Moment
from strax_core.testing.levels import at_level
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import sample_chunks, save_sample

PATIENT_S = 5.0
"""Longer than any single lost answer takes to settle."""
FAULTS = (
    (Moment.BEFORE, StorageUnavailable),
    (Moment.BEFORE, StorageFull),
    (Moment.AFTER, StorageUnavailable),
)


def watched_save(backend: StorageBackend, *, replacing: bool = False) -> list[Call]:
    """Save the sample without faults and return the calls; leave the place as it was."""
    watched = FaultyBackend(backend)
    save_sample(watched, KEY, overwrite="always" if replacing else "if_broken")
    if not replacing:
        backend.remove(KEY.name)
    return watched.calls


def watched_load(backend: StorageBackend) -> list[Call]:
    """Load the sample without faults and return the calls."""
    watched = FaultyBackend(backend)
    assert stored_bytes(watched) == sample_bytes()
    return watched.calls


def committing_call(calls: list[Call]) -> int:
    """Return the call that makes data visible: the last to put something at the final name."""
    final = (KEY.name, METADATA)
    return max(i for i, call in enumerate(calls) if _writes(call) and call.path in final)


def is_chunk_write(call: Call) -> bool:
    """Say whether a call writes a chunk's file."""
    return call.verb == "write" and "/peaks-" in call.path and "metadata" not in call.path


def _writes(call: Call) -> bool:
    return call.verb in {"write", "rename"}


def failing_saves(
    backend: StorageBackend, moment: Moment, error: type[StorageError], overwrite: str
) -> Iterator[StorageError | None]:
    """Save once for each call of a save, with a fault in that call; yield what it ended with."""
    call = 0
    while True:
        fault = Fault(call=call, moment=moment, error=error)
        faulty = FaultyBackend(backend, fault, settle_time_s=PATIENT_S)
        outcome: StorageError | None = None
        try:
            save_sample(faulty, KEY, sample_chunks(KEY, mark=2), overwrite=overwrite)
        except StorageError as failure:
            outcome = failure
        if not faulty.has_failed:
            return
        yield outcome
        call += 1


class FaultChecks(BackendBase):
    """Each call of a save fails once; answers get lost, for a while or for good."""

    @pytest.mark.parametrize(("moment", "error"), FAULTS)
    def test_whichever_call_fails_the_data_are_whole_or_absent(
        self,
        backend: StorageBackend,
        raw: RawAccess,
        moment: Moment,
        error: type[StorageError],
    ) -> None:
        n_failed = 0
        for outcome in failing_saves(backend, moment, error, "if_broken"):
            whole = whole_bytes(backend)
            if outcome is None:
                assert whole == sample_bytes(mark=2)
            else:
                assert isinstance(outcome, error)
                assert whole in {None, sample_bytes(mark=2)}
                n_failed += 1
            if whole is None:
                save_sample(backend, KEY)
                assert stored_bytes(backend) == sample_bytes(mark=1)
            else:
                with pytest.raises(DataExistsError):
                    save_sample(backend, KEY)
            backend.remove(KEY.name)
            clean(backend, grace_s=0, dry_run=False)
            assert everything(raw) == set()

        assert n_failed >= 3  # the ticket and the two chunks, at least

    @pytest.mark.parametrize(("moment", "error"), at_level(quick=FAULTS[::2], full=FAULTS))
    def test_whichever_call_of_a_replacement_fails_old_or_new_data_are_there(
        self,
        backend: StorageBackend,
        raw: RawAccess,
        moment: Moment,
        error: type[StorageError],
    ) -> None:
        save_sample(backend, KEY)
        for outcome in failing_saves(backend, moment, error, "always"):
            if outcome is None:
                assert stored_bytes(backend) == sample_bytes(mark=2)
            else:
                assert isinstance(outcome, error)
                assert whole_bytes(backend) in {sample_bytes(mark=1), sample_bytes(mark=2)}
            clean(backend, grace_s=0, dry_run=False)
            assert everything(raw) == named_paths(raw)
            save_sample(backend, KEY, overwrite="always")
            assert stored_bytes(backend) == sample_bytes(mark=1)
        backend.remove(KEY.name)
        clean(backend, grace_s=0, dry_run=False)

        assert everything(raw) == set()

    def test_a_lost_answer_to_the_commit_is_success(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        commit = committing_call(watched_save(backend))
        for times in (1, 2, 4):
            fault = Fault(call=commit, moment=Moment.AFTER, times=times)
            faulty = FaultyBackend(backend, fault, settle_time_s=PATIENT_S)
            save_sample(faulty, KEY)

            assert faulty.has_failed
            assert stored_bytes(backend) == sample_bytes()
            backend.remove(KEY.name)
            assert everything(raw) == set()

    def test_a_commit_that_never_arrived_is_repeated(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        commit = committing_call(watched_save(backend))
        faulty = FaultyBackend(backend, Fault(call=commit, times=3), settle_time_s=PATIENT_S)
        save_sample(faulty, KEY)

        assert faulty.has_failed
        assert stored_bytes(backend) == sample_bytes()
        backend.remove(KEY.name)
        assert everything(raw) == set()

    def test_a_lost_answer_does_not_turn_a_loser_into_a_winner(
        self, backend: StorageBackend
    ) -> None:
        commit = committing_call(watched_save(backend))
        save_sample(backend, KEY)
        faulty = FaultyBackend(backend, Fault(call=commit, moment=Moment.AFTER, times=2))
        with pytest.raises(DataExistsError):
            save_sample(faulty, KEY, sample_chunks(KEY, mark=2))

        assert faulty.has_failed
        assert stored_bytes(backend) == sample_bytes(mark=1)

    @pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
    def test_an_answer_lost_for_good_is_called_unknown_and_nothing_is_discarded(
        self, backend: StorageBackend, raw: RawAccess, moment: Moment
    ) -> None:
        commit = committing_call(watched_save(backend))
        fault = Fault(call=commit, moment=moment, times=None)
        with pytest.raises(StorageUnavailable, match="unknown"):
            save_sample(FaultyBackend(backend, fault, settle_time_s=0.01), KEY)
        left = everything(raw)

        assert len([path for path in left if path.rpartition("/")[2].startswith("peaks-")]) >= 2
        if moment is Moment.AFTER:
            assert whole_bytes(backend) == sample_bytes()
        clean(backend, grace_s=0, dry_run=False)
        if moment is Moment.AFTER:
            assert stored_bytes(backend) == sample_bytes()
        else:
            assert everything(raw) == set()
            save_sample(backend, KEY)

    def test_a_chunk_written_short_is_found_before_the_commit(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        calls = watched_save(backend)
        short = [i for i, call in enumerate(calls) if is_chunk_write(call)]
        for call in short:
            faulty = FaultyBackend(backend, Fault(call=call, moment=Moment.SHORT))
            with pytest.raises(DataCorrupted, match="chunk"):
                save_sample(faulty, KEY)
            with pytest.raises(DataNotAvailable):
                backend.get_metadata(KEY.name)
        clean(backend, grace_s=0, dry_run=False)

        assert len(short) == 2
        assert everything(raw) == set()

    def test_a_chunk_written_in_part_is_discarded_with_the_rest(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        calls = watched_save(backend)
        for call in [i for i, each in enumerate(calls) if is_chunk_write(each)]:
            fault = Fault(call=call, moment=Moment.TORN, error=StorageFull)
            with pytest.raises(StorageFull):
                save_sample(FaultyBackend(backend, fault), KEY)
            with pytest.raises(DataNotAvailable):
                backend.get_metadata(KEY.name)
            clean(backend, grace_s=0, dry_run=False)
            assert everything(raw) == set()

    @pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
    def test_whichever_call_of_a_removal_fails_it_can_be_done_again(
        self, backend: StorageBackend, raw: RawAccess, moment: Moment
    ) -> None:
        save_sample(backend, KEY)
        watched = FaultyBackend(backend)
        watched.remove(KEY.name)
        for call in range(len(watched.calls)):
            save_sample(backend, KEY)
            with pytest.raises(StorageUnavailable):
                FaultyBackend(backend, Fault(call=call, moment=moment)).remove(KEY.name)
            assert whole_bytes(backend) in {None, sample_bytes()}
            backend.remove(KEY.name)
            assert everything(raw) == set()

        assert len(watched.calls) >= 3  # the metadata, and two chunks, at least

    @pytest.mark.parametrize("error", [StorageUnavailable, AccessDenied])
    def test_whichever_call_of_a_load_fails_the_error_is_typed(
        self, backend: StorageBackend, error: type[StorageError]
    ) -> None:
        save_sample(backend, KEY)
        n_calls = len(watched_load(backend))
        for call in range(n_calls):
            faulty = FaultyBackend(backend, Fault(call=call, error=error))
            with pytest.raises(error):
                stored_bytes(faulty)

        assert n_calls >= 3  # metadata, and two chunks that have rows

    @pytest.mark.parametrize("times", [1, None])
    def test_a_short_read_is_healed_or_found_out(
        self, backend: StorageBackend, times: int | None
    ) -> None:
        save_sample(backend, KEY)
        for call in range(len(watched_load(backend))):
            faulty = FaultyBackend(backend, Fault(call=call, moment=Moment.SHORT, times=times))
            loaded: bytes | None = None
            with suppress(DataCorrupted):
                loaded = stored_bytes(faulty)

            assert faulty.has_failed
            assert loaded in ({None} if times is None else {None, sample_bytes()})
