"""Every error that this project raises: a closed set, with one base."""

from typing import Any


class StorageError(Exception):
    """Base of all errors here; the message names the place and the way out, never a secret."""


class DataNotAvailable(StorageError):
    """Nothing is stored under this key here."""


class DataExistsError(StorageError):
    """Something is stored under this key already; the first writer keeps its data."""


class DataCorrupted(StorageError):
    """Stored data do not fit: a size, a checksum, or the metadata."""


class RunMetadataNotAvailable(StorageError):
    """There is no document about this run here."""


class ConfigError(StorageError):
    """An unknown or impossible name, key or value."""


class NewerFormat(ConfigError):
    """Stored data are in a newer format than this version reads; they are left alone."""


class ReadOnlyError(StorageError):
    """This place takes no data."""


class AccessDenied(StorageError):
    """The place refused: permissions or credentials."""


class StorageUnavailable(StorageError):
    """The place did not answer, or its answer is unknown. The only error worth a retry."""


class StorageFull(StorageError):
    """No space or no quota is left."""


class CleanedInPart(StorageError):
    """Some leftovers could not be looked for; `leftovers` are those that were found."""

    def __init__(self, message: str, leftovers: list[Any]) -> None:
        super().__init__(message, leftovers)
        self.leftovers = leftovers

    def __str__(self) -> str:
        return str(self.args[0])


class PluginError(StorageError):
    """A storage plugin is missing, broken, or claims a name that another one claims too."""


class ObjectMissing(StorageError):
    """A backend's `read` found no such file. Core turns it into an error about data."""


class ObjectExists(StorageError):
    """A backend's create-only `write` or its `rename` found the target taken."""


class ChunkError(StorageError):
    """Rows or chunks break an invariant of chunks: order, borders, or continuity."""


class PluginGaveWrongOutput(StorageError):
    """A data plugin returned something else than it promised."""
