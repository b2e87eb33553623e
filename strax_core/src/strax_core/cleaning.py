"""Removes what writers that died left behind. It judges tickets, never a chunk by its age."""

import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from strax_core.backend import StorageBackend
from strax_core.errors import (
    CleanedInPart,
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
    StorageUnavailable,
)
from strax_core.layout import FAILURE_NOTE_START, STAGING, Staging, prefix_of
from strax_core.medium import Entry, Medium
from strax_core.metadata import Metadata
from strax_core.renaming_saver import RenamingSaver
from strax_core.settling import named_files
from strax_core.tickets import read_json

_LOG = logging.getLogger("strax_core")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that no reader and no living writer needs."""

    path: str
    reason: str
    is_file: bool = field(default=False, compare=False)
    """Whether it is certainly no folder."""


def clean(backend: StorageBackend, *, grace_s: float, dry_run: bool = True) -> list[Leftover]:
    """Return what dead writers left; remove it unless `dry_run`.

    A writer is dead if it was silent for `grace_s`, by the place's own clock. A living one fences
    itself after half of its grace time; so `grace_s` must not be below that of any writer at work.

    Raises:
        ReadOnlyError: this backend cannot write, so no writer can have died here.
        CleanedInPart: what no listing shows could not be looked for; all else was done.
        StorageError: the place could not be read, or something could not be removed.
    """
    if backend.saver_class is None:
        raise ReadOnlyError(f"{backend.place}: {type(backend).__name__} cannot clean up")
    old_ns = now_ns(backend) - int(grace_s * 1e9)
    leftovers: list[Leftover] = []
    for entry in list(backend.list(STAGING)):
        path = f"{STAGING}/{entry.name}"
        if entry.is_folder:
            leftovers += _of_key(backend, entry.name, old_ns)
        elif entry.modified_ns <= old_ns:
            leftovers.append(Leftover(path, "a file that was never finished", is_file=True))
    if not dry_run:
        _remove_all(backend, leftovers)
        _drop_empty_folders(backend)
    try:
        for path in backend.drop_unfinished(before_ns=old_ns, dry_run=dry_run):
            leftovers.append(Leftover(path, backend.leftover_reason))
    except StorageError as error:
        raise CleanedInPart(
            f"{backend.place}: {'all else was looked for' if dry_run else 'all else was cleaned'}, "
            f"but not {backend.leftover_reason}, which no listing shows: {error}",
            leftovers,
        ) from error
    return leftovers


def _remove_all(backend: StorageBackend, leftovers: Iterable[Leftover]) -> None:
    """Remove them in this order: of each writer its ticket last."""
    for are_files, some in groupby(leftovers, key=lambda leftover: leftover.is_file):
        paths = [leftover.path for leftover in some]
        if are_files:
            backend.delete_files(paths)
        else:
            for path in paths:
                _remove(backend, path)


def _remove(backend: StorageBackend, path: str) -> None:
    """Delete, but move a writer's chunks away first.

    A writer frozen past its fence may still be about to rename them: then it finds nothing,
    instead of committing a folder that is being emptied.
    """
    saver_class = backend.saver_class
    if saver_class is not None and issubclass(saver_class, RenamingSaver):
        tomb = f"{STAGING}/dead-{secrets.token_hex(8)}"
        with suppress(ObjectMissing):
            backend.rename(f"{path}/data", tomb)
            backend.delete(tomb)
    backend.delete(path)


def now_ns(medium: Medium) -> int:
    """Ask for the time by the place's own clock: write a file and look when that was.

    Raises:
        StorageUnavailable: it is not there; another who cleans may have taken it for a leftover.
    """
    name = f"clock-{secrets.token_hex(8)}"
    medium.write(f"{STAGING}/{name}", [b""])
    try:
        for entry in medium.list(STAGING, starts_with=name):
            return entry.modified_ns
    finally:
        medium.delete(f"{STAGING}/{name}")
    raise StorageUnavailable(f"{medium.place}: what was just written is not listed; try it again")


def _drop_empty_folders(backend: StorageBackend) -> None:
    """Remove what a writer leaves that dies before its ticket is there.

    By deleting a file that is not there: a medium with folders then drops those that are empty,
    while deleting the folder itself could take the ticket of a writer that begins just now.
    """
    for entry in list(backend.list(STAGING)):
        path = f"{STAGING}/{entry.name}"
        if entry.is_folder and not any(True for _ in backend.list(path)):
            backend.delete(f"{path}/nothing")


def _of_key(backend: StorageBackend, key_name: str, old_ns: int) -> Iterator[Leftover]:
    folder = f"{STAGING}/{key_name}"
    for entry in list(backend.list(folder)):
        path = f"{folder}/{entry.name}"
        if not entry.is_folder:
            if entry.modified_ns <= old_ns:
                is_note = entry.name.startswith(FAILURE_NOTE_START)
                yield Leftover(
                    path, "a note of a failed save" if is_note else "a stray file", is_file=True
                )
        elif _last_beat_ns(backend, path, entry) <= old_ns:
            yield from _of_writer(backend, Staging(key_name, entry.name))


def _last_beat_ns(medium: Medium, folder: str, entry: Entry) -> int:
    times = [below.modified_ns for below in medium.list(folder) if not below.is_folder]
    return max(times, default=entry.modified_ns)


def _of_writer(backend: StorageBackend, staging: Staging) -> Iterator[Leftover]:
    """What one dead writer left, its ticket last."""
    backend_key = str(read_json(backend, staging.ticket).get("backend_key", staging.backend_key))
    if _is_foreign(staging, backend_key):
        yield Leftover(staging.folder, "nothing that a writer made")
        return
    try:
        metadata = _complete_metadata(backend, backend_key)
    except NewerFormat as error:
        # In a newer format: whose files those are, only a newer version can tell.
        _LOG.warning("%s/%s is left alone: %s", backend.place, staging.folder, error)
        return
    has_committed = metadata is not None and metadata.write_id == staging.write_id
    if metadata is not None:
        # Also if it has not committed: it may have, and been replaced itself before it could
        # delete.
        in_use = set(named_files(metadata))
        in_use |= {name.partition("/")[0] for name in in_use}
        yield from _replaced(backend, backend_key, staging, in_use)
    if not has_committed:
        for entry in backend.list(backend_key):
            is_chunk = entry.name.startswith(
                prefix_of(backend_key)
            ) and staging.write_id in entry.name.split("-")
            if is_chunk or (entry.is_folder and entry.name == staging.write_id):
                yield Leftover(
                    f"{backend_key}/{entry.name}",
                    "of a writer that never committed",
                    is_file=not entry.is_folder,
                )
    yield Leftover(
        staging.folder,
        "the ticket of a writer that committed"
        if has_committed
        else "a writer that never committed",
    )


def _is_foreign(staging: Staging, backend_key: str) -> bool:
    """Say whether this is no writer's folder, or its ticket points at other data."""
    return (
        re.fullmatch("[0-9a-f]{16}", staging.write_id) is None
        or backend_key.rsplit("/", 1)[-1] != staging.backend_key
    )


