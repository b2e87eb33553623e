"""The contract of links: none leads out of a place, but for one that a person put at its top."""

from collections.abc import Callable, Iterator

import pytest

from strax_core.backend import StorageBackend, clean
from strax_core.errors import DataCorrupted, StorageUnavailable
from strax_core.format import STAGING
from strax_core.testing.base import BackendBase, renames
from strax_core.testing.dataset_checks import (
    KEY,
    METADATA,
    PREFIX,
    new_saver,
    sample_bytes,
    stored_bytes,
)
from strax_core.testing.raw import RawAccess, RawLinks, everything
from strax_core.testing.samples import bytes_of_chunks, sample_chunks, save_sample

DEAD = "0" * 16
"""Of a writing that nobody began."""
OUTSIDE = (
    *("file", "sub/file", "data/file", f"{DEAD}/data/file", f"{DEAD}/ticket.json", "ticket.json"),
    *(f"failed-{DEAD}.json", f"tmp-{DEAD}", f"{KEY.name}/{DEAD}/data/file", METADATA),
)
"""Names that are deleted, or read, where they lie in a place."""
OWN_NAMES = ("link", KEY.name, *(f"{name}-{DEAD}" for name in ("tmp", "clock", "dead", "check")))


class LinkChecks(BackendBase):
    """Things outside are neither read, nor changed, nor deleted. Nothing if there are no links.

    SFTP and its like cannot keep somebody from swapping a folder for a link in between; so these
    checks put their links there before.
    """

    @pytest.fixture
    def outside(self, links: RawLinks | None) -> Iterator[RawLinks | None]:
        """The links, with files outside that are the same afterwards."""
        if links is None:
            yield None
            return
        for path in OUTSIDE:
            links.put_outside(path, path.encode())
        before = links.outside()
        yield links
        assert links.outside() == before

    @pytest.mark.parametrize("name", OWN_NAMES)
    def test_cleaning_leaves_a_link_in_staging_and_says_so(
        self, backend: StorageBackend, outside: RawLinks | None, name: str
    ) -> None:
        if outside is None:
            return
        target = outside.link(f"{STAGING}/{name}")
        would = clean(backend, grace_s=0, dry_run=True)
        told = clean(backend, grace_s=0, dry_run=False)

        assert [(each.path, each.stays) for each in told] == [(f"{STAGING}/{name}", True)]
        assert target in told[0].reason
        assert would == told
        assert outside.is_link(f"{STAGING}/{name}")

    def test_a_staging_folder_that_is_a_link_is_left_and_not_used(
        self, backend: StorageBackend, outside: RawLinks | None
    ) -> None:
        if outside is None:
            return
        outside.link(STAGING)
        told = clean(backend, grace_s=0, dry_run=False)

        assert [(each.path, each.stays) for each in told] == [(STAGING, True)]
        _refused(
            lambda: new_saver(backend),
            lambda: list(backend.list(STAGING)),
            lambda: backend.read(f"{STAGING}/file"),
            lambda: backend.delete(f"{STAGING}/{DEAD}"),
            lambda: backend.delete_files([f"{STAGING}/file"]),
        )

    @pytest.mark.parametrize("part", ["", "ticket.json", "data", "link"])
    def test_a_link_in_the_folder_of_a_dead_writer_stays(
        self, backend: StorageBackend, raw: RawAccess, outside: RawLinks | None, part: str
    ) -> None:
        if outside is None:
            return
        save_sample(backend, KEY)
        folder = f"{STAGING}/{KEY.name}/{DEAD}"
        path = f"{folder}/{part}" if part else folder
        if part not in {"", "ticket.json"}:
            raw.write(f"{folder}/ticket.json", b"{}")
        outside.link(path)
        told = clean(backend, grace_s=0, dry_run=False)

        assert any(each.stays for each in told)
        assert outside.is_link(path)
        assert stored_bytes(backend) == sample_bytes()

    def test_a_folder_at_the_top_may_be_a_link_and_is_read_and_not_changed(
        self, backend: StorageBackend, links: RawLinks | None
    ) -> None:
        if links is None:
            return
        save_sample(backend, KEY)
        links.move_outside(KEY.name)
        before = links.outside()

        assert stored_bytes(backend) == sample_bytes()
        assert KEY.name in backend.folder_names("")
        assert [e.is_folder for e in backend.list("") if e.name == KEY.name] == [True]
        backend.verify(KEY.name)
        _refused(
            lambda: backend.write(METADATA, [b"x"]),
            lambda: backend.write(f"{KEY.name}/new", [b"x"], create_only=True),
            lambda: backend.write(f"{KEY.name}/new/file", [b"x"]),
            lambda: backend.delete(METADATA),
            lambda: backend.delete_files([METADATA]),
        )
        if renames(backend):
            backend.write("other/file", [b"x"])
            _refused(lambda: backend.rename("other", f"{KEY.name}/other"))
        assert links.outside() == before

    def test_removing_data_behind_a_link_removes_the_link_and_says_what_stays(
        self, backend: StorageBackend, links: RawLinks | None
    ) -> None:
        if links is None:
            return
        save_sample(backend, KEY)
        target = links.move_outside(KEY.name)
        before = links.outside()
        with pytest.warns(UserWarning, match=f"stays: .*{target}"):
            backend.remove(KEY.name)

        assert not links.is_link(KEY.name)
        assert links.outside() == before

    def test_data_behind_a_link_are_replaced_there_only_if_always(
        self, backend: StorageBackend, links: RawLinks | None
    ) -> None:
        if links is None:
            return
        save_sample(backend, KEY)
        links.move_outside(KEY.name)
        links.put_outside(f"{KEY.name}/thesis", b"mine")
        corrected = sample_chunks(KEY, mark=2)
        before = links.outside()
        with pytest.raises(DataCorrupted, match="is a link"):
            save_sample(backend, KEY, corrected)
        assert links.outside() == before
        save_sample(backend, KEY, corrected, overwrite="always")

        assert links.is_link(KEY.name)
        assert stored_bytes(backend) == bytes_of_chunks(corrected)
        assert links.outside()[f"{KEY.name}/thesis"] == b"mine"
        assert len(links.outside()) == len(before)

    def test_nothing_is_written_behind_a_link_to_something_else(
        self, backend: StorageBackend, outside: RawLinks | None
    ) -> None:
        if outside is None:
            return
        outside.link(KEY.name, "sub")
        for overwrite in ("never", "if_broken", "always"):
            with pytest.raises(DataCorrupted, match="is a link"):
                save_sample(backend, KEY, overwrite=overwrite)

    def test_a_file_or_folder_below_that_is_a_link_is_refused(
        self, backend: StorageBackend, raw: RawAccess, outside: RawLinks | None
    ) -> None:
        if outside is None:
            return
        raw.write("folder/data/file", b"12345")
        outside.link("folder/out", "file")
        outside.link("folder/sub", "sub")
        outside.link("out", "file")
        entries = {entry.name: entry for entry in backend.list("folder")}

        assert {name for name, entry in entries.items() if entry.is_link} == {"out", "sub"}
        assert [name for name, entry in entries.items() if entry.is_folder] == ["data"]
        for path in ("folder/out", "folder/sub/file", "out"):
            _refused(
                lambda path=path: backend.read(path),  # type: ignore[misc]
                lambda path=path: backend.read_ranges(path, [(0, 1)]),  # type: ignore[misc]
                lambda path=path: backend.read_ranges(path, [(0, 4)], file_bytes=4),  # type: ignore[misc]
                lambda path=path: backend.read_into(path, memoryview(bytearray(4))),  # type: ignore[misc]
            )
        _refused(
            lambda: backend.write("folder/sub/new", [b"x"]),
            lambda: backend.delete("folder/sub/file"),
        )
        if renames(backend):
            _refused(
                lambda: backend.rename("folder/sub", "new"),
                lambda: backend.rename("folder/data", "folder/sub/new"),
            )
        backend.delete("folder")
        assert not {path for path in everything(raw) if path.startswith("folder")}

    def test_a_link_to_nothing_is_not_called_nothing(
        self, backend: StorageBackend, outside: RawLinks | None
    ) -> None:
        if outside is None:
            return
        outside.link(KEY.name, "unmounted")
        with pytest.raises(StorageUnavailable):
            backend.get_metadata(KEY.name)

    def test_data_are_removed_but_for_a_link_that_is_called_like_a_chunk(
        self, backend: StorageBackend, outside: RawLinks | None
    ) -> None:
        if outside is None:
            return
        save_sample(backend, KEY)
        name = f"{PREFIX}-000009"
        outside.link(f"{KEY.name}/{name}", "file")
        with pytest.warns(UserWarning, match=f"no writer made: {name}$"):
            backend.remove(KEY.name)

        assert outside.is_link(f"{KEY.name}/{name}")
        assert [entry.name for entry in backend.list(KEY.name)] == [name]


def _refused(*changes: Callable[[], object]) -> None:
    """See that each is refused because of a link."""
    for change in changes:
        with pytest.raises(DataCorrupted, match="is a link"):
            change()
