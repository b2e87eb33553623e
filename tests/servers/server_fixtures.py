"""Fixtures: servers, each started once, when the first test asks for it."""

import secrets
from collections.abc import Iterator

import pytest
from ceph_server import Ceph
from raw_s3 import BUCKET, plain_client
from s3_server import S3Server, moto, rclone


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that honours the condition of a create-only write, with a bucket."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield with_bucket(server)


@pytest.fixture(scope="session", params=["http", "https"])
def rclone_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    """A server that passes over that condition, with a bucket."""
    with rclone(tmp_path_factory.mktemp("rclone"), tls=request.param == "https") as server:
        yield with_bucket(server)


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Ceph in memory."""
    yield from started(Ceph(tmp_path_factory.mktemp("ceph")))


@pytest.fixture(scope="session")
def ceph_server(ceph: Ceph) -> S3Server:
    """The gateway of Ceph, with a bucket."""
    return ceph.server


@pytest.fixture(scope="session")
def ceph_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The gateway of another Ceph, over TLS, with a bucket."""
    for ceph in started(Ceph(tmp_path_factory.mktemp("ceph-tls"), tls=True)):
        yield ceph.server


@pytest.fixture
def prefix() -> str:
    """A fresh place in a bucket."""
    return f"test/{secrets.token_hex(6)}"


def started(ceph: Ceph) -> Iterator[Ceph]:
    """Start a cluster, make the bucket, and end the cluster."""
    try:
        ceph.start()
        with_bucket(ceph.server)
        yield ceph
    finally:
        ceph.kill()  # nothing of it is needed any more


def with_bucket(server: S3Server) -> S3Server:
    """Make the bucket; return the server."""
    plain_client(server).create_bucket(Bucket=BUCKET)
    return server
