"""The frontends of a context, asked in order; one bad place does not spoil the others."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strax_core.errors import (
    AccessDenied,
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageError,
    StorageUnavailable,
)
from strax_core.frontend import Location, StorageFrontend
from strax_core.keys import DataKey, check_run_id
from strax_core.loader import Loader
from strax_core.metadata import Metadata
from strax_core.runs import select_fields
from strax_core.suggestions import did_you_mean

_LOG = logging.getLogger("strax_core")


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a piece of data was found."""

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

    def loader(self) -> Loader:
        """Return what loads it; metadata are not read again."""
        return self.frontend.loader_at(self.location)

    def report_failure(self, error: BaseException) -> None:
        """Tell the frontend, and the log, that loading it failed."""
        self.frontend.report_failure(self.key, self.location, error)

    def __repr__(self) -> str:
        return f"<Found {self.key} in {self.place}>"


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

    def named(self, name: str) -> StorageFrontend:
        """Return the frontend of this name; `ConfigError` if there is none."""
        for frontend in self._frontends:
            if frontend.name == name:
                return frontend
        names = [frontend.name for frontend in self._frontends]
        raise ConfigError(f"this context has no place {name!r} {did_you_mean(name, names)}")

    def find(self, key: DataKey) -> Found:
        """Return the nearest complete copy.

        Raises:
            DataNotAvailable: no place has it; the message says what each answered.
            StorageError: no place could answer.
        """
        return next(self.find_all(key))

    def has(self, key: DataKey) -> bool:
        """Say whether there is a complete copy; a place that cannot answer is logged.

        Raises:
            StorageError: no place could answer.
        """
        try:
            self.find(key)
        except DataNotAvailable:
            return False
        return True

    def find_all(self, key: DataKey) -> Iterator[Found]:
        """Iterate over all copies, nearest first; a place is asked when its turn comes.

        Raises:
            DataNotAvailable, StorageError: there is none; as `find`.
        """
        problems: list[str] = []
        reasons: list[str] = []
        failure: Exception | None = None
        n_found = n_answers = 0
        for frontend in self._frontends:
            copies = frontend.find_all(key)
            while True:
                try:
                    location = next(copies)
                except StopIteration:
                    break
                except DataNotAvailable as error:
                    reasons.append(str(error))
                    n_answers += frontend.wants(key.data_type)
                    break
                except Exception as error:  # noqa: BLE001 - also what a storage plugin left untranslated
                    problems.append(_report(frontend, error))
                    # What cannot be used may be made again; what gives no answer may well be there.
                    n_answers += isinstance(error, DataCorrupted | NewerFormat)
                    failure = failure or error
                    break
                n_found += 1
                yield _found(key, frontend, location, problems)
        if n_found:
            return
        answers = "; ".join(problems + reasons) or "it has none"
        if failure is not None and not n_answers:
            raise _of_same_type(failure, f"no place could say whether it has {key}: {answers}")
        raise DataNotAvailable(f"{key} is not stored in any place of this context: {answers}")

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
                _report(frontend, error)
                failure = failure or error
        if failure is not None:
            raise _of_same_type(failure, f"no document about run {run_id} could be read: {failure}")
        raise RunMetadataNotAvailable(f"no place of this context has a document about run {run_id}")

    def run_metadata_or_error(self, run_id: str) -> dict[str, Any]:
        """Return the document, {} if there is none; raise if a place before cannot answer.

        For values that change results: what cannot be read is an error, not "no values".
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
        """
        for frontend in self._frontends:
            try:
                frontend.write_run_metadata(run_id, document)
            except ReadOnlyError:
                continue
            except AccessDenied as error:
                _report(frontend, error)
                continue
            return
        raise ReadOnlyError(f"no place of this context takes a document about run {run_id}")

    def scan_runs(self) -> Iterator[dict[str, Any]]:
        """Iterate over the documents of all runs, each run once: the nearest place's."""
        seen: set[str] = set()
        for frontend in self._frontends:
            documents = frontend.scan_runs()
            while True:
                try:
                    document = next(documents)
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 - the other places go on
                    _report(frontend, error)
                    break
                run_id = str(document.get("name"))
                if run_id not in seen:
                    seen.add(run_id)
                    yield document


def _found(
    key: DataKey, frontend: StorageFrontend, location: Location, problems: Iterable[str]
) -> Found:
    return Found(
        key=key,
        frontend=frontend,
        location=location,
        metadata=frontend.loader_at(location).metadata
        if location.metadata is None
        else location.metadata,
        problems=tuple(problems),
    )


def _report(frontend: StorageFrontend, error: BaseException) -> str:
    text = f"{frontend.name} could not answer: {str(error) or type(error).__name__}"
    _LOG.warning("%s", text)
    return text


def _of_same_type(error: Exception, message: str) -> StorageError:
    """Return a new error of a kind that callers know, with the old one as its cause."""
    new = type(error)(message) if isinstance(error, StorageError) else StorageUnavailable(message)
    new.__cause__ = error
    return new
