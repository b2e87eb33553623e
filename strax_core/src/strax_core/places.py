"""The frontends of a context, asked in order; one bad place does not spoil the others."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from strax_core.errors import (
    ConfigError,
    DataNotAvailable,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageError,
)
from strax_core.frontend import Location, StorageFrontend
from strax_core.keys import DataKey
from strax_core.loader import Loader
from strax_core.metadata import Metadata
from strax_core.suggestions import did_you_mean

_LOG = logging.getLogger("strax_core")
Answer = TypeVar("Answer")


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
        backend = self.frontend.backends[self.location.backend]
        return backend.loader(self.location.backend_key, metadata=self.metadata)

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
        """
        problems: list[str] = []
        reasons: list[str] = []
        for frontend in self._frontends:
            try:
                location = frontend.find(key)
            except DataNotAvailable as error:
                reasons.append(str(error))
                continue
            except Exception as error:  # noqa: BLE001 - also what a storage plugin forgot to translate
                problems.append(_report(frontend, error))
                continue
            if location.metadata is not None:
                return Found(
                    key=key,
                    frontend=frontend,
                    location=location,
                    metadata=location.metadata,
                    problems=tuple(problems),
                )
        raise DataNotAvailable(
            f"{key} is not stored in any place of this context: "
            + ("; ".join(problems + reasons) or "it has none")
        )

    def run_metadata(
        self, run_id: str, fields: str | Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Return the document about a run, from the first place that has one.

        Raises:
            RunMetadataNotAvailable: no place has one.
            StorageError: a place could not answer, and no other has one.
        """
        return self._first(
            lambda frontend: frontend.run_metadata(run_id, fields),
            RunMetadataNotAvailable,
            f"no place of this context has a document about run {run_id}",
        )

    def run_metadata_or_error(self, run_id: str, field: str) -> dict[str, Any]:
        """Return a field as `run_metadata`, but raise if a place before could not answer.

        For values that change results: what cannot be read is an error, not "no values".
        """
        for frontend in self._frontends:
            try:
                return frontend.run_metadata(run_id, field)
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
            return
        raise ReadOnlyError(f"no place of this context takes a document about run {run_id}")

    def _first(
        self, ask: Callable[[StorageFrontend], Answer], absent: type[StorageError], otherwise: str
    ) -> Answer:
        failure: StorageError | None = None
        for frontend in self._frontends:
            try:
                return ask(frontend)
            except absent:
                continue
            except StorageError as error:
                _report(frontend, error)
                failure = failure or error
        if failure is not None:
            raise failure
        raise absent(otherwise)


def _report(frontend: StorageFrontend, error: BaseException) -> str:
    text = f"{frontend.name} could not answer: {error or type(error).__name__}"
    _LOG.warning("%s", text)
    return text
