"""Fixtures: SFTP servers, each started once, when the first test asks for it."""

from collections.abc import Iterator

import pytest
from sftp_server import SftpServer, asyncssh_server
from sshd import Sshd, sshd


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """Asyncssh's server, which pip installs."""
    with asyncssh_server(tmp_path_factory.mktemp("asyncssh")) as server:
        yield server


@pytest.fixture(scope="session")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """OpenSSH's sshd, with as many connections as tests may open at once."""
    with sshd(tmp_path_factory.mktemp("sshd"), ["MaxStartups 200:30:400"]) as running:
        yield running.server


@pytest.fixture
def own_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd of this test's own, to kill and to start again; with the limits it has by default."""
    with sshd(tmp_path_factory.mktemp("own-sshd")) as running:
        yield running
