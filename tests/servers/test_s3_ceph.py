"""The contract on a real server, over http and https, and claims that another does not keep."""

import secrets
from pathlib import Path

import numpy as np
import pytest
from raw_s3 import RawS3, plain_client
from s3_places import backend_on
from s3_server import S3Server

from strax_core import ConfigError, ObjectExists
from strax_core.testing import (
    BackendContract,
    ByteChecks,
    CleaningChecks,
    End,
    LinkFault,
    Proxy,
    RawAccess,
    Way,
    everything,
    sample_key,
    save_sample,
)
from strax_core.testing.levels import LEVEL, at_level
from strax_s3.backend import S3Backend


class OnServer:
    @pytest.fixture
    def server(self, ceph_server: S3Server) -> S3Server:
        return ceph_server

    @pytest.fixture
    def bucket(self, server: S3Server) -> str:
        """A bucket of its own: with a prefix, the longest keys would be too long."""
        name = f"test-{secrets.token_hex(6)}"
        plain_client(server).create_bucket(Bucket=name)
        return name

    @pytest.fixture
    def backend(self, server: S3Server, bucket: str, tmp_path: Path) -> S3Backend:
        return backend_on(server, "", tmp_path, bucket=bucket)

    @pytest.fixture
    def raw(self, server: S3Server, bucket: str) -> RawAccess:
        return RawS3(server, "", bucket=bucket)

    @pytest.fixture
    def secret(self, server: S3Server) -> str:
        return server.secret_key


CHECKS = BackendContract.__bases__


@pytest.mark.servers
class TestS3OnCeph(OnServer, *CHECKS[::2]):  # type: ignore[misc]
    """Half of the contract, and below the other: two processes share it."""


@pytest.mark.servers
class TestRestOfS3OnCeph(OnServer, *CHECKS[1::2]):  # type: ignore[misc]
    pass


class Bytes(ByteChecks, CleaningChecks):
    """What TLS may change: the bytes on the way, and how a server lists and deletes."""


@pytest.mark.servers
class TestS3OnCephWithTls(OnServer, at_level(quick=Bytes, full=BackendContract)):  # type: ignore[misc]
    @pytest.fixture
    def server(self, ceph_tls_server: S3Server) -> S3Server:
        return ceph_tls_server


if LEVEL == "full":  # on Ceph it runs at both levels

    @pytest.mark.servers
    class TestS3OnMoto(OnServer, BackendContract):
        @pytest.fixture
        def server(self, moto_server: S3Server) -> S3Server:
            return moto_server


@pytest.mark.servers
@pytest.mark.parametrize("end", [End.RESET, End.CLOSE, End.SILENCE])
def test_over_tls_what_breaks_off_is_continued(
    ceph_tls_server: S3Server, prefix: str, tmp_path: Path, end: End
) -> None:
    body = np.random.default_rng(1).bytes(3_000_000)
    with Proxy(ceph_tls_server.address) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        backend = backend_on(ceph_tls_server, prefix, tmp_path, endpoint_url=url, timeout_s=2.0)
        backend.write("first", [b"x"])
        proxy.fault = LinkFault(way=Way.TO_SERVER, after_bytes=1_000_000, end=end)
        backend.write("file", [body])
        assert proxy.n_hit == 1
        proxy.fault = LinkFault(way=Way.TO_CLIENT, after_bytes=1_000_000, end=end)
        assert backend.read("file") == body
        assert proxy.n_hit == 1


def test_a_server_that_passes_over_the_condition_is_refused(
    rclone_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    backend = backend_on(rclone_server, prefix, tmp_path)
    raw = RawS3(rclone_server, prefix)
    with pytest.raises(ConfigError, match="unsafe_commit = true"):
        save_sample(backend, sample_key())
    with pytest.raises(ConfigError, match="two writers"):
        backend.write("file", [b"x"])

    assert everything(raw) == set()
    (bad,) = [check for check in backend.checks(writes=True) if not check.is_good]
    assert "unsafe_commit = true" in bad.text


def test_who_takes_the_risk_writes_there_and_reads(
    rclone_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    backend = backend_on(rclone_server, prefix, tmp_path, unsafe_commit=True)
    save_sample(backend, sample_key())
    backend.verify(sample_key().name)
    raw = RawS3(rclone_server, prefix)
    assert not [path for path in everything(raw) if path.startswith(".staging")]
    data = bytes(range(256)) * 3000
    backend.write("folder/file", [data], create_only=True)

    assert backend.read("folder/file") == data
    ranges = [(700_000, 9), (5, 3), (0, 0)]
    assert backend.read_ranges("folder/file", ranges) == [data[at : at + n] for at, n in ranges]
    with pytest.raises(ObjectExists):
        backend.write("folder/file", [b"second"], create_only=True)
    assert {entry.name for entry in backend.list("folder")} == {"file"}
