"""Events that a frontend is told of; one that keeps a record overrides what it needs."""

from strax_core.format import DataKey, Metadata
from strax_core.frontend.location import Location
from strax_core.tracing import TracedFrontend


class Events(TracedFrontend):
    """Told what happened, after it happened; each does nothing unless it is overridden.

    If one raises, that is logged, and changes nothing of what happened.
    """

    def _began(self, key: DataKey, location: Location, metadata: Metadata) -> None:
        """Learn that a saver has begun there; `metadata` has its `write_id` and no chunks yet."""

    def _committed(self, key: DataKey, location: Location, metadata: Metadata) -> None:
        """Learn that a saver has committed there."""

    def _removed(self, key: DataKey, location: Location) -> None:
        """Learn that the data there were removed."""

    def _not_usable(self, key: DataKey, location: Location, error: BaseException) -> None:
        """Learn that loading from or saving to there failed, or that the data are not there."""

    def _verified(self, key: DataKey, location: Location) -> None:
        """Learn that the data there were read to their end, and are good."""
