"""The part of a frontend that keeps documents about runs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from strax_core.arguments import names
from strax_core.errors import ReadOnlyError, RunMetadataNotAvailable
from strax_core.format import check_run_id, select_fields
from strax_core.tracing import TracedFrontend


class RunDocuments(TracedFrontend):
    """Keeps documents about runs; none, unless the methods to override are overridden."""

    name: str
    readonly: bool

    # To override

    def _run_metadata(self, run_id: str) -> Mapping[str, Any]:
        """Return the document about a run."""
        raise RunMetadataNotAvailable(f"{self.name}: {type(self).__name__} keeps no run documents")

    def _write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document about a run, replacing an older one in one step."""
        raise ReadOnlyError(f"{self.name}: {type(self).__name__} keeps no run documents")

    def _scan_runs(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over all documents about runs."""
        return iter(())

    def _scan_fields(self, fields: tuple[str, ...]) -> Iterator[Mapping[str, Any]] | None:
        """Iterate over some fields of all documents; None: core takes them out of whole ones.

        Args:
            fields: by what names each document gives what it has of them, as `select_fields` does.
        """
        return None

    def _select_runs(self, conditions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]] | None:
        """Iterate over documents of the runs that may fulfil conditions; None: core looks at all.

        Leave out only what certainly does not: core looks at what comes.

        Args:
            conditions: those that were given, of these: ``run_id``, ``run_mode``, ``include_tags``
                (tuples of patterns as in a shell, of which one must fit; for tags, with
                ``ignore_underscore``), ``time_range`` (ns since the Unix epoch, end exclusive),
                ``fields`` (values by the dotted names of fields).
        """
        return None

    # For contexts

    def run_metadata(
        self, run_id: str, fields: str | Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Return the document about a run, or the named fields of it (dots reach inside).

        Raises:
            RunMetadataNotAvailable: there is none here.
        """
        return select_fields(self._run_metadata(check_run_id(run_id)), fields)

    def write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document about a run: all or nothing, replacing an older one.

        Raises:
            ReadOnlyError: nothing may be written here.
        """
        if self.readonly:
            raise ReadOnlyError(f"{self.name} is read-only")
        self._write_run_metadata(check_run_id(run_id), document)

    def scan_runs(self, fields: str | Iterable[str] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over the documents of all runs, or the named fields of each."""
        asked = None if fields is None else names(fields, "fields")
        projected = None if asked is None else self._scan_fields(asked)
        for document in self._scan_runs() if projected is None else projected:
            yield select_fields(document, asked)

    def select_runs(self, conditions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]] | None:
        """Iterate over at least the documents that fulfil conditions; None: it cannot select."""
        return self._select_runs(conditions)
