"""Removes what writers that died left behind. It judges tickets, never a chunk by its age.

What goes is what a ticket proves that a writer made, or has a name that only we make; and nothing
behind a link. All else stays, and is told.
"""

import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

from strax_core.backend.backend import StorageBackend
from strax_core.backend.leftovers import (
    Leftover,
    foreign_in_chunks,
    is_path,
    left,
    link_to,
    of_silent_writer,
)
from strax_core.errors import (
    AccessDenied,
    CleanedInPart,
    ConfigError,
    DataCorrupted,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
    StorageUnavailable,
)
from strax_core.format import (
    STAGING,
    Staging,
    is_failure_note,
    is_of_trial,
    is_scratch_file,
    is_trial,
    is_write_id,
)
from strax_core.medium import Entry, Medium
from strax_core.saver import RenamingSaver, is_chunk_folder, is_plain_folder, remove_writer

_LOG = logging.getLogger("strax_core")


def clean(backend: StorageBackend, *, grace_s: float, dry_run: bool = True) -> list[Leftover]:
    """Return what dead writers left; remove it unless `dry_run`.

    A writer is dead if it was silent for `grace_s`, by the place's own clock. A living one fences
    itself after half of its grace time; so `grace_s` must not be below that of any writer at work.

    Raises:
        ReadOnlyError: this backend cannot write, so no writer can have died here.
        CleanedInPart: what no listing shows could not be looked for; all else was done.
        StorageError: the place could not be read, or something could not be removed.
    """
    if backend.readonly:
        raise ReadOnlyError(f"{backend.place}: {type(backend).__name__} cannot clean up")
    target = backend.link_target(STAGING)
    if target is not None:
        return [Leftover(STAGING, link_to(target), stays=True)]
    old_ns = now_ns(backend) - int(grace_s * 1e9)
    leftovers = list(_in_staging(backend, old_ns))
    if not dry_run:
        leftovers = _removed(backend, leftovers)
        _drop_empty_folders(backend)
    try:
        for path in backend.drop_stale(before_ns=old_ns, dry_run=dry_run):
            leftovers.append(Leftover(path, backend.stale_reason))
    except StorageError as error:
        raise CleanedInPart(
            f"{backend.place}: {'all else was looked for' if dry_run else 'all else was cleaned'}, "
            f"but not {backend.stale_reason}, which no listing shows: {error}",
            leftovers,
        ) from error
    return leftovers


def _removed(backend: StorageBackend, leftovers: list[Leftover]) -> list[Leftover]:
    """Remove what may go, in this order: of each writer its ticket last; return what became of it.

    What cannot be removed stays, and does not keep the rest.
    """
    ends: list[Leftover] = []
    for (is_file, stays), some in groupby(leftovers, key=lambda each: (each.is_file, each.stays)):
        several = list(some)
        if not stays and is_file:
            with suppress(AccessDenied, DataCorrupted):
                backend.delete_files([each.path for each in several])
                ends += several
                continue
        ends += several if stays else [_removed_one(backend, each) for each in several]
    return ends


def _removed_one(backend: StorageBackend, leftover: Leftover) -> Leftover:
    try:
        if leftover.is_file:
            backend.delete_files([leftover.path])
        else:
            _remove_folder(backend, leftover.path)
    except (AccessDenied, DataCorrupted) as error:
        return replace(leftover, reason=f"it cannot be removed: {error}", stays=True)
    return leftover


def _remove_folder(backend: StorageBackend, path: str) -> None:
    """Remove a writer's folder, or one in which something was tried.

    Just what is ours in it: anybody may have put something there since it was looked at.
    """
    parts = path.split("/")
    if len(parts) == len(("staging", "key", "write_id")):
        _remove_dead_writer(backend, Staging(parts[1], parts[2]))
        return
    for below in ("here", "there", "new", "a", "b"):
        backend.delete_files([f"{path}/{below}/file"])
        backend.drop_empty(f"{path}/{below}")
    backend.delete_files([f"{path}/once"])
    backend.drop_empty(path)


