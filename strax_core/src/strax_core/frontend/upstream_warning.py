"""Folders that strax wrote: who keeps there what strax cannot load is told, once."""

import warnings
from itertools import islice

from strax_core.backend import StorageBackend
from strax_core.errors import StorageError
from strax_core.format import STRAX_COMPRESSORS, DataKey

_N_LISTED = 100
"""Entries of a folder that are looked at; enough to find data, whatever else lies there."""

_N_READ = 3

_TOLD: set[str] = set()
"""Places that were looked at already, in this process."""


def warn_if_of_strax(backend: StorageBackend, compressor: object) -> None:
    """Warn at the first save, with a codec that strax has not, into a place where strax wrote."""
    if compressor in STRAX_COMPRESSORS or not backend.may_hold_strax_folders:
        return
    if backend.place in _TOLD:
        return
    _TOLD.add(backend.place)
    if _has_data_of_strax(backend):
        warnings.warn(
            f"{backend.place}: strax wrote data here. It will find what is now kept with the codec "
            f"{compressor!r}, and not be able to load it. If strax is to load it, set "
            'for_upstream = true for this place, or compressor = "zstd"',
            stacklevel=2,
        )


def _has_data_of_strax(backend: StorageBackend) -> bool:
    """Look at the first few pieces of data; nothing is listed to its end where that costs time."""
    try:
        entries = islice(backend.list(""), _N_LISTED)
        folders = [each.name for each in entries if each.is_folder and _is_data(each.name)]
    except StorageError:
        return False  # the saver finds out what is wrong
    return any(_is_of_strax(backend, folder) for folder in folders[:_N_READ])


def _is_data(name: str) -> bool:
    return DataKey.parse_name(name) is not None


def _is_of_strax(backend: StorageBackend, folder: str) -> bool:
    try:
        metadata = backend.get_metadata(folder)
    except StorageError:
        return False
    return "writer" not in metadata and "format_version" not in metadata
