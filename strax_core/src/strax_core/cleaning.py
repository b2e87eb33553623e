"""Removes what writers that died left behind. It judges tickets, never a chunk by its age.

What goes is what a ticket proves that a writer made, or has a name that only we make; and nothing
behind a link. All else stays, and is told.
"""

import logging
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby

from strax_core.backend import StorageBackend
from strax_core.errors import (
    CleanedInPart,
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
    StorageUnavailable,
)
from strax_core.layout import STAGING, Staging
from strax_core.medium import Entry, Medium, checked_path
from strax_core.metadata import Metadata
from strax_core.own_names import (
    is_chunk,
    is_failure_note,
    is_of_data,
    is_of_ticket,
    is_scratch,
    is_write_id,
)
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
    stays: bool = False
    """Whether it is left alone, since nothing proves that a writer made it."""


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
    target = backend.link_target(STAGING)
    if target is not None:
        return [Leftover(STAGING, _link_to(target), stays=True)]
    old_ns = now_ns(backend) - int(grace_s * 1e9)
    leftovers = list(_in_staging(backend, old_ns))
    if not dry_run:
        _remove_all(backend, [each for each in leftovers if not each.stays])
        _drop_empty_folders(backend)
    try:
        for path in backend.drop_unfinished(before_ns=old_ns, dry_run=dry_run):
            leftovers.append(Leftover(path, backend.leftover_reason))  # noqa: PERF401 - some may fail
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
    """Remove a folder of ours: a writer's, or one that we made to try something.

    Of a writer's, just what is ours: anybody may have put something there since it was looked at.
    """
    parts = path.split("/")
    if len(parts) == len(("staging", "key", "write_id")):
        _remove_writer(backend, Staging(parts[1], parts[2]))
    else:
        backend.delete(path)


def _remove_writer(backend: StorageBackend, staging: Staging) -> None:
    """Remove what one writer left in its own folder, its ticket last.

    Its chunks are moved away first. A writer frozen past its fence may still be about to rename
    them: then it finds nothing, instead of committing a folder that is being emptied.
    """
    saver_class = backend.saver_class
    renames = saver_class is not None and issubclass(saver_class, RenamingSaver)
    if renames and _has_data(backend, staging) and not any(_foreign_in_data(backend, staging)):
        tomb = f"{STAGING}/dead-{secrets.token_hex(8)}"
        with suppress(ObjectMissing):
            backend.rename(staging.data, tomb)
            backend.delete(tomb)
    else:
        backend.delete_files(
            [f"{staging.data}/{each.name}" for each in _own_in_data(backend, staging)]
        )
    own = [
        f"{staging.folder}/{entry.name}"
        for entry in backend.list(staging.folder)
        if not entry.is_folder and not entry.is_link and is_of_ticket(entry.name)
    ]
    for last in (False, True):
        backend.delete_files([path for path in own if (path == staging.ticket) is last])
    if not own:
        backend.delete(f"{staging.folder}/nothing")  # lets a medium with folders drop the empty one


def _has_data(backend: StorageBackend, staging: Staging) -> bool:
    """Say whether a writer has a folder for its chunks, be it empty, and not something else."""
    return any(
        entry.is_folder and not entry.is_link and f"{staging.folder}/{entry.name}" == staging.data
        for entry in backend.list(staging.folder, starts_with="data")
    )


def _in_data(backend: StorageBackend, staging: Staging) -> list[Entry]:
    return list(backend.list(staging.data)) if _has_data(backend, staging) else []


def _own_in_data(backend: StorageBackend, staging: Staging) -> Iterator[Entry]:
    for entry in _in_data(backend, staging):
        is_own = is_of_data(staging.backend_key, entry.name)
        if is_own and not entry.is_folder and not entry.is_link:
            yield entry


def _foreign_in_data(backend: StorageBackend, staging: Staging) -> Iterator[Leftover]:
    own = {entry.name for entry in _own_in_data(backend, staging)}
    for entry in _in_data(backend, staging):
        if entry.name not in own:
            yield _left(f"{staging.data}/{entry.name}", backend, entry)


def _foreign_of_writer(backend: StorageBackend, staging: Staging) -> Iterator[Leftover]:
    """Iterate over what lies in a writer's folder, and no writer makes."""
    for entry in list(backend.list(staging.folder)):
        path = f"{staging.folder}/{entry.name}"
        if entry.is_folder and not entry.is_link and path == staging.data:
            yield from _foreign_in_data(backend, staging)
        elif entry.is_folder or entry.is_link or not is_of_ticket(entry.name):
            yield _left(path, backend, entry)


def _left(path: str, backend: StorageBackend, entry: Entry) -> Leftover:
    """Return a line about what stays."""
    reason = "nothing that a writer made"
    if entry.is_link:
        reason = _link_to(backend.link_target(path) or "somewhere")
    return Leftover(path, reason, is_file=not entry.is_folder, stays=True)


def _link_to(target: str) -> str:
    return f"a link to {target}, which no writer made; nothing behind it is touched"


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


def _in_staging(backend: StorageBackend, old_ns: int) -> Iterator[Leftover]:
    for entry in list(backend.list(STAGING)):
        path = f"{STAGING}/{entry.name}"
        if entry.is_link:
            yield _left(path, backend, entry)
        elif is_scratch(entry.name):
            if _newest_ns(backend, path, entry) <= old_ns:
                is_file = not entry.is_folder
                yield Leftover(path, "something that was never finished", is_file=is_file)
        elif entry.is_folder:
            yield from _of_key(backend, entry.name, old_ns)
        elif entry.modified_ns <= old_ns:
            yield _left(path, backend, entry)


