"""Judges what a silent writer left: what may go, and what stays for want of a proof."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from strax_core.backend.backend import StorageBackend
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    StorageUnavailable,
)
from strax_core.format import (
    STAGING,
    Metadata,
    Staging,
    is_chunk,
    is_chunk_below,
    is_kept_for_a_person,
    is_of_data,
    is_of_ticket,
    write_ids_in,
)
from strax_core.medium import Entry, checked_path
from strax_core.saver import (
    is_chunk_folder,
    is_plain_file,
    named_files,
    own_files,
    read_json,
    writings_of,
)

_LOG = logging.getLogger("strax_core")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that no reader and no living writer needs."""

    path: str
    reason: str
    is_file: bool = field(default=False, compare=False)
    """True if it is certainly no folder."""
    stays: bool = False
    """True if it is left alone, since nothing proves that a writer made it."""


def left(path: str, backend: StorageBackend, entry: Entry) -> Leftover:
    """Return a line about what stays."""
    reason = "nothing that a writer made"
    if not is_path(path):
        reason = "it has a name that no writer gives"
    elif entry.is_link:
        reason = link_to(backend.link_target(path) or "somewhere")
    return Leftover(path, reason, is_file=not entry.is_folder, stays=True)


def link_to(target: str) -> str:
    """Return why a link stays."""
    return f"a link to {target}, which no writer made; nothing behind it is touched"


def is_path(path: str) -> bool:
    """Say whether a medium takes this path: anybody may have given something another name."""
    try:
        checked_path(path)
    except ConfigError:
        return False
    return True


def of_silent_writer(
    backend: StorageBackend, staging: Staging, entry: Entry, old_ns: int
) -> Iterator[Leftover]:
    """Iterate over what a writer left, its own folder last; over nothing, if it is not silent.

    Args:
        backend: on which.
        staging: where the writer works.
        entry: its own folder, as it was listed.
        old_ns: before when it must have written last, by the place's own clock.
    """
    if _last_beat_ns(backend, staging.folder, entry) > old_ns:
        return
    document = read_json(backend, staging.ticket)
    backend_key = str(document.get("backend_key", staging.backend_key))
    if not _is_of(staging, backend_key):
        yield Leftover(staging.folder, "its ticket is of other data", stays=True)
    elif _is_in_another_place(backend, backend_key):
        yield Leftover(staging.folder, "its ticket is of data of another place", stays=True)
    else:
        yield from _of_dead_writer(backend, staging, backend_key)


def _of_dead_writer(
    backend: StorageBackend, staging: Staging, backend_key: str
) -> Iterator[Leftover]:
    """What one dead writer left, its ticket last."""
    try:
        metadata = _complete_metadata(backend, backend_key)
    except NewerFormat as error:
        # In a newer format: whose files those are, only a newer version can tell.
        _LOG.warning("%s/%s is left alone: %s", backend.place, staging.folder, error)
        return
    except (DataCorrupted, StorageUnavailable) as error:
        if isinstance(error, StorageUnavailable) and backend.link_target(backend_key) is None:
            raise
        # They may be its own: what it wrote may be all that is left of good data.
        yield Leftover(staging.folder, f"whether it committed is not known: {error}", stays=True)
        return
    has_committed = metadata is not None and metadata.write_id == staging.write_id
    in_final = list(_in_final(backend, backend_key, staging, metadata))
    why_not = _why_all_stays(backend, backend_key) if in_final else None
    if why_not is not None:
        for each in in_final:
            yield replace(each, reason=f"{each.reason}, {why_not}", stays=True)
        yield Leftover(staging.folder, f"tells what lies {why_not}", stays=True)
        return
    yield from in_final
    foreign = list(_foreign_of_writer(backend, staging))
    yield from foreign
    if not foreign or _has_own(backend, staging):
        committed = "the ticket of a writer that committed"
        yield Leftover(
            staging.folder, committed if has_committed else "a writer that never committed"
        )


def _has_own(backend: StorageBackend, staging: Staging) -> bool:
    """Say whether a writer's folder holds anything that may go."""
    for entry in list(backend.list(staging.folder)):
        path = f"{staging.folder}/{entry.name}"
        if is_chunk_folder(staging, entry):
            if own_files(backend, staging.backend_key, path) or not list(backend.list(path)):
                return True
        elif is_plain_file(entry) and is_of_ticket(entry.name):
            return True
    return False


