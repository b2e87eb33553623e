from collections.abc import Callable
from pathlib import Path

import pytest
from sftp_server import SftpServer
from ssh_places import backend_on

from strax_core.testing import (
    BackendContract,
    DistributionContract,
    FaultyBackend,
    FrontendContract,
    RawAccess,
    RawFolder,
)
from strax_ssh.backend import SshBackend
from strax_ssh.frontend import SshFrontend


class TestSshOnAsyncssh(BackendContract):
    @pytest.fixture
    def backend(self, sftp_server: SftpServer, tmp_path: Path) -> SshBackend:
        return backend_on(sftp_server, tmp_path, fsync=False)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)


class TestSshFrontend(FrontendContract):
    requests_for_many = 2

    @pytest.fixture
    def watched(self, sftp_server: SftpServer, tmp_path: Path) -> FaultyBackend:
        return FaultyBackend(backend_on(sftp_server, tmp_path, fsync=False))

    @pytest.fixture
    def open_frontend(self, watched: FaultyBackend) -> Callable[..., SshFrontend]:
        return lambda **options: SshFrontend(watched, **options)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)

    @pytest.fixture
    def requests(self, watched: FaultyBackend) -> Callable[[], int]:
        return lambda: len(watched.calls)


class TestDistribution(DistributionContract):
    distribution = "strax-ssh"
    heavy = ("paramiko",)


@pytest.mark.servers
class TestSshOnOpenSsh(BackendContract):
    @pytest.fixture
    def backend(self, openssh: SftpServer, tmp_path: Path) -> SshBackend:
        return backend_on(openssh, tmp_path, fsync=False)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)
