"""Removes what writers made from a folder, file by file: whatever else lies there stays.

No folder is ever removed with what is in it. Anybody may have put something there since it was
looked at; so files go by name, and a folder goes if the medium says that it is empty.
"""

from collections.abc import Collection

from strax_core.format import (
    FAILURE_NOTE_START,
    Staging,
    is_failure_note,
    is_of_data,
    is_of_ticket,
    is_tomb,
)
from strax_core.medium import Entry, Medium


def is_plain_file(entry: Entry) -> bool:
    """Say whether it is a file, and no link to one."""
    return not entry.is_folder and not entry.is_link


def is_plain_folder(entry: Entry) -> bool:
    """Say whether it is a folder, and no link to one."""
    return entry.is_folder and not entry.is_link


def own_files(
    medium: Medium, backend_key: str, folder: str, *, keep: Collection[str] = ()
) -> list[str]:
    """Return the paths of the files in a folder that have names of these data, but `keep`."""
    return [
        f"{folder}/{entry.name}"
        for entry in medium.list(folder)
        if is_plain_file(entry) and is_of_data(backend_key, entry.name) and entry.name not in keep
    ]


def remove_own_files(
    medium: Medium, backend_key: str, folder: str, *, keep: Collection[str] = ()
) -> None:
    """Remove them, and the folder if it is empty then; files named in `keep` stay."""
    medium.delete_files(own_files(medium, backend_key, folder, keep=keep))
    medium.drop_empty(folder)


def remove_failure_notes(medium: Medium, staging: Staging) -> None:
    """Remove what tells why earlier saves of the same key failed."""
    folder = staging.of_key
    notes = [
        f"{folder}/{entry.name}"
        for entry in medium.list(folder, starts_with=FAILURE_NOTE_START)
        if is_plain_file(entry) and is_failure_note(entry.name)
    ]
    medium.delete_files(notes)


def is_chunk_folder(staging: Staging, entry: Entry) -> bool:
    """Say whether something in a writer's own folder is that of its chunks, or was (its tomb)."""
    is_named_so = f"{staging.folder}/{entry.name}" == staging.data or is_tomb(entry.name)
    return is_named_so and is_plain_folder(entry)


def remove_writer(medium: Medium, staging: Staging) -> None:
    """Remove what a writer has in its own folder, its ticket last; then the folder, if empty."""
    tickets = []
    for entry in list(medium.list(staging.folder)):
        path = f"{staging.folder}/{entry.name}"
        if is_chunk_folder(staging, entry):
            remove_own_files(medium, staging.backend_key, path)
        elif is_plain_file(entry) and is_of_ticket(entry.name):
            tickets.append(path)
    medium.delete_files(sorted(tickets, key=lambda path: path == staging.ticket))
    medium.drop_empty(staging.folder)
