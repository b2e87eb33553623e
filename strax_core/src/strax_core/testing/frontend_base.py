"""The base of the contract of frontends: fixtures that an author gives."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from strax_core.errors import DataNotAvailable
from strax_core.format import DataKey, Lineage
from strax_core.frontend import Location, StorageFrontend
from strax_core.testing.base import ContractBase
from strax_core.testing.raw import RawAccess
from strax_core.testing.samples import bytes_of_chunks, sample_chunks, sample_key, sample_metadata

OpenFrontend = Callable[..., StorageFrontend]
Put = Callable[[DataKey, int], None]
PutDocument = Callable[[str, Mapping[str, Any]], None]
KEY = sample_key()


class FrontendBase(ContractBase):
    """Fixtures and known deviations. A deviation is an attribute here, never a skipped check."""

    takes_data = True
    """True if data can be saved through it; if not, give `put` too."""
    keeps_run_documents = True
    """True if it has documents about runs; if it takes no data, give `put_document` too."""
    requests_for_many: int | None = None
    """Largest number of requests of `find_several`, for any number of keys; None: not counted."""

    @pytest.fixture
    def open_frontend(self) -> OpenFrontend:
        """A function that opens a frontend with these options, always on one fresh place."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture `open_frontend`")

    @pytest.fixture
    def frontend(self, open_frontend: OpenFrontend) -> StorageFrontend:
        """The frontend under test."""
        return open_frontend()

    @pytest.fixture
    def raw(self) -> RawAccess | None:
        """A way to the place that bypasses the frontend, if others can leave files there."""
        return None

    @pytest.fixture
    def requests(self) -> Callable[[], int] | None:
        """A function that says how many requests the frontend has made; None: nobody counts."""
        return None

    @pytest.fixture
    def put(self, open_frontend: OpenFrontend) -> Put:
        """A function that puts a sample under a key; another number gives other rows."""
        return lambda key, mark: save_through(open_frontend(), key, mark)

    @pytest.fixture
    def put_document(self, open_frontend: OpenFrontend) -> PutDocument:
        """A function that puts a document about a run there."""
        return lambda run_id, document: open_frontend().write_run_metadata(run_id, document)

    @pytest.fixture
    def secret(self) -> str | None:
        """The secret that the frontend uses, a text found nowhere else; None if it takes none."""
        return None


def save_through(frontend: StorageFrontend, key: DataKey, mark: int = 1, **options: Any) -> None:
    """Save a sample by way of a frontend."""
    saver = frontend.saver(key, sample_metadata(key), **options)
    saver.save_from(sample_chunks(key, mark=mark))


def rows_of(frontend: StorageFrontend, key: DataKey) -> bytes:
    """Return the bytes of all rows, found and loaded by way of a frontend."""
    return frontend.loader(key).read_all().tobytes()


def sample_rows_of(key: DataKey, mark: int = 1) -> bytes:
    """Return the bytes that a sample should have."""
    return bytes_of_chunks(sample_chunks(key, mark=mark))


def made_with(gain: float) -> DataKey:
    """Return a key that differs from `KEY` in one option."""
    return DataKey("run_1", "peaks", Lineage({"peaks": ("Peaks", "0.1.0", {"gain": gain})}))


def is_found(frontend: StorageFrontend, key: DataKey) -> bool:
    """Say whether data are found; by its name too, in a request for many."""
    (one,) = frontend.find_several([key])
    try:
        found = frontend.find(key)
    except DataNotAvailable:
        assert one is None
        return False
    assert one is not None
    assert where(one) == where(found)
    return True


def where(location: Location | None) -> tuple[str, str] | None:
    """Return what two answers about the same data have in common."""
    return None if location is None else (location.backend, location.backend_key)
