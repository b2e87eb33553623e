"""Turns errors of the system and of `zipfile` into core's; no other module does."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from zipfile import BadZipFile, LargeZipFile

from strax_core import AccessDenied, DataCorrupted, ObjectMissing, StorageFull, StorageUnavailable


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Raise our error, naming `path`, for an error inside, which is its cause."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ObjectMissing(f"{path} is not there") from error
    except PermissionError as error:
        raise AccessDenied(f"{path} may not be used: ask for permission") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"{path} did not fit: the disk or the quota is full") from error
        raise StorageUnavailable(f"{path} could not be used ({error.strerror or error})") from error
    except (BadZipFile, LargeZipFile, NotImplementedError, ValueError) as error:
        raise DataCorrupted(f"{path} cannot be read as a zip archive ({error})") from error
