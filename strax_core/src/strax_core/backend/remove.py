"""Removes one piece of data: what writers made, and nothing else that lies in its folder."""

from collections.abc import Iterator

from strax_core.format import is_of_data, is_write_id, metadata_paths, write_ids_in
from strax_core.medium import Medium
from strax_core.saver import is_plain_file, is_plain_folder, writings_of


def remove_data(medium: Medium, backend_key: str) -> list[str]:
    """Remove a piece of data, its metadata first; return what stays in its folder.

    Raises:
        StorageError: something could not be removed.
    """
    # Listed first, so that what a writer brings meanwhile is not taken with it.
    writers = {each.write_id for each in writings_of(medium, backend_key)}
    doomed = [
        f"{backend_key}/{name}" for name, is_own in _files(medium, backend_key, writers) if is_own
    ]
    first = [path for path in metadata_paths(backend_key) if path in doomed]
    medium.delete_files(first)
    medium.delete_files([path for path in doomed if path not in first])
    folders = {path.rpartition("/")[0] for path in doomed} - {backend_key}
    for folder in (*sorted(folders), backend_key):
        medium.drop_empty(folder)
    # Looked at again: anybody may have put something in the place of a file.
    return sorted(name for name, _ in _files(medium, backend_key, writers))


def _files(medium: Medium, backend_key: str, writers: set[str]) -> Iterator[tuple[str, bool]]:
    """Iterate over names below the data, and whether each is a file of ours.

    Those of the writers are left out: they are at work, or `clean` removes what they left.
    """
    for entry in list(medium.list(backend_key)):
        if write_ids_in(entry.name) & writers:
            continue
        if is_plain_folder(entry) and is_write_id(entry.name):
            for below in list(medium.list(f"{backend_key}/{entry.name}")):
                is_own = is_plain_file(below) and is_of_data(backend_key, below.name)
                yield f"{entry.name}/{below.name}", is_own
        else:
            yield entry.name, is_plain_file(entry) and is_of_data(backend_key, entry.name)
