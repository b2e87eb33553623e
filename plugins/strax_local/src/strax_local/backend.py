"""The byte verbs on a directory."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import BinaryIO, TypeVar

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
from strax_local.options import LocalOptions
from strax_local.rename_exclusive import rename_exclusive
from strax_local.translate_errors import storage_error

FOLDER_TRIES = 100  # another process may tidy up an empty folder just as we fill it
Result = TypeVar("Result")
ListOfBytes = list[bytes]  # inside the class, `list` is the verb


class LocalBackend(StorageBackend):
    """A directory. It is not made here, so one that vanishes is not mistaken for an empty one."""

    saver_class = RenamingSaver
    may_hold_strax_folders = True

    def __init__(self, options: LocalOptions) -> None:
        self._root = os.path.abspath(os.path.expanduser(options.path))
        self._fsync = options.fsync

    @property
    def place(self) -> str:
        return self._root

    def read(self, path: str) -> bytes:
        with self._opened(path) as file:
            return file.read()

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> "ListOfBytes":
        answers = []
        with self._opened(path) as file:
            end = os.fstat(file.fileno()).st_size
            if file_bytes not in (None, end):
                raise DataCorrupted(f"{file.name} has {end} bytes, not {file_bytes}")
            for offset, size in ranges:
                if 0 <= offset <= offset + size <= end:
                    file.seek(offset)
                    answers.append(file.read(size))
                    if len(answers[-1]) == size:
                        continue
                raise DataCorrupted(
                    f"{file.name} has {end} bytes; {size} at {offset} were asked for"
                )
        return answers

    def read_into(self, path: str, memory: memoryview) -> None:
        with self._opened(path) as file:
            end = os.fstat(file.fileno()).st_size
            if end != len(memory) or file.readinto(memory) != end:
                raise DataCorrupted(f"{file.name} has {end} bytes, not {len(memory)}")

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        errors = self._errors(folder or None)
        with suppress(ObjectMissing), errors as full, os.scandir(full) as found:
            for item in found:
                if item.name.startswith(starts_with):
                    try:
                        status = item.stat()
                    except FileNotFoundError:
                        continue  # removed since it was listed
                    is_folder = stat.S_ISDIR(status.st_mode)
                    yield Entry(
                        item.name,
                        is_folder=is_folder,
                        size_bytes=0 if is_folder else status.st_size,
                        modified_ns=status.st_mtime_ns,
                    )

    def folder_names(self, folder: str, *, starts_with: str = "") -> Iterator[str]:
        errors = self._errors(folder or None)
        with suppress(ObjectMissing), errors as full, os.scandir(full) as found:
            for item in found:
                if item.name.startswith(starts_with) and item.is_dir():
                    yield item.name

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        with self._errors(path) as full:
            temporary = self._write_temporary(buffers)
            try:
                self._move(temporary, full, exclusively=create_only)
            except BaseException:
                _unlink_if_there(temporary)
                raise

    def delete(self, path: str) -> None:
        try:
            with self._errors(path) as full:
                if os.path.isdir(full) and not os.path.islink(full):
                    _retrying(lambda: shutil.rmtree(full), while_there=full)
                else:
                    os.unlink(full)
        except ObjectMissing:
            pass
        self._drop_empty_parents(path)

    def rename(self, source: str, target: str) -> None:
        with self._errors(source) as full_source:
            if not os.path.isdir(full_source):
                raise FileNotFoundError(errno.ENOENT, "no such folder")
            self._sync_folder(full_source)
        with self._errors(target) as full_target:
            self._move(full_source, full_target, exclusively=True)
            self._sync_folder(os.path.dirname(full_source))

    @contextmanager
    def _opened(self, path: str) -> Iterator[BufferedReader]:
        with self._errors(path) as full:
            if not stat.S_ISREG(os.stat(full).st_mode):
                raise IsADirectoryError(errno.EISDIR, "not a file")  # a pipe would block for ever
            with open(full, "rb") as file:
                yield file

    @contextmanager
    def _errors(self, path: str | None) -> Iterator[str]:
        """Give the full path (None: the root) and translate errors; a vanished root has its own."""
        full = self._root if path is None else os.path.join(self._root, checked_path(path))
        try:
            yield full
        except OSError as error:
            ours = storage_error(error, full)
            if isinstance(ours, ObjectMissing) and not os.path.isdir(self._root):
                raise StorageUnavailable(
                    f"the directory {self._root} is not there: is it mounted? "
                    f"If it is new, make it: mkdir -p {self._root}"
                ) from error
            raise ours from error

    def _write_temporary(self, buffers: Sequence[Buffer]) -> str:
        """Write a file that nobody looks for; `strax clean` removes it should we die here."""
        temporary = os.path.join(self._root, STAGING, f"tmp-{secrets.token_hex(8)}")

        def create() -> BinaryIO:
            self._make_parents(temporary)
            return open(temporary, "xb")

        try:
            with _retrying(create, while_there=self._root) as file:
                for buffer in buffers:
                    file.write(buffer)
                file.flush()
                if self._fsync:
                    os.fsync(file.fileno())
        except BaseException:
            _unlink_if_there(temporary)
            raise
        return temporary

    def _move(self, source: str, target: str, *, exclusively: bool) -> None:
        def move() -> None:
            self._make_parents(target)
            if exclusively:
                rename_exclusive(source, target)
            else:
                os.replace(source, target)

        _retrying(move, while_there=source)
        self._sync_folder(os.path.dirname(target))

    def _make_parents(self, full: str) -> None:
        """Make the folders above a file, but never the root: its disk may not be mounted."""
        folder = os.path.dirname(full)
        if folder == self._root or os.path.isdir(folder):
            return
        self._make_parents(folder)
        with suppress(FileExistsError):
            os.mkdir(folder)
            self._sync_folder(os.path.dirname(folder))

    def _drop_empty_parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        with suppress(OSError):  # not empty, or gone already
            while parts:
                os.rmdir(os.path.join(self._root, *parts))
                parts.pop()

    def _sync_folder(self, full: str) -> None:
        """Make the names in a folder durable; without this a power cut may undo a rename."""
        if not self._fsync:
            return
        try:
            descriptor = os.open(full, os.O_RDONLY)
        except FileNotFoundError:
            return  # tidied up by someone else
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _retrying(action: Callable[[], Result], *, while_there: str) -> Result:
    """Do `action` again if a folder came or went under it, as long as `while_there` exists."""
    for _ in range(FOLDER_TRIES):
        try:
            return action()
        except FileNotFoundError:
            if not os.path.lexists(while_there):
                raise
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
    return action()


def _unlink_if_there(full: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(full)
