"""Folders of a place, opened part by part, so that no link leads out of it.

A path is never given to the system as a whole: each part is opened below the one before, by
descriptor, and a part that is a link is refused. So it does not matter what anybody puts in the
place of a folder between two calls.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

FOLDER_TRIES = 100  # another process may tidy up an empty folder just as we fill it
LINKS_MAX = 8  # from file to file of one folder
# To pass through a folder it need not be readable, where the system knows that difference.
PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
READ = os.O_RDONLY | os.O_DIRECTORY
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
Result = TypeVar("Result")


class LinkError(Exception):
    """A link where none may be; the text says which, and where it leads."""


class Descriptor:
    """An open folder, for as long as a block needs it."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> int:
        return self._number

    def __exit__(self, *_: object) -> None:
        os.close(self._number)


class SpecialFileError(Exception):
    """Something that is neither a file nor a folder: a pipe, a socket, a device."""


def open_below(folder: int, name: str, *, flags: int = PASS) -> int:
    """Open a folder in a folder; a link is refused.

    Raises:
        LinkError: it is a link.
        FileNotFoundError, NotADirectoryError: there is none of that name.
    """
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            target = target_of(folder, name)
            if target is not None:
                raise LinkError(f"{name} is a link to {target}") from error
        raise


def open_file(folder: int, name: str) -> int:
    """Open a regular file in a folder to read it; a link only to another file of this folder.

    Raises:
        LinkError: it is a link that may lead out of the folder.
        SpecialFileError: it is neither a file nor a folder.
        OSError: there is none of that name, or it is a folder.
    """
    named = name
    for _ in range(LINKS_MAX):
        try:
            # Without waiting: a pipe that nobody writes to would block for ever.
            file = os.open(named, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise SpecialFileError("it is a socket, or a device, and no file") from error
            target = target_of(folder, named) if error.errno == errno.ELOOP else None
            if target is None:
                raise
            if "/" in target or target in {".", ".."}:
                raise LinkError(f"{name} is a link to {target}") from error
            named = target
            continue
        try:
            _check_regular(os.fstat(file).st_mode)
        except BaseException:
            os.close(file)
            raise
        return file
    raise LinkError(f"{name} is a link to a link to a link, without end")


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "not a file")
    if not stat.S_ISREG(mode):
        raise SpecialFileError("it is a pipe, a socket or a device, and no file")


def target_of(folder: int, name: str) -> str | None:
    """Return where a link leads, as it says itself; None if it is none, or nothing is there."""
    try:
        return os.readlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is no link
            return None
        raise


def is_folder(folder: int, name: str) -> bool:
    """Say whether there is a folder of this name; a link to one is none."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def is_there(folder: int, name: str) -> bool:
    """Say whether anything has this name, be it a link to nothing."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def unlink(folder: int, name: str) -> None:
    """Remove a file or a link; what is not there is fine, and a folder stays.

    Raises:
        OSError: it may not be removed.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as error:
        # Linux says EISDIR; POSIX, and so macOS, EPERM.
        if error.errno not in {errno.EISDIR, errno.EPERM} or not is_folder(folder, name):
            raise


def walk(folder: int, parts: Sequence[str], *, flags: int = PASS) -> int:
    """Open a folder part by part below another one, which is closed, also if that fails.

    Args:
        folder: in which the first part lies; if there are no parts, it is the answer.
        parts: names of folders, none of which may be a link.
        flags: with which the last one is opened.
    """
    for number, part in enumerate(parts, 1):
        with Descriptor(folder):
            folder = open_below(folder, part, flags=flags if number == len(parts) else PASS)
    return folder


def make_below(folder: int, name: str, *, synced: bool) -> int:
    """Open a folder in a folder, and make it if it is new; errors as `open_below`."""
    try:
        return open_below(folder, name)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            if synced:
                sync(folder)
        return open_below(folder, name)


def sync(folder: int) -> None:
    """Make the names in a folder durable; without this a power cut may undo a rename."""
    try:
        readable = os.open(".", READ, dir_fd=folder)  # one that is only passed cannot be synced
    except FileNotFoundError:
        return  # tidied up by someone else
    try:
        os.fsync(readable)
    finally:
        os.close(readable)


def retrying(action: Callable[[], Result], *, while_there: Callable[[], bool]) -> Result:
    """Do something again if a folder came or went under it, as long as `while_there` holds."""
    for _ in range(FOLDER_TRIES):
        try:
            return action()
        except FileNotFoundError:
            if not while_there():
                raise
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
    return action()
