from collections.abc import Callable
from pathlib import Path

import pytest

from strax_core.testing import (
    BackendContract,
    ByteChecks,
    DatasetChecks,
    DistributionContract,
    FaultyBackend,
    FrontendContract,
    RaceChecks,
    RawAccess,
    RawFolder,
)
from strax_local.backend import LocalBackend
from strax_local.frontend import LocalFrontend
from strax_local.options import LocalOptions


class TestLocalBackend(BackendContract):
    fsync = False  # each fault of each call is a save: waiting for the disk would take minutes

    @pytest.fixture
    def backend(self, tmp_path: Path) -> LocalBackend:
        return LocalBackend(LocalOptions(path=str(tmp_path), fsync=self.fsync))

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)


class TestLocalFrontend(FrontendContract):
    requests_for_many = 2

    @pytest.fixture
    def watched(self, tmp_path: Path) -> FaultyBackend:
        return FaultyBackend(LocalBackend(LocalOptions(path=str(tmp_path), fsync=False)))

    @pytest.fixture
    def open_frontend(self, watched: FaultyBackend) -> Callable[..., LocalFrontend]:
        return lambda **options: LocalFrontend(watched, **options)  # type: ignore[arg-type]

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)

    @pytest.fixture
    def requests(self, watched: FaultyBackend) -> Callable[[], int]:
        return lambda: len(watched.calls)


class TestDistribution(DistributionContract):
    distribution = "strax-local"


class TestLocalBackendThatWaitsForTheDisk(ByteChecks, RaceChecks, DatasetChecks):
    fsync = True
    backend = TestLocalBackend.backend
    raw = TestLocalBackend.raw
