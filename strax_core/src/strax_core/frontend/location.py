"""The location of one copy of a piece of data."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from strax_core.arguments import takes_old_keyword
from strax_core.format import Metadata


class State(Enum):
    """Completeness of data at a location."""

    COMPLETE = "complete"
    WRITING = "writing"


@takes_old_keyword("known", "listed")
@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The place of one copy of a piece of data: a backend, and its name there."""

    backend: str
    """Name of the backend in the frontend's `backends`."""
    backend_key: str
    """Name of the piece of data in the backend; of unfinished data, the name to be."""
    state: State = State.COMPLETE
    metadata: Metadata | None = None
    """If finding it read them already; of unfinished data, as far as they are written."""
    listed: bool = False
    """True if a listing or a database says that data are there, complete; nothing was read."""
    folder: str | None = None
    """Folder of the chunks of unfinished data until they are committed; core fills it in."""

    @property
    def known(self) -> bool:
        """The name of `listed` until 1.0."""
        return self.listed


def first_listed(locations: Iterable[Location]) -> Location | None:
    """Return the first of them that is `listed`, if any is."""
    for each in locations:
        if each.listed:
            return each
    return None
