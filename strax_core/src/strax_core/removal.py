"""Removes one piece of data: what writers made, and nothing else that lies in its folder."""

from strax_core.errors import DataCorrupted, NewerFormat, ObjectMissing
from strax_core.layout import Staging, metadata_paths
from strax_core.medium import Medium
from strax_core.metadata import read_metadata
from strax_core.own_names import is_of_data, is_write_id
from strax_core.settling import named_files


def remove_data(medium: Medium, backend_key: str) -> list[str]:
    """Remove a piece of data, its metadata first; return what is in its folder and not ours.

    Raises:
        StorageError: something could not be removed.
    """
    # Listed first, so that what a writer brings meanwhile is not taken with it.
    writers = [each.name for each in medium.list(Staging(backend_key, "").of_key) if each.is_folder]
    named = _named(medium, backend_key)
    doomed: list[str] = []
    kept: list[str] = []
    for entry in list(medium.list(backend_key)):
        if any(write_id in entry.name for write_id in writers):
            continue
        if entry.is_folder and not entry.is_link and is_write_id(entry.name):
            below = [
                (f"{entry.name}/{each.name}", each)
                for each in medium.list(f"{backend_key}/{entry.name}")
            ]
        else:
            below = [(entry.name, entry)]
        for name, each in below:
            is_own = name in named or is_of_data(backend_key, each.name)
            if is_own and not each.is_folder and not each.is_link:
                doomed.append(f"{backend_key}/{name}")
            else:
                kept.append(name)
    first = metadata_paths(backend_key)
    for path in first:
        if path in doomed:
            medium.delete(path)
    medium.delete_files([path for path in doomed if path not in first])
    if not any(True for _ in medium.list(backend_key)):
        medium.delete(f"{backend_key}/nothing")  # lets a medium with folders drop the empty one
    return sorted(kept)


def _named(medium: Medium, backend_key: str) -> set[str]:
    """Return the chunk files that the metadata name; none if they cannot be read."""
    try:
        return set(named_files(read_metadata(medium, backend_key)))
    except (ObjectMissing, DataCorrupted, NewerFormat):
        return set()
