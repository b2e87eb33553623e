"""Fixtures: a folder, and a backend that reaches it through OpenSSH."""

from pathlib import Path

import pytest
from sftp_server import SftpServer
from ssh_places import backend_on

from strax_ssh.backend import SshBackend


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def direct(openssh: SftpServer, place: Path) -> SshBackend:
    return backend_on(openssh, place, fsync=False)
