"""One question to one frontend, answered step by step: exact, fuzzy, unfinished."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from strax_core.arguments import did_you_mean
from strax_core.backend import StorageBackend
from strax_core.errors import ConfigError, DataCorrupted, DataNotAvailable, NewerFormat
from strax_core.format import DataKey, Metadata, stored_time_s
from strax_core.frontend.live import find_unfinished
from strax_core.frontend.location import Location, State
from strax_core.frontend.match import STRICT, Match

Thing = TypeVar("Thing")

Seen = MutableMapping[tuple[str, str], Metadata | Exception]
"""Metadata read of each backend's pieces of data, or the error."""

SETTLED = (DataNotAvailable, DataCorrupted, NewerFormat)
"""Errors that settle the question. After any other, the data may exist."""

_LOG = logging.getLogger("strax_core")


class Searchable(Protocol):
    """A frontend, as far as a search needs it: what it is called, what it has, and its hooks."""

    name: str
    backends: dict[str, StorageBackend]

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
        """Return where data that serve may be."""

    def _not_usable(self, key: DataKey, location: Location, error: BaseException) -> None:
        """Learn that they are missing there, or broken."""

    def _verified(self, key: DataKey, location: Location) -> None:
        """Learn that they are good."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Looks for one key in one frontend. Metadata are read once; they travel in the answers."""

    key: DataKey
    match: Match
    frontend: Searchable
    backend: str | None = None
    """Name of the only backend that counts; None: all do."""
    locations: Sequence[Location] | None = None
    """Answer of the frontend, if it was asked already, for many keys at once."""
    seen: Seen = field(default_factory=dict)
    _given: set[tuple[str, str]] = field(default_factory=set)

    def all(self) -> Iterator[Location]:
        """Iterate over all that serves: exact, then fuzzy, newest first, then unfinished.

        Raises:
            DataNotAvailable, StorageError: there is none; as `StorageFrontend.find`.
        """
        problem: Exception | None = None
        try:
            yield from self.exact()
        except SETTLED as error:
            problem = error
        for location in newest_first(self.fuzzy(), metadata_of):
            problem = None
            yield location
        for location in self.unfinished():
            problem = None
            yield location
        if problem is not None:
            raise problem

    def exact(self) -> Iterator[Location]:
        """Iterate over complete copies with exactly the lineage wanted, nearest first.

        Raises:
            DataNotAvailable: there is none.
            Exception: a backend failed, with whatever error, and no other has it.
        """
        problem: Exception | None = None
        reasons: list[str] = []
        n_found = 0
        for location in self._find(STRICT):
            try:
                checked = self._checked(location, STRICT)
            except _OtherLineage as error:
                if not self.match.is_fuzzy:
                    notify(self.frontend._not_usable, self.key, location, error)
                reasons.append(str(error))
            except DataNotAvailable as error:
                notify(self.frontend._not_usable, self.key, location, error)
                reasons.append(str(error))
            except Exception as error:  # noqa: BLE001 - one bad backend does not spoil the others
                notify(self.frontend._not_usable, self.key, location, error)
                problem = problem or error
            else:
                n_found += 1
                self._given.add(_where(location))
                yield checked
        if not n_found:
            raise problem or DataNotAvailable(
                "; ".join(reasons) or f"{self.frontend.name} has no {self.key}"
            )

    def fuzzy(self) -> list[Location]:
        """Return the complete copies that serve too, but for those that `exact` gave.

        One that is broken, failed or unreadable is logged, and hides no other.
        """
        if not self.match.is_fuzzy:
            return []
        return list(self._fuzzy(self._find(replace(self.match, allow_incomplete=False))))

    def other_lineages(self) -> list[Location]:
        """Return those of `fuzzy` that have another lineage than the one wanted, newest first."""
        found = [each for each in self.fuzzy() if metadata_of(each).lineage != self.key.lineage]
        return newest_first(found, metadata_of)

    def unfinished(self) -> list[Location]:
        """Return what is still being written with the lineage wanted, if that may serve."""
        if not self.match.allow_incomplete:
            return []
        return list(self._unfinished(self._find(Match(allow_incomplete=True))))

    def verify(self) -> Iterator[tuple[str, Exception | None]]:
        """Read each copy of exactly this key to its end: where it is, and what is wrong with it."""
        for location in self._find(STRICT):
            backend = self._backend_of(location)
            where = (
                self.frontend.name
                if len(self.frontend.backends) == 1
                else f"{self.frontend.name}/{location.backend}"
            )
            try:
                metadata = backend.get_metadata(location.backend_key)
                self._check_what(metadata, STRICT)
                backend.verify(location.backend_key)
            except DataNotAvailable:
                continue
            except Exception as error:  # noqa: BLE001 - the other copies are verified too
                notify(self.frontend._not_usable, self.key, location, error)
                yield where, error
            else:
                notify(self.frontend._verified, self.key, replace(location, metadata=metadata))
                yield where, None

    def _find(self, match: Match) -> Sequence[Location]:
        if self.locations is not None:
            return self.locations
        found = self.frontend._find(self.key, match)
        return [at for at in found if self.backend in (None, at.backend)]

    def _backend_of(self, location: Location) -> StorageBackend:
        backends = self.frontend.backends
        return backend_named(location.backend, backends, place=self.frontend.name)

    def _fuzzy(self, locations: Sequence[Location]) -> Iterator[Location]:
        for location in locations:
            if _where(location) in self._given or self._has_failed(location):
                continue
            try:
                yield self._checked(location, self.match)
            except _OtherLineage as error:
                _LOG.debug("%s", error)
            except Exception as error:  # noqa: BLE001 - whatever it is, it hides no other
                self._report(location, error)

    def _unfinished(self, locations: Sequence[Location]) -> Iterator[Location]:
        for location in locations:
            known = self.seen.get(_where(location))
            if isinstance(known, Metadata) and known.is_complete:
                continue
            try:
                found = self._so_far(location)
            except Exception as error:  # noqa: BLE001 - whatever it is, it hides no other
                self._report(location, error)
            else:
                if found is not None:
                    yield found

    def _so_far(self, location: Location) -> Location | None:
        backend = self._backend_of(location)
        so_far = find_unfinished(backend, location.backend_key)
        try:
            if so_far is None:
                # Perhaps the writer committed between our two looks.
                self.seen.pop(_where(location), None)
                done = replace(location, state=State.COMPLETE, metadata=None)
                return self._checked(done, STRICT)
            self._check_what(so_far.metadata, STRICT)
        except DataNotAvailable:
            return None
        return replace(
            location,
            state=State.WRITING,
            metadata=so_far.metadata,
            folder=so_far.folder,
            listed=False,
        )

    def _checked(self, location: Location, match: Match) -> Location:
        """Return the location with its metadata, if what is there is complete and serves."""
        if location.state is State.WRITING:
            raise DataNotAvailable(f"{self.frontend.name}: {self.key} is being written")
        metadata = self._metadata(location)
        metadata.check_loadable()
        self._check_what(metadata, match)
        return replace(location, metadata=metadata)

    def _check_what(self, metadata: Metadata, match: Match) -> None:
        if (metadata.run_id, metadata.data_type) != (self.key.run_id, self.key.data_type):
            raise DataNotAvailable(
                f"{metadata.place}: holds {metadata.data_type} of run {metadata.run_id}"
            )
        if not match.accepts(self.key.lineage, metadata.lineage):
            raise _OtherLineage(f"{metadata.place}: has another lineage than {self.key}")

    def _metadata(self, location: Location) -> Metadata:
        where = _where(location)
        if location.metadata is not None:
            self.seen[where] = location.metadata
        if where not in self.seen:
            backend = self._backend_of(location)
            try:
                self.seen[where] = backend.get_metadata(location.backend_key)
            except Exception as error:  # noqa: BLE001 - kept, so that nobody asks again
                self.seen[where] = error
        known = self.seen[where]
        if isinstance(known, Exception):
            raise known
        return known

    def _report(self, location: Location, error: Exception) -> None:
        level = logging.INFO if isinstance(error, DataNotAvailable) else logging.WARNING
        name = location.backend_key
        _LOG.log(
            level, "%s: %s does not serve for %s: %s", self.frontend.name, name, self.key, error
        )

    def _has_failed(self, location: Location) -> bool:
        """Whether it was read already, and could not be; then that was told."""
        return isinstance(self.seen.get(_where(location)), Exception)


