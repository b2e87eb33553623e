"""The frontends of core pass the contract of frontends."""

from collections.abc import Callable
from typing import Any

import pytest

from strax_core import DataKey, DirectoryFrontend, MemoryBackend
from strax_core.backend.memory import ConditionalMemoryBackend
from strax_core.testing import (
    FaultyBackend,
    FrontendContract,
    RawAccess,
    RawMemory,
    sample_chunks,
    save_sample,
)
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


class TestDirectoryFrontendOfAnObjectStore(TestDirectoryFrontend):
    """Where the chunks of a writer lie in the final folder before it commits."""

    @pytest.fixture
    def memory(self) -> MemoryBackend:
        return ConditionalMemoryBackend()


class TestTwoPlaceFrontend(FrontendContract):
    keeps_run_documents = False

    @pytest.fixture
    def open_frontend(self) -> Callable[..., TwoPlaceFrontend]:
        near, far = MemoryBackend(), ConditionalMemoryBackend()
        return lambda **options: TwoPlaceFrontend(near, far, near_types=["peaks"], **options)


class TestFrontendThatOnlyReads(FrontendContract):
    takes_data = False

    @pytest.fixture
    def memory(self) -> MemoryBackend:
        return MemoryBackend()

    @pytest.fixture
    def open_frontend(self, memory: MemoryBackend) -> Callable[..., DirectoryFrontend]:
        published = FaultyBackend(memory)
        published.saver_class = None  # type: ignore[misc]
        return lambda **options: DirectoryFrontend(published, **options)

    @pytest.fixture
    def put(self, memory: MemoryBackend) -> Callable[[DataKey, int], object]:
        return lambda key, mark: save_sample(memory, key, sample_chunks(key, mark=mark))

    @pytest.fixture
    def put_document(self, memory: MemoryBackend) -> Callable[[str, dict[str, Any]], None]:
        return DirectoryFrontend(memory).write_run_metadata
