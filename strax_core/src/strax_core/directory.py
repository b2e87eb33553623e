"""A frontend that needs no database: each piece of data lies in the folder of its name."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from strax_core.backend import StorageBackend
from strax_core.errors import (
    DataCorrupted,
    ObjectMissing,
    ReadOnlyError,
    RunMetadataNotAvailable,
)
from strax_core.frontend import Location, StorageFrontend
from strax_core.keys import DataKey
from strax_core.matching import Match
from strax_core.runs import (
    decode_run_document,
    encode_run_document,
    run_document_name,
    run_id_of_document,
)

_LOG = logging.getLogger("strax_core")


class DirectoryFrontend(StorageFrontend):
    """Finds data by name in one backend, of any kind; strict finding asks for no listing.

    Args:
        backend: where the data lie.
        options: those of every `StorageFrontend`.
    """

    def __init__(self, backend: StorageBackend, **options: Any) -> None:
        super().__init__({"main": backend}, **options)
        self._backend = backend

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:  # noqa: ARG002 - strict needs no match
        return [Location(backend="main", backend_key=key.name)]

    def _reserve(self, key: DataKey) -> Sequence[Location]:
        return [Location(backend="main", backend_key=key.name)]

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
        if self._backend.saver_class is None:
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
