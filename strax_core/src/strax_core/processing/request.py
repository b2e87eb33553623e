"""The request for data types of one run, as a context fills it in."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from strax_core.concurrency import BUFFER_BYTES, Workers
from strax_core.data_plugins import DataPlugins
from strax_core.format import DataKey
from strax_core.frontend import STRICT, Match
from strax_core.loader import ReadReport
from strax_core.places import Places
from strax_core.selection import ALL_ROWS, Query


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for data types of one run; a context fills it in."""

    run_id: str
    targets: tuple[str, ...]
    places: Places
    data_plugins: DataPlugins
    workers: Workers
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of options that this run's document says."""
    match: Match = STRICT
    query: Query = ALL_ROWS
    save: Collection[str] = ()
    forbidden: Collection[str] = ()
    """Data types that are not to be made; ``*`` stands for all."""
    buffer_bytes: int = BUFFER_BYTES
    again: bool = False
    """Make the targets even if they are stored, and replace what is stored."""
    must_keep: bool = False
    """Having nowhere to write is an error, not a warning."""
    progress: bool | None = False
    """True to show how far it is; None: if somebody watches."""
    chunk_size_bytes: int | None = None
    """Size of the chunks that the user gets; None: as they are stored or made."""
    report: ReadReport = field(default_factory=ReadReport)
    """Counts what is read."""
    missing: frozenset[str] = frozenset()
    """Targets that were looked for just now, and are not stored."""
    stop: Event | None = None
    """Set by another thread that needs the answer no more."""

    def match_for(self, data_type: str) -> Match:
        """Return how loosely a data type may match; what must be kept must be complete."""
        if self.must_keep and data_type in self.targets:
            return replace(self.match, allow_incomplete=False)
        return self.match

    def key_of(self, data_type: str) -> DataKey:
        """Return the key of a data type of this run."""
        lineage = self.data_plugins.lineage(data_type, self.defaults)
        return DataKey(self.run_id, data_type, lineage)
