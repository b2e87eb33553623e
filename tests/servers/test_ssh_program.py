"""SFTP over the program `ssh`: the contract on OpenSSH."""

from pathlib import Path

import pytest
from sftp_server import SftpServer
from ssh_places import backend_on

from strax_core.testing import (
    BackendContract,
    ByteChecks,
    DatasetChecks,
    DeathChecks,
    MachineChecks,
    RaceChecks,
    RawAccess,
    RawFolder,
    SecretChecks,
)
from strax_core.testing.levels import at_level
from strax_ssh.backend import SshBackend


class Parts(ByteChecks, RaceChecks, DatasetChecks, DeathChecks, SecretChecks, MachineChecks):
    """What a program may change: bytes, threads, processes, ends, and what it is told.

    The rest is done above the session, which is the same; with it, this takes two minutes, since a
    program logs in for each test.
    """


@pytest.mark.servers
class TestSshByTheProgram(at_level(quick=Parts, full=BackendContract)):  # type: ignore[misc]
    @pytest.fixture
    def backend(self, openssh: SftpServer, tmp_path: Path) -> SshBackend:
        return backend_on(openssh, tmp_path, command="ssh", fsync=False)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)
