"""Nothing outside a place is touched, whatever links lie in it; the victims are scratch folders."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from strax_core import (
    DataCorrupted,
    DataNotAvailable,
    RunMetadataNotAvailable,
    StorageBackend,
    StorageError,
    StorageUnavailable,
)
from strax_core.testing import (
    clean,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_local.backend import LocalBackend
from strax_local.frontend import LocalFrontend
from strax_local.options import LocalOptions

KEY = sample_key("run_1")
DEAD = "0" * 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "place"
    root.mkdir()
    return root


@pytest.fixture
def backend(root: Path) -> LocalBackend:
    return LocalBackend(LocalOptions(path=str(root), fsync=False))


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder with all names that we delete somewhere, which must stay as it is."""
    victim = tmp_path / "victim"
    for path in (
        *("file", "sub/file", "data/file", f"{DEAD}/data/file", f"{DEAD}/ticket.json"),
        *("ticket.json", f"failed-{DEAD}.json", f"tmp-{DEAD}", f"{KEY.name}/file"),
    ):
        (victim / path).parent.mkdir(parents=True, exist_ok=True)
        (victim / path).write_text(path)
    before = contents(victim)
    yield victim
    assert contents(victim) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def die(backend: StorageBackend) -> Path:
    """Leave what a writer leaves that is killed; return its folder."""
    saver = backend.saver(KEY.name, sample_metadata(KEY), overwrite="always")
    saver.save(sample_chunks(KEY)[0], 0)
    folder = Path(backend.place) / saver.staging.folder
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    saver.abort()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.rename(folder)
    return folder


