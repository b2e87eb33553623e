"""Fixtures: places behind proxies, on servers that pip installs and on Ceph."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from raw_s3 import RawS3
from s3_places import backend_on
from s3_server import S3Server

from strax_core.testing import HttpProxy, Proxy
from strax_s3.backend import S3Backend

SERVERS = ("moto_server", pytest.param("ceph_server", marks=pytest.mark.servers))


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def proxy(server: S3Server) -> Iterator[HttpProxy]:
    with HttpProxy(server.address) as proxy:
        yield proxy


@pytest.fixture
def raw(server: S3Server, prefix: str) -> RawS3:
    return RawS3(server, prefix)


@pytest.fixture
def through(server: S3Server, prefix: str, tmp_path: Path) -> Callable[..., S3Backend]:
    """A function that opens a backend behind a proxy."""

    def through(proxy: Proxy, **options: float) -> S3Backend:
        url = f"http://127.0.0.1:{proxy.port}"
        return backend_on(server, prefix, tmp_path, endpoint_url=url, **options)

    return through


@pytest.fixture
def backend(proxy: HttpProxy, through: Callable[..., S3Backend]) -> S3Backend:
    return through(proxy)
