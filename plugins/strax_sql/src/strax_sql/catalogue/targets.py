"""Chooses the backends that take a data type."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from strax_core import StorageBackend


def targets_of(
    data_type: str,
    write_to: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None,
    backends: Mapping[str, StorageBackend],
) -> list[str]:
    """Return the names of the backends that take a data type, best first.

    Args:
        data_type: of what is to be kept.
        write_to: the option; left out: the first backend that can write.
        backends: all, nearest first.
    """
    given = write_to
    if isinstance(given, Mapping):
        given = next((to for pattern, to in given.items() if fnmatchcase(data_type, pattern)), ())
        return [given] if isinstance(given, str) else list(given)
    if given:
        return [given] if isinstance(given, str) else list(given)
    can_write = [name for name, each in backends.items() if not each.readonly]
    return can_write[:1]
