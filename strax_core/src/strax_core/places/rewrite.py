"""Stores data again in other chunks or with another codec, and counts the bytes it took and takes.

In place, the old files go only after the new ones were read back and found to hold the same rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from strax_core.errors import DataExistsError
from strax_core.format import DataKey, Metadata
from strax_core.frontend import Location, StorageFrontend, metadata_of
from strax_core.places.copy import Target, copy_data, stored_bytes
from strax_core.places.found import Found
from strax_core.places.transfer import TransferOptions


class Outcome(Enum):
    """Outcome of rewriting one piece of data."""

    REWRITTEN = "rewritten"
    AS_WANTED = "as wanted already"
    THERE = "there already"
    """In the place where it was to be copied to."""
    PLANNED = "to be rewritten"


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """One piece of data, before and after."""

    name: str
    """``<run>-<type>-<hash>``."""
    place: str
    outcome: Outcome
    chunks_before: int
    chunks_after: int | None
    """None: not known, since it is only planned."""
    bytes_before: int
    bytes_after: int | None


def stored_at(frontend: StorageFrontend, key: DataKey, backend: str | None) -> Iterator[Found]:
    """Iterate over the complete copies of exactly this key in one place.

    Raises:
        DataNotAvailable: there is none.
    """
    for location in frontend.search(key, backend=backend).exact():
        yield found_at(frontend, key, location, metadata_of(location))


def found_at(
    frontend: StorageFrontend, key: DataKey, location: Location, metadata: Metadata
) -> Found:
    """Return what `find` would, of a piece of data that is known to lie there."""
    return Found(key=key, frontend=frontend, location=location, metadata=metadata)


def rewrite_data(
    found: Found, target: Target, options: TransferOptions, *, dry_run: bool = False
) -> Rewritten:
    """Store a piece of data again, unless it has the form wanted already, or is there already.

    Args:
        found: the copy that is read; no other one is.
        target: in place, if it `replaces` what was found.
        options: what may be used.
        dry_run: only say what would be done.

    Raises:
        DataCorrupted: it cannot be read, or not be read back; nothing was changed.
        DataExistsError: in place: someone replaced it meanwhile; nothing was changed.
        ReadOnlyError: that place does not take it.
        StorageError: it could not be read, or not written.
    """
    metadata = found.metadata
    folder = found.location.backend_key
    before = stored_bytes(found.frontend.backends[found.location.backend], folder, metadata)

    def told(outcome: Outcome, after: Metadata | None) -> Rewritten:
        return Rewritten(
            name=found.key.name,
            place=target.frontend.name,
            outcome=outcome,
            chunks_before=len(metadata.chunks),
            chunks_after=None if after is None else len(after.chunks),
            bytes_before=before,
            bytes_after=None if after is None else _bytes_of(after, metadata, before),
        )

    if target.replaces is not None and target.is_form_of(metadata):
        return told(Outcome.AS_WANTED, metadata)
    if dry_run:
        return told(Outcome.PLANNED, None)
    try:
        written = copy_data(lambda: iter([found]), target, options)
    except DataExistsError:
        if target.replaces is not None:
            raise
        return told(Outcome.THERE, metadata)
    return told(Outcome.REWRITTEN, written)


def _bytes_of(after: Metadata, source: Metadata, before: int) -> int:
    """What we wrote says how large each file is."""
    return before if after is source else sum(info.filesize or 0 for info in after.chunks)
