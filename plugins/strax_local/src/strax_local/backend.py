"""The byte verbs on a directory."""

import copy
import logging
import os
import secrets
import shutil
import stat
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import Any

from strax_core import (
    STAGING,
    Buffer,
    DataCorrupted,
    Entry,
    ObjectMissing,
    RenamingSaver,
    StorageBackend,
    StorageUnavailable,
    checked_path,
)
from strax_local import folders
from strax_local.errors import storage_error
from strax_local.folders import Descriptor, LinkError, SpecialFileError
from strax_local.options import LocalOptions
from strax_local.rename_exclusive import Name, rename, rename_exclusive

_LOG = logging.getLogger("strax_local")


class LocalBackend(StorageBackend):
    """A directory. It is not made here, so one that vanishes is not mistaken for an empty one.

    No link leads out of it, but for one at its top in the place of a folder, such as of a piece of
    data that was moved to another disk: what lies behind that is read, and is not changed, unless
    by way of `behind_link`.
    """

    __module__ = "strax_local"

    saver_class = RenamingSaver
    may_hold_strax_folders = True
    _resolved: "_Resolved | None" = None
    """A folder at the top that is a link, and was opened once."""

    def __init__(self, options: LocalOptions) -> None:
        self._root = os.path.abspath(os.path.expanduser(options.path))
        self._fsync = options.fsync

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_resolved"}

    @property
    def place(self) -> str:
        return self._root

    def read(self, path: str) -> bytes:
        with self._opened(path) as (file, _):
            return file.read()

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> Sequence[bytes]:
        answers = []
        with self._opened(path) as (file, full):
            end = os.fstat(file.fileno()).st_size
            if file_bytes not in (None, end):
                raise DataCorrupted(f"{full} has {end} bytes, not {file_bytes}")
            for offset, size in ranges:
                if 0 <= offset <= offset + size <= end:
                    file.seek(offset)
                    answers.append(file.read(size))
                    if len(answers[-1]) == size:
                        continue
                raise DataCorrupted(f"{full} has {end} bytes; {size} at {offset} were asked for")
        return answers

    def read_into(self, path: str, memory: memoryview) -> None:
        with self._opened(path) as (file, full):
            end = os.fstat(file.fileno()).st_size
            if end != len(memory) or file.readinto(memory) != end:
                raise DataCorrupted(f"{full} has {end} bytes, not {len(memory)}")

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        with suppress(ObjectMissing), self._scanned(folder) as (items, descriptor):
            for item in items:
                if item.name.startswith(starts_with):
                    try:
                        yield _entry(item, descriptor, resolves=not folder)
                    except FileNotFoundError:
                        continue  # removed since it was listed, or a link to nothing
                    except OSError as error:
                        _LOG.warning("%s/%s is passed over: %s", self._root, item.name, error)

    def folder_names(self, folder: str, *, starts_with: str = "") -> Iterator[str]:
        with suppress(ObjectMissing), self._scanned(folder) as (items, _):
            for item in items:
                resolves = not folder and not item.name.startswith(".")
                if item.name.startswith(starts_with) and _is_folder(item, resolves=resolves):
                    yield item.name

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        *above, name = _parts(path)
        # Behind a link may be another disk, to which nothing can be renamed from here.
        beside = above[:1] if self._resolved and above[:1] == [self._resolved.name] else [STAGING]
        temporary = f"tmp-{secrets.token_hex(8)}"
        move = rename_exclusive if create_only else rename
        with (
            self._errors(path),
            Descriptor(self._write_temporary(beside, temporary, buffers)) as scratch,
        ):

            def finish() -> None:
                with Descriptor(self._made(above)) as folder:
                    move(Name(scratch, temporary), Name(folder, name))
                    self._sync(folder)

            try:
                folders.retrying(finish, while_there=lambda: folders.is_there(scratch, temporary))
            except BaseException:
                folders.unlink(scratch, temporary)
                raise

    def delete(self, path: str) -> None:
        *above, name = _parts(path)
        with (
            suppress(ObjectMissing),
            self._errors(path),
            Descriptor(self._folder(above)) as folder,
        ):
            _remove(folder, name)
        self._drop_empty(above)

    def delete_files(self, paths: Sequence[str]) -> None:
        by_folder: dict[tuple[str, ...], list[str]] = {}
        for path in paths:
            *above, name = _parts(path)
            by_folder.setdefault(tuple(above), []).append(name)
        for parts, names in by_folder.items():
            with (
                suppress(ObjectMissing),
                self._errors("/".join((*parts, names[0]))),
                Descriptor(self._folder(parts)) as folder,
            ):
                for name in names:
                    folders.unlink(folder, name)
            self._drop_empty(parts)

    def drop_empty(self, folder: str) -> None:
        self._drop_empty(_parts(folder))

    def rename(self, source: str, target: str) -> None:
        *above, name = _parts(source)
        *target_above, target_name = _parts(target)
        with self._errors(source), Descriptor(self._folder(above)) as folder:
            with Descriptor(folders.open_below(folder, name)) as moved:
                self._sync(moved)

            def move() -> None:
                with Descriptor(self._made(target_above)) as target_folder:
                    rename_exclusive(Name(folder, name), Name(target_folder, target_name))
                    self._sync(target_folder)

            with self._errors(target):
                folders.retrying(move, while_there=lambda: folders.is_there(folder, name))
            self._sync(folder)

    def link_target(self, path: str) -> str | None:
        *above, name = _parts(path)
        if self._resolved and not above and name == self._resolved.name:
            return None
        with (
            suppress(ObjectMissing),
            self._errors(path),
            Descriptor(self._folder(above)) as folder,
        ):
            return folders.target_of(folder, name)
        return None

    def behind_link(self, folder: str) -> "LocalBackend | None":
        if "/" in folder or folder.startswith(".") or self.link_target(folder) is None:
            return None
        with self._errors(folder):
            descriptor = self._folder([folder], resolves=True)
        twin = copy.copy(self)
        twin._resolved = _Resolved(folder, descriptor)  # noqa: SLF001 - of this class
        return twin

    # Inside

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[BufferedReader, str]]:
        *above, name = _parts(path)
        with self._errors(path) as full:
            with Descriptor(self._folder(above, resolves=True)) as folder:
                descriptor = folders.open_file(folder, name)
            with open(descriptor, "rb") as file:
                yield file, full

    @contextmanager
    def _scanned(self, folder: str) -> Iterator[tuple[Iterator["os.DirEntry[str]"], int]]:
        parts = _parts(folder) if folder else []
        with (
            self._errors(folder or None),
            Descriptor(self._folder(parts, flags=folders.READ, resolves=True)) as descriptor,
            os.scandir(descriptor) as found,
        ):
            yield found, descriptor

    def _folder(
        self, parts: Sequence[str], *, flags: int = folders.PASS, resolves: bool = False
    ) -> int:
        """Open a folder of the place, part by part.

        Args:
            parts: names of folders.
            flags: with which the last one is opened.
            resolves: whether the first may be a link, unless it is one of our own.
        """
        if self._resolved and parts and parts[0] == self._resolved.name:
            begun = os.open(".", flags, dir_fd=self._resolved.descriptor)
            return folders.walk(begun, parts[1:], flags=flags)
        if not parts:
            return os.open(self._root, flags)
        if resolves and not parts[0].startswith("."):
            return folders.walk(self._top(parts[0], flags), parts[1:], flags=flags)
        return folders.walk(os.open(self._root, folders.PASS), parts, flags=flags)

    def _top(self, name: str, flags: int) -> int:
        """Open a folder at the top, or what a link there leads to."""
        full = os.path.join(self._root, name)
        try:
            return os.open(full, flags)
        except OSError as error:
            if not os.path.islink(full):
                raise
            raise StorageUnavailable(
                f"{full} is a link to {os.readlink(full)}, which is not there: is it mounted? "
                f"({error.strerror})"
            ) from error

    def _made(self, parts: Sequence[str]) -> int:
        """Open a folder of the place; make it and those above, but never the root."""
        if self._resolved and parts and parts[0] == self._resolved.name:
            folder, parts = self._folder(parts[:1]), parts[1:]
        else:
            folder = os.open(self._root, folders.PASS)
        for part in parts:
            with Descriptor(folder):
                folder = folders.make_below(folder, part, synced=self._fsync)
        return folder

    def _write_temporary(self, parts: Sequence[str], name: str, buffers: Sequence[Buffer]) -> int:
        """Write a file that nobody looks for, and open its folder.

        `strax clean` removes it should we die before it gets its own name.
        """

        def create() -> tuple[int, int]:
            folder = self._made(parts)
            try:
                return folder, os.open(name, folders.CREATE, 0o666, dir_fd=folder)
            except BaseException:
                os.close(folder)
                raise

        folder, file = folders.retrying(create, while_there=lambda: os.path.isdir(self._root))
        try:
            with open(file, "wb") as writing:
                writing.writelines(buffers)
                writing.flush()
                if self._fsync:
                    os.fsync(file)
        except BaseException:
            folders.unlink(folder, name)
            os.close(folder)
            raise
        return folder

    def _drop_empty(self, parts: Sequence[str]) -> None:
        """Remove folders that are empty, from the deepest up; never one that is a link."""
        with suppress(OSError, LinkError):  # not empty, or gone already
            while parts and not (self._resolved and list(parts) == [self._resolved.name]):
                *above, name = parts
                with Descriptor(self._folder(above)) as folder:
                    os.rmdir(name, dir_fd=folder)
                parts = above

    def _sync(self, folder: int) -> None:
        if self._fsync:
            folders.sync(folder)

    @contextmanager
    def _errors(self, path: str | None) -> Iterator[str]:
        """Give the full path (None: the root) and translate errors; a vanished root has its own."""
        full = self._root if path is None else os.path.join(self._root, path)
        try:
            yield full
        except LinkError as error:
            raise DataCorrupted(
                f"{full}: {error}; what a place holds lies in it, and no link is followed: put "
                "there what the link leads to, or name that folder as a place of its own"
            ) from error
        except SpecialFileError as error:
            raise DataCorrupted(f"{full}: {error}; move it away") from error
        except OSError as error:
            ours = storage_error(error, full)
            if isinstance(ours, ObjectMissing) and not os.path.isdir(self._root):
                raise StorageUnavailable(
                    f"the directory {self._root} is not there: is it mounted? "
                    f"If it is new, make it: mkdir -p {self._root}"
                ) from error
            raise ours from error


