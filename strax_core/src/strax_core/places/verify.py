"""Reads every copy of a piece of data to its end, and says which are good."""

from collections.abc import Iterable

from strax_core.errors import DataCorrupted, DataNotAvailable
from strax_core.format import DataKey
from strax_core.frontend import StorageFrontend
from strax_core.places.search import of_same_type


def verify_data(key: DataKey, places: Iterable[tuple[StorageFrontend, str | None]]) -> list[str]:
    """Verify all copies in these frontends, or in one backend of each; return the places.

    Raises:
        DataCorrupted: a copy is damaged; the message says which, and which are good.
        DataNotAvailable: there is no copy.
        StorageError: a place could not answer.
    """
    good: list[str] = []
    bad: list[tuple[str, Exception]] = []
    for frontend, backend in places:
        try:
            for place, error in frontend.search(key, backend=backend).verify():
                if error is None:
                    good.append(place)
                else:
                    bad.append((place, error))
        except Exception as error:  # noqa: BLE001 - the other places are verified too
            bad.append((frontend.name, error))
    if bad:
        raise _told(key, good, bad)
    if not good:
        raise DataNotAvailable(f"{key} is not stored in any of the places asked")
    return good


def _told(key: DataKey, good: list[str], bad: list[tuple[str, Exception]]) -> Exception:
    told = "; ".join(f"{place}: {error}" for place, error in bad)
    message = f"{key}: {told}; good copies: {', '.join(good) or 'none'}"
    # Damage counts more than a place that may answer later.
    worst = next((error for _, error in bad if isinstance(error, DataCorrupted)), bad[0][1])
    if good and isinstance(worst, DataCorrupted):
        message += " (Context.remove takes a damaged copy away, Context.copy brings a good one)"
    return of_same_type(worst, message)
