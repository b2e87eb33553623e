"""Reads from outside what writers at work have noted so far: their tickets and journals."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from strax_core.errors import DataCorrupted, ObjectMissing
from strax_core.format import ChunkInfo, Staging, is_write_id
from strax_core.medium import Medium


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """One writer's ticket; what cannot be read of it is left out."""

    staging: Staging
    document: Mapping[str, Any]
    """Content of the ticket itself; {} if it cannot be read."""
    infos: tuple[ChunkInfo, ...]
    """The receipts in its journal, in no order."""
    last_beat_ns: int
    """Time of its newest file, by the place's clock; 0 if it has none."""
    has_chunks_inside: bool
    """True if its chunks lie inside it, and not yet in the final folder."""


def writings_of(medium: Medium, backend_key: str) -> list[Staging]:
    """Return where each writer of a piece of data has its ticket, be it at work or dead.

    Raises:
        StorageError: the place could not be read.
    """
    of_key = Staging(backend_key, "").of_key
    names = sorted(
        entry.name
        for entry in medium.list(of_key)
        if entry.is_folder and not entry.is_link and is_write_id(entry.name)
    )
    return [Staging(backend_key, name) for name in names]


def read_ticket(medium: Medium, staging: Staging) -> Ticket:
    """Read one ticket and its journal.

    Raises:
        StorageError: the place could not be read.
    """
    infos: list[ChunkInfo] = []
    last_beat_ns = 0
    has_chunks_inside = False
    for entry in sorted(medium.list(staging.folder), key=lambda entry: entry.name):
        if entry.is_folder:
            has_chunks_inside |= f"{staging.folder}/{entry.name}" == staging.data
            continue
        last_beat_ns = max(last_beat_ns, entry.modified_ns)
        if entry.name.startswith("journal-"):
            path = f"{staging.folder}/{entry.name}"
            infos += receipts_in(read_json(medium, path), place=f"{medium.place}/{path}")
    return Ticket(
        staging=staging,
        document=read_json(medium, staging.ticket),
        infos=tuple(infos),
        last_beat_ns=last_beat_ns,
        has_chunks_inside=has_chunks_inside,
    )


def receipts_in(document: Mapping[str, Any], *, place: str) -> Iterator[ChunkInfo]:
    """Iterate over the chunk entries of a document; those that make no sense are left out."""
    entries = document.get("chunks")
    for entry in entries if isinstance(entries, list) else ():
        try:
            yield ChunkInfo.from_json(entry, place=place)
        except DataCorrupted:
            continue


def read_json(medium: Medium, path: str) -> dict[str, Any]:
    """Read a JSON object; {} if it is gone, or is none."""
    try:
        document = json.loads(medium.read(path))
    except (ObjectMissing, ValueError, RecursionError):  # its writer has ended, or it is no ticket
        return {}
    return document if isinstance(document, dict) else {}
