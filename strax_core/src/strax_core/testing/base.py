"""The base of all contracts: fixtures that a storage plugin's author gives."""

import pickle

import pytest

from strax_core.backend import StorageBackend
from strax_core.saver import RenamingSaver
from strax_core.testing.raw import FolderLinks, RawAccess, RawFolder, RawLinks
from strax_core.testing.scorecard import keep_scorecard


class ContractBase:
    """Keeps the scorecard, and failures readable."""

    @pytest.fixture(autouse=True)
    def _scorecard(self, request: pytest.FixtureRequest) -> None:
        keep_scorecard(request.config)

    @pytest.fixture(autouse=True)
    def _no_difference_of_megabytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Where these are set, pytest looks for all differences of what is not equal: of a chunk's
        # bytes, that takes hours.
        for variable in ("CI", "BUILD_NUMBER"):
            monkeypatch.delenv(variable, raising=False)


class BackendBase(ContractBase):
    """Fixtures and known deviations. A deviation is an attribute here, never a skipped check."""

    pickles = True
    """True if it can go to another process and is the same place there; if not, pickling must end
    in a typed error."""
    clock_tolerance_s = 3600.0
    """Largest distance of the place's clock from ours."""
    is_case_blind = False
    """True if it takes `a` and `A` for one name, as the usual disks of macOS do."""
    large_bytes = 3_300_000
    """Size of the largest object of the round trips; 64 MB at the level `full`."""

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

    @pytest.fixture
    def links(self, raw: RawAccess, tmp_path_factory: pytest.TempPathFactory) -> RawLinks | None:
        """A way to put links into the place; None, unless `raw` is a folder: it has none."""
        if isinstance(raw, RawFolder):
            return FolderLinks(raw.root, tmp_path_factory.mktemp("outside"))
        return None

    @pytest.fixture
    def secret(self) -> str | None:
        """The secret that `backend` uses, a text found nowhere else; None if it takes none."""
        return None


def renames(backend: StorageBackend) -> bool:
    """Say whether the backend claims an exclusive, atomic rename."""
    return backend.saver_class is not None and issubclass(backend.saver_class, RenamingSaver)
