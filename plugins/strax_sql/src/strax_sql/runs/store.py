"""Documents about runs: kept in the database, and as files beside the data."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from strax_core import (
    Check,
    DataCorrupted,
    DirectoryFrontend,
    RunMetadataNotAvailable,
    StorageBackend,
    StorageError,
    decode_run_document,
    encode_run_document,
)
from strax_sql.database import Database
from strax_sql.runs import documents
from strax_sql.runs.filter import conditions_of

_NOT_ENTERED = "its document lies there, and is not entered"
_NOT_FILED = "its document is entered, and has no file"
_LOG = logging.getLogger("strax_core")


class RunStore:
    """Keeps documents about runs.

    - The database is what counts; the file ``<run>-metadata.json`` is there for a rebuild.
    - A file that cannot be written is logged, and is no error: `strax catalog check` tells of it.

    Args:
        database: with the tables of the catalogue.
        place: what errors call it.
        mirror: the backend that gets the files; None: no files.
    """

    def __init__(self, database: Database, *, place: str, mirror: StorageBackend | None) -> None:
        self._database = database
        self._place = place
        self._mirror = None if mirror is None else DirectoryFrontend(mirror)

    def read(self, run_id: str) -> Mapping[str, Any]:
        """Return a document.

        Raises:
            RunMetadataNotAvailable: there is none.
        """
        text = self._database.read(lambda connection: documents.text_of(connection, run_id))
        if text is None:
            raise RunMetadataNotAvailable(f"{self._place} has no document about run {run_id}")
        return decode_run_document(text.encode(), f"{self._place}, run {run_id}")

    def write(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document, replacing an older one in one step."""
        self._enter(run_id, document)
        if self._mirror is None:
            return
        try:
            self._mirror.write_run_metadata(run_id, document)
        except StorageError as error:
            _LOG.warning("%s keeps no file about run %s: %s", self._mirror.name, run_id, error)

    def scan(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over all documents, in the order of their names."""
        return self._decoded(())

    def scan_fields(self, fields: Sequence[str]) -> Iterator[Mapping[str, Any]] | None:
        """Iterate over some fields of all documents; None if the database cannot take them out."""
        if any(letter in field for field in fields for letter in '"\\'):
            return None
        return self._decoded_fields(fields)

    def _decoded_fields(self, fields: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for run_id, found, whole in documents.fields_pages(self._database, fields):
            place = f"{self._place}, run {run_id}"
            try:
                if whole is not None:
                    yield decode_run_document(whole.encode(), place)
                    continue
                # Under names that are none of the documents' own, which may look like a date.
                values = ",".join(f'"field {i}":{text}' for i, text in enumerate(found.values()))
                decoded = decode_run_document(f"{{{values}}}".encode(), place)
                yield dict(zip(found, decoded.values(), strict=True))
            except DataCorrupted as error:
                _LOG.warning("a document about a run is left out: %s", error)

    def select(self, given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]] | None:
        """Iterate over those that may fulfil conditions; None if the database cannot tell."""
        is_postgresql = not self._database.options.is_sqlite
        conditions = list(conditions_of(given, is_postgresql=is_postgresql))
        return self._decoded(conditions) if conditions else None

    def _decoded(self, conditions: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
        for run_id, text in documents.pages(self._database, conditions):
            try:
                yield decode_run_document(text.encode(), f"{self._place}, run {run_id}")
            except DataCorrupted as error:
                _LOG.warning("a document about a run is left out: %s", error)

    def compare(
        self,
        backends: Mapping[str, StorageBackend],
        filed: Mapping[str, set[str]],
        *,
        is_new: bool,
        dry_run: bool,
    ) -> Iterator[Check]:
        """Iterate over documents that only the database has, or only a backend; and mend that.

        Args:
            backends: all that may hold files, nearest first: the first that has one counts.
            filed: which runs have files, by backend; those that could not be listed are missing.
            is_new: there is no database yet.
            dry_run: only tell.
        """
        known = set() if is_new else documents.run_ids(self._database)
        mirrored: set[str] | None = None
        for name, runs in filed.items():
            files = DirectoryFrontend(backends[name], name=name)
            if self._mirror is not None and self._mirror.backends["main"] is backends[name]:
                mirrored = runs
            for run_id in sorted(runs - known):
                text = self._taken_over(files, run_id, dry_run=dry_run)
                known |= set() if text else {run_id}
                yield Check(f"{name}/{run_id}", is_good=False, text=text or _NOT_ENTERED)
        if self._mirror is not None and mirrored is not None:
            for run_id in sorted(known - mirrored):
                text = _NOT_FILED
                if not is_new:
                    text = self._filed(self._mirror, run_id, dry_run=dry_run)
                if text:
                    yield Check(f"{self._place}/{run_id}", is_good=False, text=text)

    def _taken_over(self, files: DirectoryFrontend, run_id: str, *, dry_run: bool) -> str:
        """Enter a document that lies in a file; return why not, or an empty text."""
        try:
            document = files.run_metadata(run_id)
            if not dry_run:
                self._enter(run_id, document, only_if_new=True)
        except StorageError as error:
            return f"its document cannot be taken over: {error}"
        return ""

    def _filed(self, mirror: DirectoryFrontend, run_id: str, *, dry_run: bool) -> str:
        """Write the file of a document if it has none; return what to tell, or an empty text."""
        try:
            with suppress(RunMetadataNotAvailable):
                mirror.run_metadata(run_id)  # perhaps it was written since the listing
                return ""
            document = self.read(run_id)
            if not dry_run:
                mirror.write_run_metadata(run_id, document)
        except StorageError as error:
            return f"its document has no file: {error}"
        return _NOT_FILED

    def _enter(
        self, run_id: str, document: Mapping[str, Any], *, only_if_new: bool = False
    ) -> None:
        text = encode_run_document(document, run_id).decode()
        self._database.write(
            lambda connection: documents.write(connection, run_id, text, only_if_new=only_if_new)
        )
