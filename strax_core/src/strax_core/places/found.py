"""The answer to a search: a copy of a piece of data, and whether it is just what was asked for."""

from dataclasses import dataclass

from strax_core.format import DataKey, Metadata
from strax_core.frontend import Location, State, StorageFrontend, differences
from strax_core.loader import Loader


@dataclass(frozen=True, kw_only=True)
class Found:
    """A copy of a piece of data that was found, and how it differs from what was asked for."""

    key: DataKey
    frontend: StorageFrontend
    location: Location
    metadata: Metadata
    problems: tuple[str, ...] = ()
    """Places that were asked before and could not answer, and why."""

    @property
    def place(self) -> str:
        """Name of the frontend, and of the backend where there are several: ``archive/tape``."""
        if len(self.frontend.backends) == 1:
            return self.frontend.name
        return f"{self.frontend.name}/{self.location.backend}"

    @property
    def is_complete(self) -> bool:
        """True if all of it is there; if not, it is still being written, or its writer died."""
        return self.location.state is State.COMPLETE

    @property
    def is_exact(self) -> bool:
        """True if it has the lineage wanted, and not only one that serves."""
        return self.metadata.lineage == self.key.lineage

    @property
    def differences(self) -> tuple[str, ...]:
        """In what its lineage differs from the one wanted, one line each."""
        return differences(self.key.lineage, self.metadata.lineage)

    def loader(self) -> Loader:
        """Return what loads it, unfinished data as far as they were written when found."""
        return self.frontend.loader_at(self.location)

    def report_failure(self, error: BaseException) -> None:
        """Tell the frontend, and the log, that loading it failed."""
        self.frontend.report_failure(self.key, self.location, error)

    def __repr__(self) -> str:
        return f"<Found {self.key} in {self.place}>"
