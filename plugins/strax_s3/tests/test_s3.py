from collections.abc import Callable
from pathlib import Path

import pytest
from raw_s3 import RawS3
from s3_places import backend_on
from s3_server import S3Server

from strax_core import DirectoryFrontend
from strax_core.testing import (
    ByteChecks,
    CleaningChecks,
    DistributionContract,
    FaultyBackend,
    FrontendContract,
    RawAccess,
)
from strax_s3.backend import S3Backend


class TestS3OnMoto(ByteChecks, CleaningChecks):
    """What needs few requests; `nox -s servers` runs the whole contract, which takes minutes."""

    @pytest.fixture
    def backend(self, moto_server: S3Server, prefix: str, tmp_path: Path) -> S3Backend:
        return backend_on(moto_server, prefix, tmp_path)

    @pytest.fixture
    def raw(self, moto_server: S3Server, prefix: str) -> RawAccess:
        return RawS3(moto_server, prefix)

    @pytest.fixture
    def secret(self, moto_server: S3Server) -> str:
        return moto_server.secret_key


@pytest.mark.servers
class TestS3Frontend(FrontendContract):
    requests_for_many = 2

    @pytest.fixture
    def watched(self, moto_server: S3Server, prefix: str, tmp_path: Path) -> FaultyBackend:
        return FaultyBackend(backend_on(moto_server, prefix, tmp_path))

    @pytest.fixture
    def open_frontend(self, watched: FaultyBackend) -> Callable[..., DirectoryFrontend]:
        return lambda **options: DirectoryFrontend(watched, **options)

    @pytest.fixture
    def raw(self, moto_server: S3Server, prefix: str) -> RawAccess:
        return RawS3(moto_server, prefix)

    @pytest.fixture
    def requests(self, watched: FaultyBackend) -> Callable[[], int]:
        return lambda: len(watched.calls)


class TestDistribution(DistributionContract):
    distribution = "strax-s3"
    heavy = ("boto3", "botocore")