class _OtherLineage(DataNotAvailable):
    """What is there was made in another way."""


def _where(location: Location) -> tuple[str, str]:
    return location.backend, location.backend_key


def metadata_of(location: Location) -> Metadata:
    """Return the metadata that travel in an answer."""
    if location.metadata is None:
        raise ConfigError(f"the metadata of {location.backend_key} were not read")
    return location.metadata


def newest_first(things: Sequence[Thing], metadata: Callable[[Thing], Metadata]) -> list[Thing]:
    """Return fuzzy matches, the newest making first.

    Copies with one `data_id` are one making, as old as its oldest copy; they keep their order.
    """
    made_at: dict[str, float] = {}
    makings = []
    for i, thing in enumerate(things):
        making = metadata(thing).data_id or f"{i} alone"
        makings.append(making)
        ended = _ended(metadata(thing))
        made_at[making] = min(made_at.get(making, ended), ended)
    first_of = {making: i for i, making in reversed(list(enumerate(makings)))}
    order = sorted(
        range(len(things)),
        key=lambda i: (-made_at[makings[i]], first_of[makings[i]]),
    )
    return [things[i] for i in order]


def _ended(metadata: Metadata) -> float:
    ended = stored_time_s(metadata.get("writing_ended"))
    return -math.inf if ended is None else ended


def notify(listener: Callable[..., None], key: DataKey, *news: Any) -> None:
    """Call a hook of a frontend; log what it raises, and go on."""
    try:
        listener(key, *news)
    except Exception:  # noqa: BLE001 - whatever a storage plugin raises
        _LOG.exception("a frontend could not take note of what happened to %s", key)


def backend_named(
    name: str, backends: Mapping[str, StorageBackend], *, place: str
) -> StorageBackend:
    """Return one of a frontend's backends.

    Raises:
        ConfigError: it has none of this name.
    """
    try:
        return backends[name]
    except KeyError as error:
        raise ConfigError(
            f"{place} has no backend {name!r} {did_you_mean(name, backends)}"
        ) from error
