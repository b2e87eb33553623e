"""Searches several frontends: all for exact matches, before any for fuzzy ones."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from strax_core.errors import DataNotAvailable, StorageError, StorageUnavailable
from strax_core.format import DataKey
from strax_core.frontend import (
    SETTLED,
    Location,
    Match,
    Search,
    StorageFrontend,
    metadata_of,
    newest_first,
)
from strax_core.places.found import Found
from strax_core.tracing import Stopwatch

_LOG = logging.getLogger("strax_core")


@dataclass(kw_only=True)
class SearchAll:
    """One key, asked of several frontends; who could not answer is noted, and the next asked."""

    key: DataKey
    match: Match
    frontends: Iterable[StorageFrontend]
    _searches: list[tuple[StorageFrontend, Search]] = field(default_factory=list)
    _problems: list[str] = field(default_factory=list)
    _reasons: list[str] = field(default_factory=list)
    _failure: Exception | None = None
    _n_answers: int = 0

    def all(self) -> Iterator[Found]:
        """Iterate over all that serves, best first; a frontend is asked when its turn comes.

        Raises:
            DataNotAvailable: there is none; the message says what each answered.
            StorageError: no frontend could say whether it has exactly this key.
        """
        n_found = 0
        for step in (self._exact, self._fuzzy, self._unfinished):
            for found in step():
                n_found += 1
                yield found
            if not n_found and self._failure is not None and not self._n_answers:
                raise of_same_type(
                    self._failure,
                    f"no place could say whether it has {self.key}: {self._answers()}",
                )
        if not n_found:
            raise DataNotAvailable(
                f"{self.key} is not stored in any place of this context: {self._answers()}"
            )

    def _exact(self) -> Iterator[Found]:
        for frontend in self.frontends:
            watch = Stopwatch(frontend.name, f"has it {self.key}?")
            try:
                search = frontend.search(self.key, self.match)
                self._searches.append((frontend, search))
                for location in search.exact():
                    self._n_answers += 1
                    watch.tell(f"yes, in {location.backend}/{location.backend_key}")
                    yield self._found(frontend, location)
            except DataNotAvailable as error:
                watch.tell(error)
                self._reasons.append(str(error))
                self._n_answers += frontend.wants(self.key.data_type)
            except Exception as error:  # noqa: BLE001 - also what a storage plugin left untranslated
                watch.tell(error)
                self._note(frontend, error)
                self._failure = self._failure or error
                self._n_answers += isinstance(error, SETTLED)

    def _fuzzy(self) -> list[Found]:
        return newest_first(list(self._each(Search.fuzzy)), lambda found: found.metadata)

    def _unfinished(self) -> Iterator[Found]:
        return self._each(Search.unfinished)

    def _each(self, step: Callable[[Search], list[Location]]) -> Iterator[Found]:
        for frontend, search in self._searches:
            try:
                locations = step(search)
            except Exception as error:  # noqa: BLE001 - the other places go on
                self._note(frontend, error)
                continue
            for location in locations:
                yield self._found(frontend, location)

    def _found(self, frontend: StorageFrontend, location: Location) -> Found:
        return Found(
            key=self.key,
            frontend=frontend,
            location=location,
            metadata=metadata_of(location),
            problems=tuple(self._problems),
        )

    def _note(self, frontend: StorageFrontend, error: Exception) -> None:
        problem = report(frontend, error)
        if problem not in self._problems:
            self._problems.append(problem)

    def _answers(self) -> str:
        return "; ".join(self._problems + self._reasons) or "it has none"


def report(frontend: StorageFrontend, error: BaseException) -> str:
    """Log that a frontend could not answer, and return that as a text."""
    text = f"{frontend.name} could not answer: {str(error) or type(error).__name__}"
    _LOG.warning("%s", text)
    return text


def of_same_type(error: Exception, message: str) -> StorageError:
    """Return a new error of a kind that callers know, with the old one as its cause."""
    new = type(error)(message) if isinstance(error, StorageError) else StorageUnavailable(message)
    new.__cause__ = error
    return new
