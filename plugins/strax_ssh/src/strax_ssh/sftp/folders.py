"""Lists, makes, moves and removes files and folders over a session."""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from strax_core import ConfigError, ObjectExists, StorageUnavailable
from strax_ssh.sftp.packets import (
    Attributes,
    Kind,
    Open,
    SftpError,
    Status,
    packed_path,
    packed_text,
)
from strax_ssh.sftp.session import LostError, Session

AT_ONCE = 64  # requests on their way
FOLDER_TRIES = 100  # another process may tidy up an empty folder just as we fill it
NO_ATTRIBUTES = struct.pack(">I", 0)  # as the umask of the server says
Result = TypeVar("Result")


def attributes_of(session: Session, path: str) -> Attributes:
    """Return what is told about a file or folder; links are followed."""
    return session.ask(Kind.STAT, packed_path(path), answer=Kind.ATTRS).attributes()


def is_there(session: Session, path: str) -> bool:
    """Say whether anything has this name, be it a link to nothing."""
    try:
        session.ask(Kind.LSTAT, packed_path(path), answer=Kind.ATTRS)
    except SftpError as error:
        if error.code == Status.NO_SUCH_FILE:
            return False
        raise
    return True


def is_below_a_file(session: Session, path: str) -> bool:
    """Say whether a part of the path, or all of it, is a file, so that nothing can be below it."""
    parts = path.split("/")
    for n in range(2, len(parts) + 1):
        with suppress(SftpError):
            if not attributes_of(session, "/".join(parts[:n])).is_folder:
                return True
    return False


def listing(session: Session, folder: str, *, resolves: bool) -> list[tuple[str, Attributes, bool]]:
    """Return names, what they are, and whether they are links.

    Args:
        session: over which.
        folder: the folder.
        resolves: whether links are followed, and left out if they lead nowhere.
    """
    entries = [
        (name, attributes)
        for name, attributes in _entries(session, folder)
        if name not in {".", ".."}
    ]
    links = {name for name, attributes in entries if attributes.is_link}
    found = dict(entries)
    if not resolves:
        return [(name, attributes, name in links) for name, attributes in entries]
    for names in _batches(sorted(name for name in links if not name.startswith("."))):
        asked = [session.send(Kind.STAT, packed_path(f"{folder}/{name}")) for name in names]
        for name, request in zip(names, asked, strict=True):
            try:
                found[name] = session.answer(request, Kind.ATTRS).attributes()
            except SftpError:
                del found[name]
    return [(name, attributes, name in links) for name, attributes in found.items()]


def _entries(session: Session, folder: str) -> Iterator[tuple[str, Attributes]]:
    handle = packed_text(session.ask(Kind.OPENDIR, packed_path(folder), answer=Kind.HANDLE).text())
    try:
        while True:
            # Two at once: a folder of the usual size then costs one round trip.
            for request in [session.send(Kind.READDIR, handle) for _ in range(2)]:
                yield from session.answer(request, Kind.NAME).names()
    except SftpError as error:
        if error.code != Status.EOF:
            raise
    finally:
        session.send(Kind.CLOSE, handle)


def remove(session: Session, path: str) -> bool:
    """Remove a file, or a folder with all in it; say whether there was anything."""
    try:
        session.ask(Kind.REMOVE, packed_path(path))
    except SftpError as error:
        if error.code == Status.NO_SUCH_FILE:
            return False
        try:
            about = session.ask(Kind.LSTAT, packed_path(path), answer=Kind.ATTRS)
        except SftpError as gone:
            if gone.code == Status.NO_SUCH_FILE:
                return False
            raise
        if not about.attributes().is_folder:
            raise
        _remove_folder(session, path)
    return True


def remove_files(session: Session, paths: Sequence[str]) -> bool:
    """Remove files; say whether there was any. What is not there is fine, and folders stay."""
    n_there = 0
    for some in _batches(paths):
        asked = [session.send(Kind.REMOVE, packed_path(path)) for path in some]
        for path, request in zip(some, asked, strict=True):
            try:
                session.answer(request)
            except SftpError as error:
                if error.code == Status.NO_SUCH_FILE or not is_there(session, path):
                    continue
                about = session.ask(Kind.LSTAT, packed_path(path), answer=Kind.ATTRS)
                if not about.attributes().is_folder:
                    raise
            n_there += 1
    return n_there > 0


def drop_empty(session: Session, folders: Sequence[str]) -> None:
    """Remove folders that are empty, from the last one up."""
    for folder in reversed(folders):
        try:
            session.ask(Kind.RMDIR, packed_path(folder))
        except SftpError:
            return  # not empty, or gone already


