"""Nothing outside a place is deleted over SSH, whatever links lie in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sftp_server import SftpServer
from ssh_places import backend_on

from strax_core import DataCorrupted
from strax_core.testing import clean, sample_chunks, sample_key, save_sample
from strax_ssh.backend import SshBackend

KEY = sample_key("run_1")
DEAD = "0" * 16
SERVERS = ["sftp_server", pytest.param("openssh", marks=pytest.mark.servers)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "place"
    root.mkdir()
    return root


@pytest.fixture(params=SERVERS)
def backend(request: pytest.FixtureRequest, root: Path) -> SshBackend:
    server: SftpServer = request.getfixturevalue(request.param)
    return backend_on(server, root, fsync=False)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    victim = tmp_path / "victim"
    paths = ["file", "sub/file", f"{DEAD}/data/file", f"{DEAD}/ticket.json", f"tmp-{DEAD}"]
    for path in paths:
        (victim / path).parent.mkdir(parents=True, exist_ok=True)
        (victim / path).write_text(path)
    yield victim
    assert [(victim / path).read_text() for path in paths] == paths


@pytest.mark.parametrize("name", ["link", KEY.name, f"dead-{DEAD}", f"tmp-{DEAD}"])
def test_clean_leaves_a_link_in_staging_and_says_so(
    backend: SshBackend, root: Path, victim: Path, name: str
) -> None:
    (root / ".staging").mkdir()
    (root / ".staging" / name).symlink_to(victim)
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert (told.path, told.stays) == (f".staging/{name}", True)
    assert str(victim) in told.reason
    assert (root / ".staging" / name).is_symlink()


def test_clean_does_not_look_into_a_staging_folder_that_is_a_link(
    backend: SshBackend, root: Path, victim: Path
) -> None:
    (root / ".staging").symlink_to(victim)
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert (told.path, told.stays) == (".staging", True)
    for path in (f".staging/{DEAD}", ".staging/file"):
        with pytest.raises(DataCorrupted, match="is a link"):
            backend.delete(path)
        with pytest.raises(DataCorrupted, match="is a link"):
            backend.delete_files([path])


def test_a_link_in_a_dead_writers_folder_stays(
    backend: SshBackend, root: Path, victim: Path
) -> None:
    folder = root / ".staging" / KEY.name / DEAD
    folder.mkdir(parents=True)
    (folder / "ticket.json").write_text("{}")
    (folder / "data").symlink_to(victim)
    told = clean(backend, grace_s=0, dry_run=False)

    assert [(Path(each.path).name, each.stays) for each in told] == [("data", True), (DEAD, False)]
    assert (folder / "data").is_symlink()
    assert not (folder / "ticket.json").exists()


def test_removing_a_piece_behind_a_link_removes_the_link_and_says_what_stays(
    backend: SshBackend, root: Path, tmp_path: Path
) -> None:
    expected = save_sample(backend, KEY)
    disk = tmp_path / "disk"
    (root / KEY.name).rename(disk)
    (disk / "thesis").write_text("mine")
    (root / KEY.name).symlink_to(disk)
    names = {path.name for path in disk.iterdir()}

    assert backend.get_metadata(KEY.name).write_id == expected.write_id
    with pytest.raises(DataCorrupted, match="is a link"):
        backend.delete(f"{KEY.name}/thesis")
    with pytest.warns(UserWarning, match=f"what it leads to stays: {disk}"):
        backend.remove(KEY.name)
    assert {path.name for path in root.iterdir()} <= {".staging"}
    assert {path.name for path in disk.iterdir()} == names


def test_nothing_is_written_or_renamed_through_a_link(
    backend: SshBackend, root: Path, victim: Path
) -> None:
    backend.write("folder/data/file", [b"x"])
    (root / "link").symlink_to(victim)
    (root / "folder" / "link").symlink_to(victim)
    before = {str(path) for path in victim.rglob("*")}
    for change in (
        lambda: backend.write("link/new", [b"x"]),
        lambda: backend.write("folder/link/new", [b"x"], create_only=True),
        lambda: backend.write("link/folder/new", [b"x"]),
        lambda: backend.rename("folder/data", "link/data"),
        lambda: backend.rename("folder/link", "new"),
        lambda: backend.rename("link/sub", "new"),
    ):
        with pytest.raises(DataCorrupted, match=f"is a link to {victim}"):
            change()
    (root / ".staging").rename(root / "was-staging") if (root / ".staging").exists() else None
    (root / ".staging").symlink_to(victim)
    with pytest.raises(DataCorrupted, match=f"is a link to {victim}"):
        backend.write("folder/new", [b"x"])
    with pytest.raises(DataCorrupted, match=f"is a link to {victim}"):
        list(backend.list(".staging"))
    assert {str(path) for path in victim.rglob("*")} == before


def test_a_file_that_is_a_link_out_of_its_folder_is_refused(
    backend: SshBackend, root: Path, victim: Path
) -> None:
    backend.write("folder/file", [b"12345"])
    (root / "folder" / "out").symlink_to(victim / "file")
    (root / "folder" / "sub").symlink_to(victim / "sub")
    (root / "folder" / "beside").symlink_to("file")
    (root / "out").symlink_to(victim / "file")
    n_bytes = len("file")
    for path in ("folder/out", "folder/sub/file", "out"):
        for read in (
            lambda path=path: backend.read(path),
            lambda path=path: backend.read_ranges(path, [(0, 1)]),
            lambda path=path: backend.read_ranges(path, [(0, n_bytes)], file_bytes=n_bytes),
        ):
            with pytest.raises(DataCorrupted, match=r"is a link to|has 8 bytes"):
                read()

    assert backend.read("folder/beside") == b"12345"
    assert backend.read_ranges("folder/beside", [(1, 2)], file_bytes=5) == [b"23"]


def test_data_behind_a_link_are_replaced_there_when_asked_for_by_name(
    backend: SshBackend, root: Path, tmp_path: Path
) -> None:
    save_sample(backend, KEY)
    disk = tmp_path / "disk"
    (root / KEY.name).rename(disk)
    (root / KEY.name).symlink_to(disk)
    (disk / "thesis").write_text("mine")
    before = backend.get_metadata(KEY.name).write_id
    save_sample(backend, KEY, sample_chunks(KEY, mark=2), overwrite="always")
    after = backend.get_metadata(KEY.name)

    assert (root / KEY.name).is_symlink()
    assert after.write_id != before
    backend.verify(KEY.name)
    assert {str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file()} == {
        *(info.filename for info in after.chunks if info.filename),
        next(disk.glob("*metadata.json")).name,
        "thesis",
    }
    assert {path.name for path in root.iterdir()} - {".staging"} == {KEY.name}


@pytest.mark.parametrize("overwrite", ["if_broken", "always"])
def test_nothing_is_written_behind_a_link_to_something_else(
    backend: SshBackend, root: Path, victim: Path, overwrite: str
) -> None:
    (root / KEY.name).symlink_to(victim)
    with pytest.raises(DataCorrupted, match=f"is a link to {victim}"):
        save_sample(backend, KEY, overwrite=overwrite)


def test_removing_keeps_what_is_not_ours_and_says_so(
    backend: SshBackend, root: Path, victim: Path
) -> None:
    save_sample(backend, KEY)
    (root / KEY.name / "notes.txt").write_text("mine")
    (root / KEY.name / "link").symlink_to(victim)
    with pytest.warns(UserWarning, match=r"no writer made: link, notes\.txt$"):
        backend.remove(KEY.name)

    assert {path.name for path in (root / KEY.name).iterdir()} == {"link", "notes.txt"}
