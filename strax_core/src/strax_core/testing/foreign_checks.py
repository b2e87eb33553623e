"""The contract of what no writer made: whatever is saved, replaced or removed, it stays."""

import json

import pytest

from strax_core.backend import StorageBackend, clean
from strax_core.errors import DataCorrupted, ReadOnlyError
from strax_core.format import STAGING, Staging
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import (
    KEY,
    METADATA,
    PREFIX,
    new_saver,
    sample_bytes,
    stored_bytes,
)
from strax_core.testing.faults import kill
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import sample_chunks, save_sample

DEAD = "0" * 16
"""Of a writing that nobody began."""
MINE = b"mine"


class ForeignChecks(BackendBase):
    """Things that no writer made are left where they are, and told."""

    def test_cleaning_leaves_what_no_writer_made_and_says_so(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if backend.saver_class is None:
            with pytest.raises(ReadOnlyError):
                clean(backend, grace_s=0)
            return
        dead = new_saver(backend)
        dead.save(sample_chunks(KEY)[0], 0)
        kill(dead)
        mine = [
            f"{STAGING}/notes.txt",
            f"{STAGING}/{KEY.name}/notes.txt",
            f"{dead.staging.folder}/notes.txt",
            f"{STAGING}/thesis/chapter/text",
            f"{KEY.name}/notes.txt",
        ]
        for path in mine:
            raw.write(path, b"mine")
        would = clean(backend, grace_s=0, dry_run=True)
        told = clean(backend, grace_s=0, dry_run=False)

        assert would == told
        assert {path for path in everything(raw) if raw_is_file(raw, path)} == set(mine)
        assert {each.path for each in told if each.stays} == {
            *mine[:3],
            f"{STAGING}/thesis/chapter",
        }

    def test_removing_leaves_what_no_writer_made_and_says_so(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        save_sample(backend, KEY)
        mine = [f"{KEY.name}/notes.txt", f"{KEY.name}/thesis/text"]
        for path in mine:
            raw.write(path, b"mine")
        with pytest.warns(UserWarning, match=r"no writer made: notes\.txt, thesis$"):
            backend.remove(KEY.name)

        assert everything(raw) == set(mine)

    def test_a_ticket_is_believed_only_about_its_own_data(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        metadata = save_sample(backend, KEY)
        mine = [f"{KEY.name}/notes.txt", f"{KEY.name}/{DEAD}/notes.txt", "outside"]
        for path in mine:
            raw.write(path, b"mine")
        names = b'["notes.txt", "%s/notes.txt", "../outside"]' % DEAD.encode()
        for write_id, key in ((metadata.write_id, KEY.name), (DEAD, f"../{KEY.name}")):
            folder = f"{STAGING}/{KEY.name}/{write_id}"
            raw.write(f"{folder}/ticket.json", b'{"backend_key": "%s"}' % key.encode())
            raw.write(f"{folder}/replaced.json", b'{"files": %s}' % names)
        told = clean(backend, grace_s=0, dry_run=False)

        assert set(mine) <= everything(raw)
        assert [each.path for each in told if each.stays] == [f"{STAGING}/{KEY.name}/{DEAD}"]
        assert stored_bytes(backend) == sample_bytes()

    @pytest.mark.parametrize("ends", ["commit", "abort"])
    def test_the_end_of_a_writing_takes_nothing_with_it_that_no_writer_made(
        self, backend: StorageBackend, raw: RawAccess, ends: str
    ) -> None:
        saver = new_saver(backend)
        for chunk_i, chunk in enumerate(sample_chunks(KEY)):
            saver.save(chunk, chunk_i)
        staging = saver.staging
        for path in (
            f"{staging.of_key}/failed-notes.txt",
            f"{staging.of_key}/failed-experiments/thesis",
            f"{staging.folder}/notes.txt",
            f"{staging.folder}/nothing/thesis",
            f"{staging.data}/notes.txt",
        ):
            raw.write(path, MINE)
        if ends == "commit":
            saver.commit()
            assert stored_bytes(backend) == sample_bytes()
        else:
            saver.abort()

        assert n_mine(raw) == 5

    @pytest.mark.parametrize("ends", ["replaced", "removed"])
    def test_metadata_that_name_a_file_of_others_do_not_make_it_ours(
        self, backend: StorageBackend, raw: RawAccess, ends: str
    ) -> None:
        save_sample(backend, KEY)
        document = json.loads(raw.read(METADATA))
        document["chunks"][0]["filename"] = "notes.txt"
        raw.write(METADATA, json.dumps(document).encode())
        raw.write(f"{KEY.name}/notes.txt", MINE)
        if ends == "replaced":
            save_sample(backend, KEY, overwrite="always")
            assert stored_bytes(backend) == sample_bytes()
        else:
            with pytest.warns(UserWarning, match=r"no writer made: notes\.txt$"):
                backend.remove(KEY.name)

        assert n_mine(raw) == 1

    @pytest.mark.parametrize("ends", ["replaced", "removed"])
    def test_a_folder_in_the_place_of_a_chunk_stays(
        self, backend: StorageBackend, raw: RawAccess, ends: str
    ) -> None:
        save_sample(backend, KEY)
        chunk = min(path for path in everything(raw) if f"/{PREFIX}-0" in path)
        raw.delete(chunk)
        raw.write(f"{chunk}/thesis", MINE)
        if ends == "replaced":
            save_sample(backend, KEY, overwrite="always")
            assert stored_bytes(backend) == sample_bytes()
        else:
            with pytest.warns(UserWarning, match="no writer made"):
                backend.remove(KEY.name)

        assert n_mine(raw) == 1

    def test_what_a_ticket_tells_of_damaged_data_is_not_cleaned(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        save_sample(backend, KEY)
        metadata = save_sample(backend, KEY, overwrite="always")
        _forge_ticket(raw, str(metadata.write_id))
        raw.write(METADATA, raw.read(METADATA)[:-5])
        before = everything(raw)
        told = clean(backend, grace_s=0, dry_run=False)

        assert everything(raw) == before
        assert [(each.path, each.stays) for each in told] == [
            (Staging(KEY.name, str(metadata.write_id)).folder, True)
        ]
        assert "whether it committed is not known" in told[0].reason

    def test_what_lies_beside_unreadable_metadata_is_not_cleaned(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        save_sample(backend, KEY)
        save_sample(backend, KEY, overwrite="always")
        metadata = backend.get_metadata(KEY.name)
        chunks = {f"{KEY.name}/{info.filename}" for info in metadata.chunks if info.filename}
        _forge_ticket(raw, str(metadata.write_id))
        raw.write(METADATA, raw.read(METADATA)[:-5])
        with pytest.raises(DataCorrupted):
            backend.get_metadata(KEY.name)
        save_sample(backend, KEY)  # keeps what could not be read, and the chunks beside it
        clean(backend, grace_s=0, dry_run=False)

        assert chunks <= everything(raw)
        assert stored_bytes(backend) == sample_bytes()

    @pytest.mark.parametrize("name", ["-", "p", "peaks"])
    def test_a_folder_beside_the_tickets_keeps_nobody_from_removing(
        self, backend: StorageBackend, raw: RawAccess, name: str
    ) -> None:
        save_sample(backend, KEY)
        raw.write(f"{STAGING}/{KEY.name}/{name}/thesis", MINE)
        backend.remove(KEY.name)

        assert everything(raw) == {f"{STAGING}/{KEY.name}/{name}/thesis"}

    def test_data_in_a_place_within_this_one_are_left_to_that_one(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        save_sample(backend, KEY, overwrite="always")
        metadata = backend.get_metadata(KEY.name)
        inner = {path: raw.read(path) for path in everything(raw) if path.startswith(KEY.name)}
        for path, content in inner.items():
            raw.write(f"inner/{path}", content)
        raw.write(f"inner/{STAGING}/notes.txt", MINE)
        names = [f"{PREFIX}-{chunk_i:06d}" for chunk_i in range(4)]
        names += [info.filename for info in metadata.chunks if info.filename]
        _forge_ticket(raw, DEAD, key=f"inner/{KEY.name}", files=names)
        before = everything(raw)
        told = clean(backend, grace_s=0, dry_run=False)

        assert everything(raw) == before
        assert [each.path for each in told] == [Staging(KEY.name, DEAD).folder]

    @pytest.mark.parametrize("name", [f"{kind}-{DEAD}" for kind in ("tmp", "check", "probe")])
    def test_a_scratch_folder_with_something_of_others_is_left(
        self, backend: StorageBackend, raw: RawAccess, name: str
    ) -> None:
        raw.write(f"{STAGING}/{name}/here/thesis", MINE)
        told = clean(backend, grace_s=0, dry_run=False)

        assert n_mine(raw) == 1
        assert all(each.stays for each in told)


def _forge_ticket(
    raw: RawAccess, write_id: str, *, key: str = KEY.name, files: list[str] | None = None
) -> None:
    folder = Staging(KEY.name, write_id).folder
    raw.write(f"{folder}/ticket.json", json.dumps({"backend_key": key}).encode())
    if files is not None:
        raw.write(f"{folder}/replaced.json", json.dumps({"files": files}).encode())


def n_mine(raw: RawAccess) -> int:
    """Return how many files of others there are, wherever they are now."""
    return sum(raw.read(path) == MINE for path in everything(raw) if raw_is_file(raw, path))


def raw_is_file(raw: RawAccess, path: str) -> bool:
    """Say whether something is no empty folder."""
    try:
        raw.read(path)
    except Exception:  # noqa: BLE001 - any exception says that there is no such file
        return False
    return True
