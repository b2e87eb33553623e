"""The contract of `clean`: it removes what dead writers left, all of it and nothing else."""

import pytest

from strax_core.backend import StorageBackend, clean
from strax_core.errors import DataNotAvailable
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import (
    KEY,
    named_paths,
    new_saver,
    sample_bytes,
    stored_bytes,
)
from strax_core.testing.faults import kill
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import sample_chunks, sample_key, sample_metadata, save_sample


def snapshot(raw: RawAccess) -> dict[str, bytes]:
    """Return all that lies there."""
    return {path: raw.read(path) for path in everything(raw)}


class CleaningChecks(BackendBase):
    """`strax_core.backend.clean.clean` on this backend."""

    def test_cleaning_an_empty_place_leaves_it_empty(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        assert clean(backend, grace_s=0, dry_run=False) == []
        assert everything(raw) == set()

    def test_a_dead_writer_leaves_nothing_after_cleaning(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        save_sample(backend, sample_key("run_2"))
        before = snapshot(raw)
        dead = new_saver(backend)
        for chunk_i, chunk in enumerate(sample_chunks(KEY)):
            dead.save(chunk, chunk_i)
        kill(dead)

        assert set(snapshot(raw)) > set(before)
        assert clean(backend, grace_s=0, dry_run=False)
        assert snapshot(raw) == before

    def test_a_writer_that_died_beside_committed_data_takes_nothing_along(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        dead = new_saver(backend)
        dead.save(sample_chunks(KEY, mark=2)[0], 0)
        kill(dead)
        save_sample(backend, KEY)
        replacing = new_saver(backend, overwrite="always")
        replacing.save(sample_chunks(KEY, mark=3)[0], 0)
        kill(replacing)
        clean(backend, grace_s=0, dry_run=False)

        assert everything(raw) == named_paths(raw)
        assert stored_bytes(backend) == sample_bytes()

    def test_a_writer_at_work_is_left_alone(self, backend: StorageBackend) -> None:
        with new_saver(backend) as saver:
            for chunk_i, chunk in enumerate(sample_chunks(KEY)):
                saver.save(chunk, chunk_i)
                assert clean(backend, grace_s=3600, dry_run=False) == []

        assert stored_bytes(backend) == sample_bytes()

    def test_the_ticket_of_a_writer_that_committed_is_removed_alone(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        metadata = save_sample(backend, KEY)
        raw.write(f".staging/{KEY.name}/{metadata.write_id}/ticket.json", b"{}")
        clean(backend, grace_s=0, dry_run=False)

        assert everything(raw) == named_paths(raw)
        assert stored_bytes(backend) == sample_bytes()

    def test_a_dry_run_tells_and_removes_nothing(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        dead = new_saver(backend)
        dead.save(sample_chunks(KEY)[0], 0)
        kill(dead)
        before = snapshot(raw)
        told = clean(backend, grace_s=0, dry_run=True)

        assert snapshot(raw) == before
        assert told == clean(backend, grace_s=0, dry_run=False)
        assert all(any(path.startswith(left.path) for path in before) for left in told)

    def test_notes_of_failed_saves_are_cleaned_up(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        with pytest.raises(ZeroDivisionError), new_saver(backend):
            raise ZeroDivisionError
        assert clean(backend, grace_s=3600, dry_run=False) == []
        assert everything(raw)
        clean(backend, grace_s=0, dry_run=False)

        assert everything(raw) == set()

    def test_a_writer_whose_files_were_cleaned_up_cannot_commit(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        saver = backend.saver(KEY.name, sample_metadata(KEY))
        saver.save(sample_chunks(KEY)[0], 0)
        clean(backend, grace_s=-3600, dry_run=False)  # in an hour: however late it last beat
        with pytest.raises(Exception, match="chunk 0"), saver:
            pass
        clean(backend, grace_s=-3600, dry_run=False)

        with pytest.raises(DataNotAvailable):
            backend.get_metadata(KEY.name)
        assert everything(raw) == set()
