"""Nothing outside a place is deleted over SSH, whatever links lie in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sftp_server import SftpServer
from ssh_places import backend_on

from strax_core import DataCorrupted
from strax_core.testing import clean, sample_key, save_sample
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


def test_removing_keeps_what_is_not_ours_and_says_so(
    backend: SshBackend, root: Path, victim: Path
) -> None:
    save_sample(backend, KEY)
    (root / KEY.name / "notes.txt").write_text("mine")
    (root / KEY.name / "link").symlink_to(victim)
    with pytest.warns(UserWarning, match=r"no writer made: link, notes\.txt$"):
        backend.remove(KEY.name)

    assert {path.name for path in (root / KEY.name).iterdir()} == {"link", "notes.txt"}