class _Resolved:
    """A folder behind a link, opened once; closed when nobody uses it any more."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)


def _parts(path: str) -> list[str]:
    return checked_path(path).split("/")


def _entry(item: "os.DirEntry[str]", folder: int, *, resolves: bool) -> Entry:
    status = item.stat(follow_symlinks=False)
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link and resolves and not item.name.startswith("."):
        status = os.stat(item.name, dir_fd=folder)
    is_folder = stat.S_ISDIR(status.st_mode)
    return Entry(
        item.name,
        is_folder=is_folder,
        size_bytes=0 if is_folder else status.st_size,
        modified_ns=status.st_mtime_ns,
        is_link=is_link,
    )


def _is_folder(item: "os.DirEntry[str]", *, resolves: bool) -> bool:
    try:
        return item.is_dir(follow_symlinks=resolves)
    except OSError as error:
        _LOG.warning("%s is passed over: %s", item.name, error)
        return False


def _remove(folder: int, name: str) -> None:
    """Remove a file, a link, or a folder and all in it."""
    if folders.is_folder(folder, name):
        folders.retrying(
            lambda: shutil.rmtree(name, dir_fd=folder),
            while_there=lambda: folders.is_there(folder, name),
        )
    else:
        os.unlink(name, dir_fd=folder)
