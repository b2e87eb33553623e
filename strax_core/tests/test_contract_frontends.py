"""The frontends of core pass the contract of frontends."""

from collections.abc import Callable

import pytest

from strax_core import DirectoryFrontend, MemoryBackend
from strax_core.memory import ConditionalMemoryBackend
from strax_core.testing import FaultyBackend, FrontendContract, RawAccess, RawMemory
from strax_core.testing.two_places import TwoPlaceFrontend


class TestDirectoryFrontend(FrontendContract):
    requests_for_many = 2

    @pytest.fixture
    def memory(self) -> MemoryBackend:
        return MemoryBackend()

    @pytest.fixture
    def watched(self, memory: MemoryBackend) -> FaultyBackend:
        return FaultyBackend(memory)

    @pytest.fixture
    def open_frontend(self, watched: FaultyBackend) -> Callable[..., DirectoryFrontend]:
        return lambda **options: DirectoryFrontend(watched, **options)

    @pytest.fixture
    def raw(self, memory: MemoryBackend) -> RawAccess:
        return RawMemory(memory)

    @pytest.fixture
    def requests(self, watched: FaultyBackend) -> Callable[[], int]:
        return lambda: len(watched.calls)


class TestTwoPlaceFrontend(FrontendContract):
    keeps_run_documents = False

    @pytest.fixture
    def open_frontend(self) -> Callable[..., TwoPlaceFrontend]:
        near, far = MemoryBackend(), ConditionalMemoryBackend()
        return lambda **options: TwoPlaceFrontend(near, far, near_types=["peaks"], **options)
