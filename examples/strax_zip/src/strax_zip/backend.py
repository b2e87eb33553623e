"""The byte verbs on a folder of zip archives: those that read."""

import logging
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from strax_core import (
    DataCorrupted,
    Entry,
    ObjectMissing,
    StorageBackend,
    StorageError,
    StorageUnavailable,
    checked_path,
)
from strax_zip.archive import Archive, stamp_of
from strax_zip.errors import storage_errors
from strax_zip.options import ZipOptions

COMPRESSED = 3  # strax's storage_type for what is slower than a disk and nearer than a network
ARCHIVES_KEPT = 256
"""Of how many archives the table of contents is kept."""
_LOG = logging.getLogger("strax_zip")


class ZipBackend(StorageBackend):
    """A folder with an archive ``<run_id>.zip`` for each run; read only.

    What a path names lies in the archive of its run, which is what stands before the first ``-``:
    ``run_7-peaks-ld2xg4vh6j/…`` and ``run_7-metadata.json`` in ``run_7.zip``. In the archive of
    another run nobody looks for it. Archives are replaced, never changed: each question goes to one
    whole archive.
    """

    __module__ = "strax_zip"

    default_storage_type = COMPRESSED
    may_hold_strax_folders = False  # strax renames a folder before anyone packs it

    def __init__(self, options: ZipOptions) -> None:
        self._root = Path(options.path).expanduser().absolute()
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {"_root": self._root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._archives: OrderedDict[str, Archive] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        return str(self._root)

    def read(self, path: str) -> bytes:
        with self._member(path) as (archive, file):
            return archive.read(file, path)

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> Sequence[bytes]:
        with self._member(path) as (archive, file):
            size = archive.members[path].file_size
            if file_bytes not in (None, size):
                raise DataCorrupted(f"{archive.path}: {path} has {size} bytes, not {file_bytes}")
            return archive.read_ranges(file, path, ranges)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        start = f"{checked_path(folder)}/" if folder else ""
        for run_id in self._runs(start + starts_with):
            try:
                archive = self._contents(run_id)
            except ObjectMissing:
                continue
            except DataCorrupted as error:
                if folder:
                    raise
                _LOG.warning("left out: %s", error)  # one bad archive does not hide the others
                continue
            yield from _level(archive, run_id, start, starts_with)

    def _runs(self, start: str) -> Sequence[str]:
        """Return the runs whose archive may hold something that begins so."""
        first, is_below, _ = start.partition("/")
        run_id, is_whole, _ = first.partition("-")
        if is_whole or is_below:
            return [run_id]
        with self._errors(None):
            names = [path.name for path in self._root.iterdir()]
        runs = [name.removesuffix(".zip") for name in names if name.endswith(".zip")]
        return sorted(run_id for run_id in runs if run_id.startswith(start))

    @contextmanager
    def _member(self, path: str) -> Iterator[tuple[Archive, BinaryIO]]:
        """Open the archive in which a path lies; its table of contents is of this very file."""
        run_id = checked_path(path).partition("/")[0].partition("-")[0]
        with self._opened(run_id) as (archive, file):
            if path not in archive.members:
                raise ObjectMissing(f"{archive.path} has no {path}")
            yield archive, file

    def _contents(self, run_id: str) -> Archive:
        with self._opened(run_id) as (archive, _):
            return archive

    @contextmanager
    def _opened(self, run_id: str) -> Iterator[tuple[Archive, BinaryIO]]:
        full = self._root / f"{run_id}.zip"
        with self._errors(full), _opened_file(full) as file:
            with self._lock:
                archive = self._archives.pop(run_id, None)
            if archive is None or archive.stamp != stamp_of(file):
                archive = Archive.of(str(full), file)
            with self._lock:
                self._archives[run_id] = archive
                while len(self._archives) > ARCHIVES_KEPT:
                    self._archives.popitem(last=False)
            yield archive, file

    @contextmanager
    def _errors(self, full: Path | None) -> Iterator[None]:
        """Translate errors; a folder that vanished is not one without archives."""
        try:
            with storage_errors(str(full or self._root)):
                yield
        except StorageError as error:
            if isinstance(error, ObjectMissing) and not self._root.is_dir():
                raise StorageUnavailable(
                    f"the folder {self._root} is not there: is it mounted?"
                ) from error
            raise


def _opened_file(full: Path) -> BinaryIO:
    """Open an archive, which may be a link to one: not a pipe, which could take for ever."""
    file = os.fdopen(os.open(full, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise DataCorrupted(f"{full} is a pipe, a device or a folder, and no archive")
    return file


def _level(archive: Archive, run_id: str, start: str, starts_with: str) -> Iterator[Entry]:
    """Iterate over one level of an archive, as far as it is of its own run."""
    sizes: dict[str, int | None] = {}  # None: a folder
    for path, info in archive.members.items():
        if path.startswith(start + starts_with):
            name, is_below, _ = path.removeprefix(start).partition("/")
            is_own = start or name.partition("-")[0] == run_id
            if is_own and (is_below or name not in sizes):
                sizes[name] = None if is_below else info.file_size
    for name, size_bytes in sizes.items():
        yield Entry(
            name,
            is_folder=size_bytes is None,
            size_bytes=size_bytes or 0,
            modified_ns=archive.modified_ns,
        )
