import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend, MemoryOptions
from strax_core.testing import BackendContract, RawAccess, RawMemory


class TestMemoryBackend(BackendContract):
    backend_class: type[MemoryBackend] = MemoryBackend
    pickles = False

    @pytest.fixture
    def backend(self, request: pytest.FixtureRequest) -> MemoryBackend:
        return self.backend_class(MemoryOptions(place=request.node.nodeid))

    @pytest.fixture
    def second(self, request: pytest.FixtureRequest) -> MemoryBackend:
        return self.backend_class(MemoryOptions(place=request.node.nodeid))

    @pytest.fixture
    def raw(self, backend: MemoryBackend) -> RawAccess:
        return RawMemory(backend)


class TestConditionalMemoryBackend(TestMemoryBackend):
    backend_class = ConditionalMemoryBackend