def replace_by_link(path: Path, target: Path) -> None:
    if path.exists():
        path.rename(path.with_name(f"was-{path.name}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("target", ["victim", "../../victim", "missing", "link"])
def test_clean_leaves_a_link_in_staging_and_says_so(
    backend: LocalBackend, root: Path, victim: Path, target: str
) -> None:
    where = str(victim) if target == "victim" else target
    (root / ".staging").mkdir()
    (root / ".staging" / "link").symlink_to(where)
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert (told.path, told.stays) == (".staging/link", True)
    assert where in told.reason
    assert (root / ".staging" / "link").is_symlink()


@pytest.mark.parametrize(
    "name", [f"tmp-{DEAD}", f"dead-{DEAD}", f"check-{DEAD}", f"clock-{DEAD}", KEY.name]
)
def test_the_name_of_a_link_does_not_matter(
    backend: LocalBackend, root: Path, victim: Path, name: str
) -> None:
    (root / ".staging").mkdir()
    (root / ".staging" / name).symlink_to(victim)
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert told.stays
    assert (root / ".staging" / name).is_symlink()


def test_clean_does_not_look_into_a_staging_folder_that_is_a_link(
    backend: LocalBackend, root: Path, victim: Path
) -> None:
    (root / ".staging").symlink_to(victim)
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert (told.path, told.stays) == (".staging", True)
    for make in (
        lambda: backend.saver(KEY.name, sample_metadata(KEY)),
        lambda: backend.delete(f".staging/{DEAD}"),
        lambda: backend.rename(f".staging/{DEAD}/data", KEY.name),
        lambda: list(backend.list(".staging")),
        lambda: backend.read(".staging/ticket.json"),
    ):
        with pytest.raises(DataCorrupted, match="is a link to"):
            make()


@pytest.mark.parametrize("part", ["", "ticket.json", "data", "data/file", "link"])
def test_a_link_in_a_dead_writers_folder_stays(
    backend: LocalBackend, victim: Path, part: str
) -> None:
    save_sample(backend, KEY)
    folder = die(backend)
    replace_by_link(folder / part if part else folder, victim)
    told = clean(backend, grace_s=0, dry_run=False)

    link = folder / part if part else folder
    assert link.is_symlink()
    assert any(each.stays for each in told)
    assert backend.get_metadata(KEY.name).is_complete


def test_what_no_writer_made_stays_beside_what_goes(backend: LocalBackend, root: Path) -> None:
    folder = die(backend)
    kept = [
        root / ".staging" / "notes.txt",
        folder.parent / "notes.txt",
        folder / "notes.txt",
        folder / "data" / "notes.txt",
        root / ".staging" / "thesis" / "chapter" / "text",
    ]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    would = clean(backend, grace_s=0, dry_run=True)
    told = clean(backend, grace_s=0, dry_run=False)

    assert would == told
    assert [each for each in kept if not each.exists()] == []
    assert {path for path in (root / ".staging").rglob("*") if path.is_file()} == set(kept)
    stays = {each.path for each in told if each.stays}
    assert stays == {
        *(str(path.relative_to(root)) for path in kept[:4]),
        ".staging/thesis/chapter",
    }


def test_a_writer_that_died_before_its_first_chunk_leaves_nothing(
    backend: LocalBackend, root: Path
) -> None:
    (root / ".staging" / KEY.name / DEAD / "data").mkdir(parents=True)

    assert clean(backend, grace_s=0, dry_run=False)
    assert [path for path in root.rglob("*") if path.name != ".staging"] == []


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize("bad", ["x/../../victim", "/victim", "..", f"../{KEY.name}", "", 7, None])
def test_a_ticket_that_points_out_of_the_place_is_left(backend: LocalBackend, bad: object) -> None:
    folder = die(backend)
    (folder / "ticket.json").write_text(json.dumps({"backend_key": bad}))
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert told.stays
    assert (folder / "data").is_dir()


def test_a_piece_that_was_moved_to_another_disk_is_read_through_its_link(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    expected = save_sample(backend, KEY)
    disk = tmp_path / "disk"
    (root / KEY.name).rename(disk)
    (root / KEY.name).symlink_to(disk)

    assert backend.get_metadata(KEY.name).write_id == expected.write_id
    assert sum(chunk.n for chunk in backend.loader(KEY.name)) == sum(
        info.n for info in expected.chunks
    )
    backend.verify(KEY.name)
    assert KEY.name in backend.folder_names("")
    before = contents(disk)
    for change in (
        lambda: backend.delete(f"{KEY.name}/file"),
        lambda: backend.write(f"{KEY.name}/file", [b"x"]),
        lambda: backend.write(f"{KEY.name}/new/file", [b"x"]),
    ):
        with pytest.raises(DataCorrupted, match="is a link to"):
            change()
    assert contents(disk) == before


def test_removing_a_piece_behind_a_link_removes_the_link_and_says_what_stays(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    save_sample(backend, KEY)
    disk = tmp_path / "disk"
    (root / KEY.name).rename(disk)
    (disk / "thesis").write_text("mine")
    (root / KEY.name).symlink_to(disk)
    before = contents(disk)
    with pytest.warns(UserWarning, match=f"what it leads to stays: {disk}"):
        backend.remove(KEY.name)

    assert not os.path.lexists(root / KEY.name)
    assert contents(disk) == before


def test_removing_keeps_what_is_not_ours_and_says_so(
    backend: LocalBackend, root: Path, victim: Path
) -> None:
    save_sample(backend, KEY)
    folder = root / KEY.name
    (folder / "notes.txt").write_text("mine")
    (folder / "link").symlink_to(victim)
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("mine")
    with pytest.warns(UserWarning, match=r"no writer made: link, notes\.txt, sub$"):
        backend.remove(KEY.name)

    assert {path.name for path in folder.iterdir()} == {"link", "notes.txt", "sub"}
    with pytest.raises(DataNotAvailable):
        backend.get_metadata(KEY.name)


def test_data_behind_a_link_are_replaced_there_when_asked_for_by_name(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    save_sample(backend, KEY)
    disk = tmp_path / "disk"
    (root / KEY.name).rename(disk)
    (root / KEY.name).symlink_to(disk)
    (disk / "thesis").write_text("mine")
    expected = save_sample(backend, KEY, sample_chunks(KEY, mark=2), overwrite="always")

    assert (root / KEY.name).is_symlink()
    assert backend.get_metadata(KEY.name).write_id == expected.write_id
    backend.verify(KEY.name)
    chunks = backend.get_metadata(KEY.name).chunks
    named = {info.filename for info in chunks if info.filename}
    assert contents(disk).keys() - {"thesis"} > named
    assert (disk / "thesis").read_text() == "mine"


@pytest.mark.parametrize("overwrite", ["if_broken", "always"])
def test_nothing_is_written_behind_a_link_to_something_else(
    backend: LocalBackend, root: Path, victim: Path, overwrite: str
) -> None:
    (root / KEY.name).symlink_to(victim)
    with pytest.raises(DataCorrupted, match=f"is a link to {victim}"):
        save_sample(backend, KEY, overwrite=overwrite)


def test_a_chunk_or_metadata_file_that_is_a_link_is_refused(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    metadata = save_sample(backend, KEY)
    named = next(info.filename for info in metadata.chunks if info.filename)
    moved = tmp_path / "moved"
    (root / KEY.name / named).rename(moved)
    (root / KEY.name / named).symlink_to(moved)
    with pytest.raises(DataCorrupted, match="is a link to"):
        list(backend.loader(KEY.name))
    document = next((root / KEY.name).glob("*metadata.json"))
    document.rename(tmp_path / "document")
    document.symlink_to(tmp_path / "document")
    with pytest.raises(DataCorrupted, match="is a link to"):
        backend.get_metadata(KEY.name)


def test_a_run_document_that_is_a_link_is_refused_and_the_others_are_read(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    frontend = LocalFrontend(backend)
    for run_id in ("run_1", "run_2"):
        frontend.write_run_metadata(run_id, {"mode": run_id})
    (root / "run_1-metadata.json").rename(tmp_path / "document")
    (root / "run_1-metadata.json").symlink_to(tmp_path / "document")

    with pytest.raises(DataCorrupted, match="is a link to"):
        frontend.run_metadata("run_1")
    assert [each["name"] for each in frontend.scan_runs()] == ["run_2"]
    with pytest.raises(RunMetadataNotAvailable):
        frontend.run_metadata("run_3")


def test_a_link_to_a_disk_that_is_gone_is_not_called_nothing(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    (root / KEY.name).symlink_to(tmp_path / "unmounted")
    with pytest.raises(StorageUnavailable, match="which is not there: is it mounted"):
        backend.get_metadata(KEY.name)


N_SWAPS = int(os.environ.get("STRAX_LINK_SWAPS", "300"))


@pytest.mark.parametrize("what", ["staging", "key", "ticket", "data", "piece"])
def test_a_link_that_comes_and_goes_leads_nobody_out(
    backend: LocalBackend, root: Path, victim: Path, what: str
) -> None:
    """A folder is swapped for a link while what deletes is at work."""
    save_sample(backend, KEY)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            for action in (
                lambda: die(backend),
                lambda: clean(backend, grace_s=0, dry_run=False),
                lambda: save_sample(backend, KEY, overwrite="always"),
                lambda: backend.remove(KEY.name),
            ):
                with suppress(StorageError, OSError, UserWarning):
                    action()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(N_SWAPS):
            _swap(root, victim, what)
    finally:
        done.set()
        worker.join()


def _swap(root: Path, victim: Path, what: str) -> None:
    """Put a link in the place of a folder for a moment, if the folder is there."""
    staging = root / ".staging"
    of_key = staging / KEY.name
    with suppress(OSError, StopIteration):
        tickets = (path for path in of_key.iterdir() if path.is_dir())
        folder = {
            "staging": lambda: staging,
            "key": lambda: of_key,
            "ticket": lambda: next(tickets),
            "data": lambda: next(tickets) / "data",
            "piece": lambda: root / KEY.name,
        }[what]()
        aside = root / "aside"
        folder.rename(aside)
        try:
            folder.symlink_to(victim)
        finally:
            with suppress(OSError):
                folder.unlink()
            with suppress(OSError):
                aside.rename(folder)
            shutil.rmtree(aside, ignore_errors=True)
