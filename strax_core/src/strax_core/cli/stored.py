"""What lies in a place: pieces of data, writers at work, notes of failed saves."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from strax_core.backend import StorageBackend
from strax_core.chunk_info import ChunkInfo
from strax_core.errors import DataCorrupted, DataNotAvailable, ObjectMissing, StorageError
from strax_core.layout import FAILURE_NOTE_START, STAGING
from strax_core.metadata import Metadata
from strax_core.runs import run_id_of_document

_TEMPORARY = "_temp"  # the end of a folder's name while strax writes it


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One folder of data; sizes are None where they cannot be known."""

    folder: str
    run_id: str
    data_type: str
    lineage_hash: str
    state: str  # complete, failed, unfinished, unreadable
    reason: str = ""
    rows: int | None = None
    chunks: int | None = None
    stored_bytes: int | None = None
    nbytes: int | None = None  # of the rows, uncompressed
    codec: str = ""
    write_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A ticket in the staging place: someone writes this, or died."""

    folder: str
    write_id: str
    run_id: str
    data_type: str
    host: str
    pid: int | None
    chunks: int
    rows: int
    stored_bytes: int
    nbytes: int
    silent_s: float


@dataclass(frozen=True, kw_only=True)
class FailureNote:
    """Why a save failed; the next success of the same data removes it."""

    folder: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that lies in one backend."""

    stored: list[Stored]
    writers: list[Writer]
    failures: list[FailureNote]
    run_documents: list[str]


def contents(backend: StorageBackend) -> Contents:
    """List a backend: one listing, and the metadata of each piece of data.

    Raises:
        StorageError: the place itself could not be listed.
    """
    writers, failures = list(writers_of(backend)), list(_failure_notes(backend))
    writing = {writer.folder for writer in writers}
    stored: list[Stored] = []
    runs: list[str] = []
    for entry in sorted(backend.list(""), key=lambda entry: entry.name):
        if not entry.is_folder:
            run_id = run_id_of_document(entry.name)
            runs += [] if run_id is None else [run_id]
        elif entry.name.count("-") == 2 and not entry.name.startswith("."):  # noqa: PLR2004 - run-type-hash
            stored += _stored(backend, entry.name, is_written=entry.name in writing)
    return Contents(stored=stored, writers=writers, failures=failures, run_documents=runs)


def writers_of(backend: StorageBackend) -> Iterator[Writer]:
    """Read the tickets in the staging place, and what their journals say so far."""
    for key_name in _folders(backend, STAGING):
        for write_id in _folders(backend, f"{STAGING}/{key_name}"):
            yield _writer(backend, key_name, write_id)


def _stored(backend: StorageBackend, folder: str, *, is_written: bool) -> Iterator[Stored]:
    run_id, data_type, lineage_hash = folder.split("-")
    piece = Stored(
        folder=folder,
        run_id=run_id,
        data_type=data_type,
        lineage_hash=lineage_hash.removesuffix(_TEMPORARY),
        state="unreadable",
    )
    if folder.endswith(_TEMPORARY):
        why = "strax writes it, or died while it did"
        yield replace(piece, state="unfinished", reason=why)
        return
    try:
        yield _described(backend, piece, backend.get_metadata(folder))
    except DataNotAvailable:
        if not is_written:  # some places show the chunks of a writer before it commits
            yield replace(piece, reason="it has no metadata")
    except StorageError as error:
        yield replace(piece, reason=str(error))


def _described(backend: StorageBackend, piece: Stored, metadata: Metadata) -> Stored:
    known = replace(piece, codec=metadata.compressor, write_id=metadata.write_id)
    if metadata.exception is not None:
        return replace(known, state="failed", reason=_last_line(metadata.exception))
    if not metadata.is_complete:
        return replace(known, state="unfinished", reason="its writing has not ended")
    infos = metadata.chunks
    sizes = [info.filesize for info in infos if info.filename is not None]
    filesizes = [size for size in sizes if size is not None]
    if len(filesizes) < len(sizes):  # strax leaves sizes out where other processes wrote
        wanted = {info.filename for info in infos}
        files = backend.list(piece.folder)
        filesizes = [entry.size_bytes for entry in files if entry.name in wanted]
    return replace(
        known,
        state="complete",
        rows=sum(info.n for info in infos),
        chunks=len(infos),
        nbytes=sum(info.nbytes for info in infos),
        stored_bytes=sum(filesizes),
    )


def _writer(backend: StorageBackend, key_name: str, write_id: str) -> Writer:
    folder = f"{STAGING}/{key_name}/{write_id}"
    infos: list[ChunkInfo] = []
    last_beat_ns = 0
    for entry in list(backend.list(folder)):
        if entry.is_folder:
            continue
        last_beat_ns = max(last_beat_ns, entry.modified_ns)
        if entry.name.startswith("journal-"):
            path = f"{folder}/{entry.name}"
            infos += _receipts(_read_json(backend, path), place=f"{backend.place}/{path}")
    ticket = _read_json(backend, f"{folder}/ticket.json")
    host = ticket.get("writer")
    host = host if isinstance(host, dict) else {}
    return Writer(
        folder=str(ticket.get("backend_key", key_name)),
        write_id=write_id,
        run_id=str(ticket.get("run_id", "?")),
        data_type=str(ticket.get("data_type", "?")),
        host=str(host.get("host", "?")),
        pid=host.get("pid"),
        chunks=len(infos),
        rows=sum(info.n for info in infos),
        stored_bytes=sum(info.filesize or 0 for info in infos),
        nbytes=sum(info.nbytes for info in infos),
        silent_s=max(0.0, time.time() - last_beat_ns / 1e9) if last_beat_ns else 0.0,
    )


def _receipts(segment: Mapping[str, Any], *, place: str) -> Iterator[ChunkInfo]:
    entries = segment.get("chunks")
    for entry in entries if isinstance(entries, list) else ():
        try:
            yield ChunkInfo.from_json(entry, place=place)
        except DataCorrupted:
            continue


def _failure_notes(backend: StorageBackend) -> Iterator[FailureNote]:
    for key_name in _folders(backend, STAGING):
        for entry in list(backend.list(f"{STAGING}/{key_name}", starts_with=FAILURE_NOTE_START)):
            note = _read_json(backend, f"{STAGING}/{key_name}/{entry.name}")
            reason = str(note.get("reason") or "the note cannot be read")
            yield FailureNote(folder=key_name, reason=reason)


def _folders(backend: StorageBackend, path: str) -> list[str]:
    return sorted(entry.name for entry in backend.list(path) if entry.is_folder)


def _read_json(backend: StorageBackend, path: str) -> dict[str, Any]:
    try:
        document = json.loads(backend.read(path))
    except (ObjectMissing, ValueError):  # its writer has just ended, or it is no ticket
        return {}
    return document if isinstance(document, dict) else {}


def _last_line(text: str | None) -> str:
    return (text or "").strip().rpartition("\n")[2]
