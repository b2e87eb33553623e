"""The frontends of a context, asked in order; one bad place does not spoil the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strax_core.arguments import did_you_mean
from strax_core.errors import (
    AccessDenied,
    ConfigError,
    DataNotAvailable,
    ReadOnlyError,
    RunMetadataNotAvailable,
)
from strax_core.format import DataKey, check_run_id, select_fields
from strax_core.frontend import STRICT, Location, Match, StorageFrontend
from strax_core.places.found import Found
from strax_core.places.search import SearchAll, of_same_type, report


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The pieces of data that each place has, of many."""

    locations: Mapping[str, Sequence[Location | None]]
    """By the name of the place, for each key; None where it is not there, or cannot be read."""
    problems: Mapping[str, str]
    """By the name of the place: why it could not answer."""


class Places:
    """An ordered list of frontends: nearest first, by `storage_type`, then in the user's order."""

    def __init__(self, frontends: Iterable[StorageFrontend]) -> None:
        self._frontends = sorted(frontends, key=lambda frontend: frontend.storage_type)
        names = [frontend.name for frontend in self._frontends]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two places are called {name!r}; give one another name")

    def __iter__(self) -> Iterator[StorageFrontend]:
        return iter(self._frontends)

    def place(self, name: str) -> tuple[StorageFrontend, str | None]:
        """Return the frontend called ``name``, or the one of ``frontend/backend`` and that backend.

        Raises:
            ConfigError: there is none.
        """
        places: dict[str, tuple[StorageFrontend, str | None]] = {
            f"{frontend.name}/{backend}": (frontend, backend)
            for frontend in self._frontends
            for backend in frontend.backends
        }
        places |= {frontend.name: (frontend, None) for frontend in self._frontends}
        if name not in places:
            told = [
                place
                for place, (frontend, backend) in places.items()
                if backend is None or len(frontend.backends) > 1
            ]
            raise ConfigError(f"this context has no place {name!r} {did_you_mean(name, told)}")
        return places[name]

    def find(self, key: DataKey, match: Match = STRICT) -> Found:
        """Return the best copy; see `find_all`.

        Raises:
            DataNotAvailable: no place has it; the message says what each answered.
            StorageError: no place could answer.
        """
        return next(self.find_all(key, match))

    def has(self, key: DataKey, match: Match = STRICT) -> bool:
        """Say whether there is a copy that serves; a place that cannot answer is logged.

        Raises:
            StorageError: no place could answer.
        """
        try:
            self.find(key, match)
        except DataNotAvailable:
            return False
        return True

    def find_all(self, key: DataKey, match: Match = STRICT) -> Iterator[Found]:
        """Iterate over all copies, best first; a place is asked when its turn comes.

        Complete copies of exactly this key come first, the nearest of them first; then, if `match`
        is fuzzy, those of other lineages, the newest first; last, if they may serve, those of
        exactly this key that are still being written.

        Raises:
            DataNotAvailable, StorageError: there is none; as `find`.
        """
        yield from SearchAll(key=key, match=match, frontends=self._frontends).all()

    def find_several(
        self, keys: Sequence[DataKey], match: Match = STRICT, *, check: bool = False
    ) -> Survey:
        """Ask each place which of these it has; see `StorageFrontend.find_several`.

        Raises:
            StorageError: no place could answer.
        """
        locations: dict[str, list[Location | None]] = {}
        problems: dict[str, str] = {}
        failure: Exception | None = None
        for frontend in self._frontends:
            try:
                locations[frontend.name] = frontend.find_several(keys, match, check=check)
            except Exception as error:  # noqa: BLE001 - the other places go on
                problems[frontend.name] = report(frontend, error)
                failure = failure or error
        if failure is not None and not locations:
            raise of_same_type(
                failure, f"no place could say what it has: {'; '.join(problems.values())}"
            )
        return Survey(locations=locations, problems=problems)

    def run_metadata(
        self, run_id: str, fields: str | Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Return the document about a run, from the first place that has one.

        Raises:
            RunMetadataNotAvailable: no place has one.
            StorageError: a place could not answer, and no other has one.
        """
        check_run_id(run_id)
        select_fields({}, fields)  # refuses what cannot be asked for, before any place is asked
        failure: Exception | None = None
        for frontend in self._frontends:
            try:
                return frontend.run_metadata(run_id, fields)
            except RunMetadataNotAvailable:
                continue
            except Exception as error:  # noqa: BLE001 - another place may have it
                report(frontend, error)
                failure = failure or error
        if failure is not None:
            raise of_same_type(failure, f"no document about run {run_id} could be read: {failure}")
        raise RunMetadataNotAvailable(f"no place of this context has a document about run {run_id}")

    def run_metadata_or_error(self, run_id: str) -> dict[str, Any]:
        """Return the document, {} if there is none.

        For values that change results: what cannot be read is an error, not "no values".

        Raises:
            StorageError: a frontend asked before a document was found could not answer.
        """
        for frontend in self._frontends:
            try:
                return frontend.run_metadata(run_id)
            except RunMetadataNotAvailable:
                continue
        return {}

    def write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document about a run in the first place that takes one.

        Raises:
            ReadOnlyError: no place does.
            StorageError: the first place that takes them could not write.
        """
        for frontend in self._frontends:
            try:
                frontend.write_run_metadata(run_id, document)
            except ReadOnlyError:
                continue
            except AccessDenied as error:
                report(frontend, error)
                continue
            return
        raise ReadOnlyError(f"no place of this context takes a document about run {run_id}")

    def scan_runs(self, fields: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over the documents of all runs, each run once: the nearest place's.

        A place that cannot answer is logged, and the others go on.

        Args:
            fields: only these of each, by their dotted names, and ``name``; None: all.
        """
        seen: set[str] = set()
        wanted = None if fields is None else (*fields, "name")
        for frontend in self._frontends:
            for document in _until_it_fails(frontend, frontend.scan_runs(wanted)):
                run_id = str(document.get("name"))
                if run_id not in seen:
                    seen.add(run_id)
                    yield dict(document)

    def select_runs(self, conditions: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Iterate over at least the documents that fulfil conditions (`RunDocuments._select_runs`).

        As `scan_runs` has it: also a nearer document hides a farther one that does not fulfil them.
        """
        seen: set[str] = set()
        gave_some: list[StorageFrontend] = []
        for frontend in self._frontends:
            selected = frontend.select_runs(conditions)
            documents = frontend.scan_runs() if selected is None else selected
            for document in _until_it_fails(frontend, documents):
                run_id = str(document.get("name"))
                if run_id not in seen and not any(_knows(each, run_id) for each in gave_some):
                    seen.add(run_id)
                    yield dict(document)
            if selected is not None:
                gave_some.append(frontend)


def _until_it_fails(
    frontend: StorageFrontend, documents: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    while True:
        try:
            document = next(documents)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - the other places go on
            report(frontend, error)
            return
        yield document


def _knows(frontend: StorageFrontend, run_id: str) -> bool:
    """Say whether a place has a document about a run."""
    try:
        frontend.run_metadata(run_id, ())
    except RunMetadataNotAvailable:
        return False
    except Exception as error:  # noqa: BLE001 - then nobody knows, and it hides nothing
        report(frontend, error)
        return False
    return True
