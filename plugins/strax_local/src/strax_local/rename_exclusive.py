"""Rename without replacing anything, in one step, as far as the system offers it."""

import ctypes
import errno
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from strax_local.folders import is_folder

_RENAME_NOREPLACE = 1  # linux/fs.h
_RENAME_EXCL = 4  # macOS, sys/stdio.h
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


@dataclass(frozen=True, slots=True)
class Name:
    """A name in an open folder."""

    folder: int
    """Descriptor of the folder."""
    name: str


def rename_exclusive(source: Name, target: Name) -> None:
    """Rename a file or folder; `FileExistsError` if there is anything under the new name.

    Where the file system lacks the call (NFS, some FUSE), a file is linked, which is as exclusive,
    and a folder renamed plainly: that replaces nothing but an empty folder.
    """
    system_call = _system_call()
    if system_call is not None:
        code = system_call(source, target)
        if code == 0:
            return
        if code not in _NOT_OFFERED:
            raise OSError(code, os.strerror(code), source.name, None, target.name)
    if is_folder(source.folder, source.name):
        rename(source, target)
    else:
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.folder,
            dst_dir_fd=target.folder,
            follow_symlinks=False,  # or who puts a link in its place has another file published
        )
        os.unlink(source.name, dir_fd=source.folder)


def rename(source: Name, target: Name) -> None:
    """Rename a file or folder, replacing a file that is there."""
    os.replace(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


@functools.cache
def _system_call() -> Callable[[Name, Name], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    is_mac = sys.platform == "darwin"
    function = getattr(library, "renameatx_np" if is_mac else "renameat2", None)
    if function is None:
        return None
    flag = _RENAME_EXCL if is_mac else _RENAME_NOREPLACE

    def call(source: Name, target: Name) -> int:
        names = (os.fsencode(source.name), os.fsencode(target.name))
        answer = function(source.folder, names[0], target.folder, names[1], flag)
        return 0 if answer == 0 else ctypes.get_errno()

    return call
