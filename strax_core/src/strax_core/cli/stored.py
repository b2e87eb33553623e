"""Lists the contents of a place: pieces of data, writers at work, notes of failed saves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from strax_core.backend import StorageBackend
from strax_core.errors import DataNotAvailable, StorageError
from strax_core.format import TEMPORARY, Metadata, run_id_of_document
from strax_core.places import stored_bytes
from strax_core.saver import FailureNote, Writer, failure_notes, keys_in_staging, writers_at_work


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
    writers = writers_of(backend)
    failures = [
        note for key_name in keys_in_staging(backend) for note in failure_notes(backend, key_name)
    ]
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


def writers_of(backend: StorageBackend) -> list[Writer]:
    """Read the tickets in the staging place, and what their journals say so far."""
    return [
        writer
        for key_name in keys_in_staging(backend)
        for writer in writers_at_work(backend, key_name)
    ]


def _stored(backend: StorageBackend, folder: str, *, is_written: bool) -> Iterator[Stored]:
    run_id, data_type, lineage_hash = folder.split("-")
    piece = Stored(
        folder=folder,
        run_id=run_id,
        data_type=data_type,
        lineage_hash=lineage_hash.removesuffix(TEMPORARY),
        state="unreadable",
    )
    if folder.endswith(TEMPORARY):
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
    if not metadata.is_complete:
        state = "unfinished" if metadata.exception is None else "failed"
        return replace(known, state=state, reason=metadata.why_incomplete)
    infos = metadata.chunks
    return replace(
        known,
        state="complete",
        rows=sum(info.n for info in infos),
        chunks=len(infos),
        nbytes=sum(info.nbytes for info in infos),
        stored_bytes=stored_bytes(backend, piece.folder, metadata),
    )
