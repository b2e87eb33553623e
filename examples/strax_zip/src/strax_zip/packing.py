"""Makes an archive of a run, from wherever its data lie."""

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from strax_core import (
    Context,
    DataCorrupted,
    DataExistsError,
    DataKey,
    DataNotAvailable,
    DirectoryFrontend,
    MemoryBackend,
    Metadata,
    RunMetadataNotAvailable,
    StorageBackend,
    StorageFrontend,
    metadata_path,
)
from strax_zip.errors import storage_errors

_LOG = logging.getLogger("strax_zip")
Source = str | os.PathLike[str] | Mapping[str, object] | StorageFrontend
File = tuple[str, bytes]


def zip_run(source: Source, run_id: str, folder: str | Path, *, replace: bool = False) -> Path:
    """Pack all complete data of a run, and its document, into ``folder/<run_id>.zip``.

    The archive appears whole or not at all. What failed, or is still being written, is left out.

    Args:
        source: where the data lie: a path, or anything else that a `Context` takes as storage.
        run_id: the run.
        folder: where the archive goes; it is made if it is new.
        replace: replace an archive that is there already.

    Raises:
        DataExistsError: there is one, and it is not to be replaced.
        DataNotAvailable: the source has nothing complete of this run.
        StorageError: something could not be read or written; no archive is made then.
    """
    (frontend,) = Context(storage=[source]).storage
    document = _document(frontend, run_id)  # first, since it refuses what is no run id
    pieces = dict(_pieces(frontend, run_id))
    if not pieces:
        raise DataNotAvailable(f"{frontend.name} has no complete data of run {run_id}")
    target = Path(folder) / f"{run_id}.zip"
    if target.exists() and not replace:
        raise DataExistsError(f"{target} is there already; replace=True replaces it")
    temporary = target.with_name(f".{run_id}-{secrets.token_hex(8)}.part")
    with storage_errors(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                with ZipFile(file, "w", ZIP_STORED) as archive:
                    for name, data in [*document, *_files(pieces)]:
                        archive.writestr(name, data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def _document(frontend: StorageFrontend, run_id: str) -> list[File]:
    """Return the document about a run as a file, if there is one."""
    try:
        document = frontend.run_metadata(run_id)
    except RunMetadataNotAvailable:
        return []
    memory = MemoryBackend()
    DirectoryFrontend(memory).write_run_metadata(run_id, document)  # core knows its form
    return [(entry.name, memory.read(entry.name)) for entry in memory.list("")]


def _pieces(
    frontend: StorageFrontend, run_id: str
) -> Iterator[tuple[str, tuple[StorageBackend, Metadata]]]:
    """Iterate over what is complete: the name of a piece of data, where it is, what it is."""
    for backend in frontend.backends.values():
        for entry in backend.list("", starts_with=f"{run_id}-"):
            if entry.is_folder and DataKey.parse_name(entry.name) is not None:
                try:
                    metadata = backend.get_metadata(entry.name)
                    metadata.check_loadable()
                except (DataNotAvailable, DataCorrupted) as error:
                    _LOG.warning("left out: %s", error)
                else:
                    yield entry.name, (backend, metadata)


def _files(pieces: Mapping[str, tuple[StorageBackend, Metadata]]) -> Iterator[File]:
    """Iterate over just the files that the metadata name, and the metadata."""
    for name, (backend, metadata) in pieces.items():
        yield metadata_path(name), metadata.to_bytes()
        for info in metadata.chunks:
            if info.filename is not None:
                yield f"{name}/{info.filename}", backend.read(f"{name}/{info.filename}")