def _of_key(backend: StorageBackend, key_name: str, old_ns: int) -> Iterator[Leftover]:
    folder = f"{STAGING}/{key_name}"
    for entry in list(backend.list(folder)):
        path = f"{folder}/{entry.name}"
        if entry.is_link:
            yield _left(path, backend, entry)
        elif entry.is_folder and is_write_id(entry.name):
            if _last_beat_ns(backend, path, entry) <= old_ns:
                yield from _of_writer(backend, Staging(key_name, entry.name))
        elif _newest_ns(backend, path, entry) <= old_ns:
            if is_failure_note(entry.name) and not entry.is_folder:
                yield Leftover(path, "a note of a failed save", is_file=True)
            else:
                yield _left(path, backend, entry)


def _newest_ns(medium: Medium, path: str, entry: Entry) -> int:
    """Return when something was changed last: a folder, when the newest file in it was.

    Some places have no folders, and list each as of now.
    """
    if not entry.is_folder or entry.is_link:
        return entry.modified_ns
    below = [_newest_ns(medium, f"{path}/{each.name}", each) for each in medium.list(path)]
    return max(below, default=entry.modified_ns)


def _last_beat_ns(medium: Medium, folder: str, entry: Entry) -> int:
    times = [below.modified_ns for below in medium.list(folder) if not below.is_folder]
    return max(times, default=entry.modified_ns)


def _of_writer(backend: StorageBackend, staging: Staging) -> Iterator[Leftover]:
    """What one dead writer left, its ticket last."""
    try:
        document = read_json(backend, staging.ticket)
    except DataCorrupted as error:  # a link, or no file
        yield Leftover(staging.folder, f"its ticket cannot be read: {error}", stays=True)
        return
    backend_key = str(document.get("backend_key", staging.backend_key))
    if not _is_of(staging, backend_key):
        yield Leftover(staging.folder, "its ticket is of other data", stays=True)
        return
    try:
        metadata = _complete_metadata(backend, backend_key)
    except NewerFormat as error:
        # In a newer format: whose files those are, only a newer version can tell.
        _LOG.warning("%s/%s is left alone: %s", backend.place, staging.folder, error)
        return
    has_committed = metadata is not None and metadata.write_id == staging.write_id
    in_final: list[Leftover] = []
    if metadata is not None:
        # Also if it has not committed: it may have, and been replaced itself before it could
        # delete.
        in_use = set(named_files(metadata))
        in_use |= {name.partition("/")[0] for name in in_use}
        in_final += _replaced(backend, backend_key, staging, in_use)
    if not has_committed:
        in_final += _uncommitted(backend, backend_key, staging)
    target = backend.link_target(backend_key) if in_final else None
    if target is not None:
        for each in in_final:
            yield replace(each, reason=f"{each.reason}, behind a link to {target}", stays=True)
        yield Leftover(staging.folder, "tells what lies behind a link", stays=True)
        return
    yield from in_final
    yield from _foreign_of_writer(backend, staging)
    yield Leftover(
        staging.folder,
        "the ticket of a writer that committed"
        if has_committed
        else "a writer that never committed",
    )


def _uncommitted(backend: StorageBackend, backend_key: str, staging: Staging) -> Iterator[Leftover]:
    """What a writer that never committed put under the final name."""
    why = "of a writer that never committed"
    for entry in list(backend.list(backend_key)):
        path = f"{backend_key}/{entry.name}"
        if entry.is_link:
            continue
        if not entry.is_folder:
            if is_chunk(backend_key, entry.name) and staging.write_id in entry.name.split("-"):
                yield Leftover(path, why, is_file=True)
        elif entry.name == staging.write_id:
            for below in list(backend.list(path)):
                is_own = not below.is_folder and not below.is_link
                if is_own and is_of_data(backend_key, below.name):
                    yield Leftover(f"{path}/{below.name}", why, is_file=True)
                else:
                    yield _left(f"{path}/{below.name}", backend, below)


def _is_of(staging: Staging, backend_key: str) -> bool:
    """Say whether what a ticket names as its data is what it lies under."""
    try:
        key = checked_path(backend_key)
    except ConfigError:
        return False
    return key.rsplit("/", 1)[-1] == staging.backend_key and not key.startswith(".")


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
        if isinstance(name, str) and name not in in_use and _is_own_below(backend_key, name)
    ]
    there = _files_below(backend, backend_key, {name.partition("/")[0] for name in names})
    for name in names:
        if name in there:
            path = f"{backend_key}/{name}"
            yield Leftover(path, "a file of data that were replaced", is_file=True)


def _is_own_below(backend_key: str, name: str) -> bool:
    """Say whether a name in a ticket is that of a chunk, perhaps in the folder of a writing."""
    folder, slash, file = name.rpartition("/")
    return is_chunk(backend_key, file) and (not slash or is_write_id(folder))


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
            files |= {
                f"{entry.name}/{each.name}"
                for each in below
                if not each.is_folder and not each.is_link
            }
        elif entry.name in wanted and not entry.is_link:
            files.add(entry.name)
    return files