def _complete_metadata(backend: StorageBackend, backend_key: str) -> Metadata | None:
    try:
        metadata = backend.get_metadata(backend_key)
    except (DataNotAvailable, DataCorrupted):
        return None
    return metadata if metadata.is_complete else None


def _replaced(
    backend: StorageBackend, backend_key: str, staging: Staging, in_use: set[str]
) -> Iterator[Leftover]:
    """What the data named that this writer replaced, or was about to."""
    named = read_json(backend, staging.replaced).get("files")
    names = [
        name
        for name in (named if isinstance(named, list) else ())
        if isinstance(name, str) and not name.endswith("metadata.json") and name not in in_use
    ]
    there = _files_below(backend, backend_key, {name.partition("/")[0] for name in names})
    for name in names:
        if name in there:
            path = f"{backend_key}/{name}"
            yield Leftover(path, "a file of data that were replaced", is_file=True)


def _files_below(backend: StorageBackend, folder: str, wanted: set[str]) -> set[str]:
    """Return which of the wanted files are there, and all files of the wanted sub-folders.

    By one listing of each folder, however many files there are.
    """
    if not wanted:
        return set()
    files: set[str] = set()
    for entry in list(backend.list(folder)):
        if entry.name in wanted and entry.is_folder:
            below = backend.list(f"{folder}/{entry.name}")
            files |= {f"{entry.name}/{each.name}" for each in below if not each.is_folder}
        elif entry.name in wanted:
            files.add(entry.name)
    return files
