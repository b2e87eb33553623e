"""Rename without replacing anything, in one step, as far as the system offers it."""

import ctypes
import errno
import functools
import os
import sys
from collections.abc import Callable

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # linux/fs.h
_RENAME_EXCL = 4  # macOS, sys/stdio.h
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def rename_exclusive(source: str, target: str) -> None:
    """Rename a file or folder; `FileExistsError` if there is anything under the new name.

    Where the file system lacks the call (NFS, some FUSE), a file is linked, which is as exclusive,
    and a folder renamed plainly: that replaces nothing but an empty folder.
    """
    system_call = _system_call()
    if system_call is not None:
        code = system_call(os.fsencode(source), os.fsencode(target))
        if code == 0:
            return
        if code not in _NOT_OFFERED:
            raise OSError(code, os.strerror(code), source, None, target)
    if os.path.isdir(source):
        os.rename(source, target)
    else:
        os.link(source, target)
        os.unlink(source)


@functools.cache
def _system_call() -> Callable[[bytes, bytes], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        function = getattr(library, "renamex_np", None)
        if function is None:
            return None
        return lambda source, target: _code(function(source, target, _RENAME_EXCL))
    function = getattr(library, "renameat2", None)
    if function is None:
        return None
    return lambda source, target: _code(
        function(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE)
    )


def _code(answer: int) -> int:
    return 0 if answer == 0 else ctypes.get_errno()
