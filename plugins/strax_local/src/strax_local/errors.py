"""Turns the operating system's errors into ours; no other module does."""

import errno

from strax_core import (
    AccessDenied,
    ConfigError,
    ObjectExists,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)

_DENIED = "may not be used: ask for permission, or give the place readonly = true if you only read"
_ERRORS: dict[int | None, tuple[type[StorageError], str]] = {
    errno.ENOENT: (ObjectMissing, "is not there"),
    errno.ENOTDIR: (ObjectMissing, "is not there: a part of the path is a file"),
    errno.EISDIR: (ObjectMissing, "is a folder, not a file"),
    errno.EEXIST: (ObjectExists, "is there already"),
    errno.ENOTEMPTY: (ObjectExists, "is there already"),
    errno.EACCES: (AccessDenied, _DENIED),
    errno.EPERM: (AccessDenied, _DENIED),
    errno.EROFS: (ReadOnlyError, "lies on a file system that is mounted read-only"),
    errno.ENOSPC: (StorageFull, "did not fit: the disk is full"),
    errno.EDQUOT: (StorageFull, "did not fit: the quota is used up"),
    errno.EFBIG: (StorageFull, "is larger than the file system or a limit (ulimit -f) allows"),
    errno.ENAMETOOLONG: (ConfigError, "is too long a name for this file system"),
    errno.EXDEV: (ConfigError, "lies on another file system than the rest of its place"),
    errno.EINVAL: (ConfigError, "is not a name for this file system"),
}


def storage_error(error: OSError, path: str) -> StorageError:
    """Return our error, naming `path`, for one of the system.

    What is not in the table (I/O errors, stale handles, too many open files) is
    `StorageUnavailable`.
    """
    kind, text = _ERRORS.get(error.errno, (StorageUnavailable, "could not be used"))
    return kind(f"{path} {text} ({error.strerror or error})")