def _remove_dead_writer(backend: StorageBackend, staging: Staging) -> None:
    """Remove what one writer left in its own folder, its ticket last.

    Its chunks are moved away first. A writer frozen past its fence may still be about to rename
    them: then it finds nothing, instead of committing a folder that is being emptied.
    """
    saver_class = backend.saver_class
    renames = saver_class is not None and issubclass(saver_class, RenamingSaver)
    has_chunks = any(
        is_chunk_folder(staging, entry)
        for entry in backend.list(staging.folder, starts_with="data")
    )
    if renames and has_chunks and not any(foreign_in_chunks(backend, staging, staging.data)):
        with suppress(ObjectMissing):
            backend.rename(staging.data, f"{staging.folder}/dead-{secrets.token_hex(8)}")
    remove_writer(backend, staging)


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
        medium.delete_files([f"{STAGING}/{name}"])
    raise StorageUnavailable(f"{medium.place}: what was just written is not listed; try it again")


def _drop_empty_folders(backend: StorageBackend) -> None:
    """Remove what a writer leaves that dies before its ticket is there.

    Not what is empty when it is listed: a writer may begin there just now.
    """
    for entry in list(backend.list(STAGING)):
        path = f"{STAGING}/{entry.name}"
        if is_plain_folder(entry) and is_path(path):
            with suppress(AccessDenied):  # of another user; it does no harm
                backend.drop_empty(path)


def _in_staging(backend: StorageBackend, old_ns: int) -> Iterator[Leftover]:
    for entry in list(backend.list(STAGING)):
        path = f"{STAGING}/{entry.name}"
        if entry.is_link or not is_path(path):
            yield left(path, backend, entry)
        elif entry.is_folder and not is_trial(entry.name):
            yield from _judged(path, _of_key(backend, entry.name, old_ns))
        else:
            yield from _judged(path, _of_scratch(backend, path, entry, old_ns))


def _judged(path: str, leftovers: Iterator[Leftover]) -> Iterator[Leftover]:
    """Iterate over them; if something cannot be looked at, say so, and nothing there goes."""
    try:
        yield from list(leftovers)
    except (AccessDenied, ConfigError, DataCorrupted) as error:
        yield Leftover(path, f"it cannot be looked at: {error}", stays=True)


def _of_scratch(
    backend: StorageBackend, path: str, entry: Entry, old_ns: int
) -> Iterator[Leftover]:
    """What may be one of our own short-lived files or folders."""
    if _newest_ns(backend, path, entry) > old_ns:
        return
    why = "something that was never finished"
    if not entry.is_folder:
        is_own = is_scratch_file(entry.name)
        yield Leftover(path, why, is_file=True) if is_own else left(path, backend, entry)
        return
    foreign = list(_foreign_in_trial(backend, path, ""))
    yield from foreign
    if not foreign:
        yield Leftover(path, why)


def _foreign_in_trial(backend: StorageBackend, top: str, below: str) -> Iterator[Leftover]:
    for entry in list(backend.list(f"{top}/{below}".rstrip("/"))):
        name = f"{below}/{entry.name}".lstrip("/")
        if entry.is_link or not is_of_trial(name):
            yield left(f"{top}/{name}", backend, entry)
        elif entry.is_folder:
            yield from _foreign_in_trial(backend, top, name)


def _of_key(backend: StorageBackend, key_name: str, old_ns: int) -> Iterator[Leftover]:
    folder = f"{STAGING}/{key_name}"
    for entry in list(backend.list(folder)):
        path = f"{folder}/{entry.name}"
        if entry.is_link or not is_path(path):
            yield left(path, backend, entry)
        elif entry.is_folder and is_write_id(entry.name):
            staging = Staging(key_name, entry.name)
            yield from _judged(path, of_silent_writer(backend, staging, entry, old_ns))
        else:
            yield from _judged(path, _beside_writers(backend, path, entry, old_ns))


def _beside_writers(
    backend: StorageBackend, path: str, entry: Entry, old_ns: int
) -> Iterator[Leftover]:
    if _newest_ns(backend, path, entry) <= old_ns:
        if is_failure_note(entry.name) and not entry.is_folder:
            yield Leftover(path, "a note of a failed save", is_file=True)
        else:
            yield left(path, backend, entry)


def _newest_ns(medium: Medium, path: str, entry: Entry, *, depth: int = 3) -> int:
    """Return when something was changed last: a folder, when the newest file in it was.

    Some places have no folders, and list each as of now. Ours are not deep; how deep others are,
    nobody need know.
    """
    if not entry.is_folder or entry.is_link or not depth or not is_path(path):
        return entry.modified_ns
    below = [
        _newest_ns(medium, f"{path}/{each.name}", each, depth=depth - 1)
        for each in medium.list(path)
    ]
    return max(below, default=entry.modified_ns)
