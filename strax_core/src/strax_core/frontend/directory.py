"""A frontend that needs no database: each piece of data lies in the folder of its name."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from strax_core.backend import StorageBackend
from strax_core.errors import (
    DataCorrupted,
    ObjectMissing,
    ReadOnlyError,
    RunMetadataNotAvailable,
)
from strax_core.format import (
    STAGING,
    TEMPORARY,
    DataKey,
    decode_run_document,
    encode_run_document,
    run_document_name,
    run_id_of_document,
)
from strax_core.frontend.frontend import StorageFrontend
from strax_core.frontend.location import Location, State
from strax_core.frontend.match import Match

_LOG = logging.getLogger("strax_core")


class DirectoryFrontend(StorageFrontend):
    """Finds data by name in one backend, of any kind; only a fuzzy match asks for a listing.

    Args:
        backend: where the data lie.
        options: those of every `StorageFrontend`.
    """

    def __init__(self, backend: StorageBackend, **options: Any) -> None:
        super().__init__({"main": backend}, **options)
        self._backend = backend

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
        exact = _at(key.name)
        if not match.is_fuzzy:
            return [exact]
        candidates = self._folders("", starts_with=f"{key.run_id}-{key.data_type}-")
        return [exact, *self._made_otherwise(key, sorted(candidates))]

    def _find_several(self, keys: Sequence[DataKey], match: Match) -> Iterator[Sequence[Location]]:
        """Go by name, after one listing of the place and one of who writes there."""
        folders, writing = self._folders(""), self._folders(STAGING)
        of_what: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in sorted(folders) if match.is_fuzzy else ():
            if parts := self._parts_of(name):
                of_what[parts[:2]].append(name)
        for key in keys:
            name = key.name
            # Some places show the chunks of a writer before it commits: there a name is no proof.
            told = [_at(name, listed=name not in writing)] if name in folders else []
            if match.allow_incomplete and (name in writing or f"{name}{TEMPORARY}" in folders):
                told.append(_at(name, state=State.WRITING))
            if of_what:
                others = of_what.get((key.run_id, key.data_type), ())
                told += [_at(other) for other in others if other != name]
            yield told

    def _made_otherwise(self, key: DataKey, names: Iterable[str]) -> Iterator[Location]:
        """Iterate over folders of the same run and data type, which may have another lineage."""
        for name in names:
            parts = self._parts_of(name)
            if name != key.name and parts and parts[:2] == (key.run_id, key.data_type):
                yield _at(name)

    def _parts_of(self, name: str) -> tuple[str, str, str] | None:
        """Take the name of a folder apart; None if it cannot be data.

        As for strax, what strax did not come to rename may be: if its metadata say that the writing
        ended, all of it is there.
        """
        if self._backend.may_hold_strax_folders:
            name = name.removesuffix(TEMPORARY)
        return DataKey.parse_name(name)

    def _folders(self, folder: str, *, starts_with: str = "") -> set[str]:
        return set(self._backend.folder_names(folder, starts_with=starts_with))

    def _targets(self, key: DataKey) -> Sequence[Location]:
        return [_at(key.name)]

    def _run_metadata(self, run_id: str) -> Mapping[str, Any]:
        name = run_document_name(run_id)
        try:
            raw = self._backend.read(name)
        except ObjectMissing as error:
            raise RunMetadataNotAvailable(
                f"{self.name} has no document about run {run_id}"
            ) from error
        return decode_run_document(raw, f"{self._backend.place}/{name}")

    def _write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        if self._backend.readonly:
            kind = type(self._backend).__name__
            raise ReadOnlyError(f"{self._backend.place}: {kind} cannot write")
        self._backend.write(run_document_name(run_id), [encode_run_document(document, run_id)])

    def _scan_runs(self) -> Iterator[Mapping[str, Any]]:
        for entry in self._backend.list(""):
            run_id = None if entry.is_folder else run_id_of_document(entry.name)
            if run_id is not None:
                try:
                    yield self._run_metadata(run_id)
                except RunMetadataNotAvailable:
                    continue  # removed since it was listed
                except DataCorrupted as error:
                    _LOG.warning("a document about a run is left out: %s", error)


def _at(name: str, **what: Any) -> Location:
    return Location(backend="main", backend_key=name, **what)