def _remove_folder(session: Session, path: str) -> None:
    for tries_left in reversed(range(FOLDER_TRIES)):
        entries: list[tuple[str, Attributes]] = []
        try:
            entries = [entry for entry in _entries(session, path) if entry[0] not in {".", ".."}]
            files = [f"{path}/{name}" for name, what in entries if not what.is_folder]
            remove_files(session, files)
            for name, what in entries:
                if what.is_folder:
                    _remove_folder(session, f"{path}/{name}")
            session.ask(Kind.RMDIR, packed_path(path))
        except SftpError as error:
            if error.code == Status.NO_SUCH_FILE:
                return
            # Somebody may have put something there meanwhile.
            if error.code != Status.FAILURE or not tries_left or not entries:
                raise
        else:
            return


def with_parents(session: Session, path: str, root: str, action: Callable[[], Result]) -> Result:
    """Do something that needs the folders above a path; make them, but never the root."""
    parent = path.rpartition("/")[0]
    n_in_vain = 0
    for _ in range(FOLDER_TRIES):
        try:
            return action()
        except SftpError as error:
            if error.code != Status.NO_SUCH_FILE or parent == root or n_in_vain > 1:
                raise
            n_in_vain += not _make_folder(session, parent, root)
    return action()


def _make_folder(session: Session, path: str, root: str) -> bool:
    """Make a folder and those above it; say whether there was anything to make."""
    try:
        session.ask(Kind.MKDIR, packed_path(path), NO_ATTRIBUTES)
    except SftpError as error:
        if error.code == Status.NO_SUCH_FILE:
            above = path.rpartition("/")[0]
            return above != root and _make_folder(session, above, root)
        if not is_there(session, path):
            raise
        return False
    return True


def rename_exclusively(session: Session, source: str, target: str) -> None:
    """Rename a file or folder, never replacing: what SFTP promises, and OpenSSH keeps.

    Raises:
        ObjectExists: there is something under the new name.
        StorageUnavailable: the answer was lost; whether it was renamed is not known.
        SftpError: something else.
    """
    for tries_left in (2, 1, 0):
        try:
            session.ask(Kind.RENAME, packed_path(source), packed_path(target))
        except SftpError as error:
            if error.code in {Status.NO_SUCH_FILE, Status.PERMISSION_DENIED}:
                raise
            if is_there(session, target):
                raise ObjectExists(f"{target} is there already ({error})") from error
            if not tries_left:
                raise
        except LostError as error:
            # Not done twice: the second time would find what the first one did.
            raise StorageUnavailable(
                f"whether {target} has got its name is not known: {error}"
            ) from error
        else:
            return


def refuse_unless_exclusive(session: Session, scratch: str) -> None:
    """Try in a scratch folder whether this server keeps to what SFTP says of renaming.

    Raises:
        ConfigError: it replaces what is there, so that the last of several writers would win.
    """
    for folder in (scratch, f"{scratch}/a", f"{scratch}/b"):
        session.ask(Kind.MKDIR, packed_path(folder), NO_ATTRIBUTES)
    for file in (f"{scratch}/a/file", f"{scratch}/b/file"):
        flags = struct.pack(">II", Open.WRITE, 0)
        handle = session.ask(Kind.OPEN, packed_path(file), flags, answer=Kind.HANDLE).text()
        session.ask(Kind.CLOSE, packed_text(handle))
    try:
        for what in ("/file", ""):
            try:
                session.ask(
                    Kind.RENAME,
                    packed_path(f"{scratch}/a{what}"),
                    packed_path(f"{scratch}/b{what}"),
                )
            except SftpError:
                continue
            raise ConfigError(
                "this server replaces what is there when it renames, so of several writers the "
                "last would win: use OpenSSH's server, or give the place readonly = true"
            )
    finally:
        remove(session, scratch)


def replace(session: Session, source: str, target: str) -> None:
    """Rename a file in one step, replacing an older one.

    Raises:
        ConfigError: there is an older one, and this server cannot replace it in one step.
        SftpError: something else.
    """
    if "posix-rename@openssh.com" in session.extensions:
        name = packed_text(b"posix-rename@openssh.com")
        session.ask(Kind.EXTENDED, name, packed_path(source), packed_path(target))
        return
    try:
        rename_exclusively(session, source, target)
    except ObjectExists as error:
        raise ConfigError(
            f"{target} cannot be replaced: the server does not offer posix-rename@openssh.com, and "
            "to remove the old file first would leave a moment without any; "
            "use this place for new data only, or OpenSSH's server"
        ) from error


def _batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[at : at + AT_ONCE] for at in range(0, len(items), AT_ONCE))
