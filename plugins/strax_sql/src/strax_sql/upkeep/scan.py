"""Scans the top of a backend, listed once, for pieces of data and documents about runs."""

from dataclasses import dataclass

from strax_core import DataKey, StorageBackend

_DOCUMENT_END = "-metadata.json"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Results of one listing."""

    pieces: list[str]
    """Names of folders that a piece of data may have, sorted."""
    runs: set[str]
    """Runs that have a document in a file."""


def scan(backend: StorageBackend) -> Scan:
    """List the top of a backend.

    Raises:
        StorageError: it could not be listed.
    """
    pieces: list[str] = []
    runs: set[str] = set()
    for entry in backend.list(""):
        if entry.is_folder:
            if DataKey.parse_name(entry.name):
                pieces.append(entry.name)
        elif entry.name.endswith(_DOCUMENT_END):
            run_id = entry.name.removesuffix(_DOCUMENT_END)
            if _can_be_run(run_id):
                runs.add(run_id)
    return Scan(pieces=sorted(pieces), runs=runs)


def _can_be_run(run_id: str) -> bool:
    return DataKey.parse_name(f"{run_id}-any-aaaaaaaaaa") is not None
