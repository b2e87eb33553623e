"""Nothing outside a place is deleted over SSH, whatever links lie in it."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sftp_server import SftpServer
from ssh_places import backend_on

from strax_core import DataCorrupted
from strax_core.testing import sample_key
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


@pytest.mark.servers
def test_a_pipe_is_refused_at_once_and_what_is_read_beside_it_comes(
    openssh: SftpServer, root: Path
) -> None:
    # Only OpenSSH: asyncssh's server itself waits for who writes into the pipe, and does no more.
    backend = backend_on(openssh, root, fsync=False)
    n_files = 8
    for i in range(n_files):
        backend.write(f"folder/{i}", [b"12345"])
    os.mkfifo(root / "folder" / "pipe")
    (root / "folder" / "beside").symlink_to("pipe")

    def read(path: str) -> list[bytes] | str:
        try:
            return backend.read_ranges(path, [(0, 5)], file_bytes=5)
        except DataCorrupted as error:
            return str(error)

    for path in ("folder/pipe", "folder/beside"):
        assert "is a pipe" in str(read(path)) or "is a link to pipe" in str(read(path))
        with pytest.raises(DataCorrupted, match=r"is a pipe|is a link to pipe"):
            backend.read(path)
    paths = [*(f"folder/{i}" for i in range(n_files)), "folder/pipe"]
    with ThreadPoolExecutor(len(paths)) as pool:
        *good, bad = pool.map(read, paths)

    assert good == [[b"12345"]] * n_files
    assert "is a pipe" in bad


def test_a_folder_that_came_in_the_place_of_a_file_stays(backend: SshBackend, root: Path) -> None:
    backend.write("folder/other", [b"x"])
    for path in ("folder/first/thesis", "folder/second/thesis"):
        backend.write(path, [b"mine"])
    backend.delete_files(["folder/first", "folder/other", "folder/second", "folder/missing"])
    backend.drop_empty("folder/first")

    assert sorted(path.name for path in (root / "folder").rglob("*") if path.is_file()) == [
        "thesis",
        "thesis",
    ]
    assert not (root / "folder" / "other").exists()