def _in_final(
    backend: StorageBackend, backend_key: str, staging: Staging, metadata: Metadata | None
) -> Iterator[Leftover]:
    """What a writer left under the final name, and what it replaced there."""
    in_use = set() if metadata is None else set(named_files(metadata))
    if metadata is not None:
        # Also if it has not committed: it may have, and been replaced itself before it could
        # delete.
        yield from _replaced(backend, backend_key, staging, in_use)
    if metadata is None or metadata.write_id != staging.write_id:
        yield from _uncommitted(backend, backend_key, staging, in_use)


def _why_all_stays(backend: StorageBackend, backend_key: str) -> str | None:
    """Return why nothing under a final name may go: a person may want what lies there."""
    target = backend.link_target(backend_key)
    if target is not None:
        return f"behind a link to {target}"
    if any(is_kept_for_a_person(entry.name) for entry in list(backend.list(backend_key))):
        return "beside metadata that could not be read, and are kept"
    return None


def _uncommitted(
    backend: StorageBackend, backend_key: str, staging: Staging, in_use: set[str]
) -> Iterator[Leftover]:
    """What a writer that never committed put under the final name."""
    why = "of a writer that never committed"
    for entry in list(backend.list(backend_key)):
        path = f"{backend_key}/{entry.name}"
        if entry.is_link or not is_path(path):
            continue
        if not entry.is_folder:
            is_own = staging.write_id in write_ids_in(entry.name) and entry.name not in in_use
            if is_own and is_chunk(backend_key, entry.name):
                yield Leftover(path, why, is_file=True)
        elif entry.name == staging.write_id:
            for below in list(backend.list(path)):
                is_own = is_plain_file(below) and is_of_data(backend_key, below.name)
                if is_own and f"{entry.name}/{below.name}" not in in_use:
                    yield Leftover(f"{path}/{below.name}", why, is_file=True)
                elif not is_own:
                    yield left(f"{path}/{below.name}", backend, below)


def _is_of(staging: Staging, backend_key: str) -> bool:
    """Say whether what a ticket names as its data is what it lies under."""
    try:
        key = checked_path(backend_key)
    except ConfigError:
        return False
    return key.rsplit("/", 1)[-1] == staging.backend_key and not key.startswith(".")


def _is_in_another_place(backend: StorageBackend, backend_key: str) -> bool:
    """Say whether the data lie in a folder that is a place by itself, with writers of its own."""
    above = backend_key.split("/")[:-1]
    return any(
        each.name == STAGING
        for n in range(1, len(above) + 1)
        for each in backend.list("/".join(above[:n]), starts_with=STAGING)
    )


def _complete_metadata(backend: StorageBackend, backend_key: str) -> Metadata | None:
    try:
        metadata = backend.get_metadata(backend_key)
    except DataNotAvailable:
        return None
    return metadata if metadata.is_complete else None


def _replaced(
    backend: StorageBackend, backend_key: str, staging: Staging, in_use: set[str]
) -> Iterator[Leftover]:
    """What the data named that this writer replaced, or was about to."""
    named = read_json(backend, staging.replaced).get("files")
    # Those of a writer that has a ticket are told by that one, not by this.
    others = {each.write_id for each in writings_of(backend, backend_key)} - {staging.write_id}
    names = [
        name
        for name in (named if isinstance(named, list) else ())
        if isinstance(name, str) and name not in in_use and is_chunk_below(backend_key, name)
        if not write_ids_in(name) & others
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
            files |= {f"{entry.name}/{each.name}" for each in below if is_plain_file(each)}
        elif entry.name in wanted and not entry.is_link:
            files.add(entry.name)
    return files


def foreign_in_chunks(backend: StorageBackend, staging: Staging, folder: str) -> Iterator[Leftover]:
    """Iterate over what lies in a folder for a writer's chunks, and no writer makes."""
    for entry in list(backend.list(folder)):
        if not is_plain_file(entry) or not is_of_data(staging.backend_key, entry.name):
            yield left(f"{folder}/{entry.name}", backend, entry)


def _foreign_of_writer(backend: StorageBackend, staging: Staging) -> Iterator[Leftover]:
    """Iterate over what lies in a writer's folder, and no writer makes."""
    for entry in list(backend.list(staging.folder)):
        path = f"{staging.folder}/{entry.name}"
        if is_chunk_folder(staging, entry):
            yield from foreign_in_chunks(backend, staging, path)
        elif not is_plain_file(entry) or not is_of_ticket(entry.name):
            yield left(path, backend, entry)


def _last_beat_ns(backend: StorageBackend, folder: str, entry: Entry) -> int:
    times = [below.modified_ns for below in backend.list(folder) if not below.is_folder]
    return max(times, default=entry.modified_ns)
