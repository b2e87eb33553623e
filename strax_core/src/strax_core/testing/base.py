"""What all parts of the contract stand on: the fixtures that a storage plugin's author gives."""

import pickle

import pytest

from strax_core.backend import StorageBackend
from strax_core.renaming_saver import RenamingSaver
from strax_core.testing.raw import RawAccess


class ContractBase:
    """Fixtures and known deviations. A deviation is an attribute here, never a skipped check."""

    pickles = True
    """Whether it can go to another process; if not, pickling must end in a typed error."""
    clock_tolerance_s = 3600.0
    """How far the place's clock may be from ours."""
    large_bytes = 3_300_000
    """Size of the largest object of the round trips."""

    @pytest.fixture
    def backend(self) -> StorageBackend:
        """A backend on a fresh, empty place."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture `backend`")

    @pytest.fixture
    def raw(self, backend: StorageBackend) -> RawAccess:
        """A way to the same place that bypasses the backend."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture `raw`")

    @pytest.fixture
    def second(self, backend: StorageBackend) -> StorageBackend:
        """Another object on the same place; by default a pickled copy."""
        copy: StorageBackend = pickle.loads(pickle.dumps(backend))
        return copy


def renames(backend: StorageBackend) -> bool:
    """Say whether the backend claims an exclusive, atomic rename."""
    return backend.saver_class is not None and issubclass(backend.saver_class, RenamingSaver)
