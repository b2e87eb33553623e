"""The plan of a request: data types that are stored, and data plugins that make the others."""

import logging
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import numpy as np

from strax_core.chunks import merged_dtype, time_fields
from strax_core.data_plugins import (
    Plugin,
    SaveWhen,
    dependencies,
    missing_methods,
    provided,
    source_hash,
)
from strax_core.errors import ConfigError, DataNotAvailable, RunMetadataNotAvailable
from strax_core.places import Find, Found
from strax_core.processing.request import Request
from strax_core.selection import WHOLE_ROWS, Query, Scan

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOG = logging.getLogger("strax_core")
_SOURCE_HINT = (
    "; it depends on nothing, so it needs a method chunks (or did you forget depends_on?)"
)


class Plan:
    """The answer of all places, for the targets and whatever is needed to make them.

    Raises:
        DataNotAvailable: something is not stored and cannot, or may not, be made.
        StorageError: no place could answer.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.loaded: dict[str, Found] = {}
        """By data type, the nearest copy."""
        self.made: dict[type[Plugin], set[str]] = {}
        """Data plugins, those needed by others first, each with what is needed of it."""
        self._copies: dict[str, Iterable[Found]] = {}
        for target in request.targets:
            self._find(target)
        for data_plugin, needed in self.made.items():
            self._check_can_make(data_plugin, needed)
        self.instances: Mapping[type[Plugin], Plugin] = (
            request.data_plugins.instances(
                request.targets, run_id=request.run_id, defaults=request.defaults
            )
            if self.made
            else {}
        )
        self.query = self._resolved(request.query)
        """What the user wants, with times in ns since the Unix epoch."""
        if self.query.is_partial:
            self._check_partial()
        for data_type, found in self.loaded.items():
            _warn_of_namesake(found, request.data_plugins.that_makes(data_type))

    def finder(self, data_type: str) -> Find:
        """Return what finds the copies of a loaded data type; the first time, those known now.

        All are of one lineage, that of the nearest: what is kept was decided by that.
        """
        known = [self._copies[data_type]]
        request, first = self.request, self.loaded[data_type]

        def find() -> Iterator[Found]:
            copies = (
                known.pop()
                if known
                else request.places.find_all(
                    request.key_of(data_type), request.match_for(data_type)
                )
            )
            return (found for found in copies if _is_alike(found, first))

        return find

    def copies(self, data_type: str) -> list[Found]:
        """Return all copies of a loaded data type, as `finder` finds them."""
        copies = list(self._copies[data_type])
        self._copies[data_type] = copies  # in case a stream loads it too
        return [found for found in copies if _is_alike(found, self.loaded[data_type])]

    def kind_of(self, data_type: str) -> str:
        """Return the kind of a data type that is loaded or made."""
        found = self.loaded.get(data_type)
        if found is not None:
            return found.metadata.data_kind
        return self._instance_of(data_type).data_kind_for(data_type)

    def rows_dtype(self) -> np.dtype[Any]:
        """Return the dtype of the targets side by side, with the columns that are wanted.

        Raises:
            ConfigError: as `full_dtype`, or a column does not exist.
            ChunkError: their columns cannot stand side by side.
        """
        return self.query.dtype_of(self.full_dtype())

    def full_dtype(self) -> np.dtype[Any]:
        """Return the dtype of the targets side by side, with all columns.

        Raises:
            ConfigError: the targets are of different kinds.
            ChunkError: their columns cannot stand side by side.
        """
        targets = self.request.targets
        kinds = {target: self.kind_of(target) for target in targets}
        if len(set(kinds.values())) > 1:
            told = ", ".join(f"{target} is of the kind {kind}" for target, kind in kinds.items())
            raise ConfigError(f"only data types of one kind can be merged: {told}; ask for each")
        dtypes = {target: self.dtype_of(target) for target in targets}
        return merged_dtype(dtypes, kind=kinds[targets[0]])

    def scan_to_merge(self, target: str) -> Scan:
        """Return what must be read of a loaded target that is merged with others by column.

        Of a column that several have, the last one's is taken; the time fields of each are needed
        to put them side by side.
        """
        columns = self.query.scan(self.full_dtype()).columns
        if columns is None:
            return WHOLE_ROWS
        holders = {field: each for each in self.request.targets for field in self._names_of(each)}
        own = [column for column in columns if holders[column] == target]
        return Scan(tuple(dict.fromkeys((*own, *time_fields(self._names_of(target))))))

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """From when to when the rows will come; None if it is not known."""
        if self.query.chunk_numbers is not None:
            return None
        for found in self.loaded.values():
            if found.is_complete:
                first, last = found.metadata.chunks[0], found.metadata.chunks[-1]
                start_ns, end_ns = self.query.time_range or (first.start, last.end)
                return max(start_ns, first.start), min(end_ns, last.end)
        return None

    def inexact(self, data_plugin: type[Plugin]) -> str | None:
        """Say which input of a data plugin is not exactly what its lineage says; None if all are.

        What is made of it must not be kept under that lineage.
        """
        for needed in dependencies(data_plugin):
            found = self.loaded.get(needed)
            if found is None:
                reason = self.inexact(self.request.data_plugins.that_makes(needed))
                if reason is not None:
                    return reason
            elif not found.is_complete:
                return f"{needed} is not complete yet"
            elif not found.is_exact:
                return f"{needed} was found by a loose match ({'; '.join(found.differences)})"
        return None

    def dtype_of(self, data_type: str) -> np.dtype[Any]:
        """Return the dtype of a data type that is loaded or made."""
        found = self.loaded.get(data_type)
        if found is not None:
            return found.metadata.dtype
        return self._instance_of(data_type).dtype_for(data_type)

    def _names_of(self, data_type: str) -> tuple[str, ...]:
        return self.dtype_of(data_type).names or ()

    def _instance_of(self, data_type: str) -> Plugin:
        return self.instances[self.request.data_plugins.that_makes(data_type)]

    def _find(self, data_type: str) -> None:
        data_plugin = self.request.data_plugins.that_makes(data_type)
        if data_type in self.loaded or data_type in self.made.get(data_plugin, ()):
            return
        is_to_be_made = data_type in self.request.missing or (
            self.request.again and data_type in self.request.targets
        )
        if not is_to_be_made and self._is_found(data_type):
            return
        for needed in dependencies(data_plugin):
            self._find(needed)
        self.made.setdefault(data_plugin, set()).add(data_type)

    def _is_found(self, data_type: str) -> bool:
        request = self.request
        copies = request.places.find_all(request.key_of(data_type), request.match_for(data_type))
        try:
            first = next(copies)
        except DataNotAvailable as error:
            _LOG.debug("%s", error)
            return False
        self.loaded[data_type] = first
        self._copies[data_type] = chain([first], copies)
        return True

    def _check_can_make(self, data_plugin: type[Plugin], needed: set[str]) -> None:
        for data_type in sorted(needed):
            why = obstacle(data_plugin, data_type, self.request.forbidden)
            if why is not None:
                raise DataNotAvailable(
                    f"{self.request.key_of(data_type)} is not stored in any place of this "
                    f"context, and data plugin {data_plugin.__name__} cannot make it: {why}"
                )

    def _resolved(self, query: Query) -> Query:
        return query if query.seconds_range is None else query.with_run_start(self._start_ns())

    def _start_ns(self) -> int:
        """When the run starts: by its document, else by the first chunk of what is stored."""
        try:
            start = self.request.places.run_metadata(self.request.run_id, "start").get("start")
        except RunMetadataNotAvailable:
            start = None
        if isinstance(start, datetime):
            start = start if start.tzinfo else start.replace(tzinfo=UTC)  # as strax means it
            return (start - _EPOCH) // timedelta(microseconds=1) * 1000
        if start is not None:
            raise ConfigError(
                f"seconds_range counts from the start of run {self.request.run_id}, but its "
                f"document says start = {start!r}; write a datetime there, or give time_range"
            )
        for found in self.loaded.values():
            return found.metadata.chunks[0].start
        raise DataNotAvailable(
            f"seconds_range counts from the start of run {self.request.run_id}, which is not "
            "known: it has no document that says so, and nothing of it is stored"
        )

    def _check_partial(self) -> None:
        """A part of a run is read, but never made; what is not kept by itself may be derived."""
        query = self.query
        if self.request.save:
            raise ConfigError("only a part of the run is asked for, so nothing of it can be saved")
        if query.chunk_numbers is not None and (len(self.request.targets) > 1 or self.made):
            name = ", ".join(self.request.targets)
            if not self.made:
                raise ConfigError(f"chunk_numbers goes with one data type, not with {name}")
            raise DataNotAvailable(
                f"chunks of {name} of run {self.request.run_id} can be asked for by number only "
                "if it is stored: make it first"
            )
        for data_plugin, needed in self.made.items():
            for data_type in sorted(needed):
                kept = self.instances[data_plugin].save_when_for(data_type) > SaveWhen.EXPLICIT
                if kept or not dependencies(data_plugin):
                    raise DataNotAvailable(
                        f"{self.request.key_of(data_type)} is not stored, and only a part of the "
                        "run is asked for: make it first, or ask for the whole run"
                    )


def obstacle(data_plugin: type[Plugin], data_type: str, forbidden: Collection[str]) -> str | None:
    """Say why a data plugin cannot, or may not, make a data type; None if it can."""
    if missing := missing_methods(data_plugin):
        return f"it has no {missing[0]}{_SOURCE_HINT if 'is_ready' in missing else ''}"
    if is_forbidden(data_type, forbidden):
        return "forbid_creation_of says that it is not to be made here"
    return None


def is_forbidden(data_type: str, forbidden: Collection[str]) -> bool:
    """Say whether a data type is not to be made."""
    return "*" in forbidden or data_type in forbidden


def _is_alike(found: Found, first: Found) -> bool:
    is_same_lineage = found.metadata.lineage == first.metadata.lineage
    return is_same_lineage and found.is_complete == first.is_complete


def _warn_of_namesake(found: Found, data_plugin: type[Plugin]) -> None:
    """Warn if a class of this name in another module made the data: the key cannot tell."""
    writer = found.metadata.get("writer")
    if not isinstance(writer, Mapping):
        return
    module, source = writer.get("data_plugin_module"), writer.get("data_plugin_source")
    if module is None or module == data_plugin.__module__ or source == source_hash(data_plugin):
        return
    types = ", ".join(provided(data_plugin))
    warnings.warn(
        f"{found.key} in {found.place} was made by {module}.{data_plugin.__name__}, here {types} "
        f"is made by {data_plugin.__module__}.{data_plugin.__name__}: classes of one name and "
        "version share a key; if they are not the same, give one another __version__",
        stacklevel=2,
    )
