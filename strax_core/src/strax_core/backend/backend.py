"""Role 2: loads pieces of data and creates savers, on a handful of byte verbs."""

import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from strax_core.backend.checks import Check, reading_checks, writing_checks
from strax_core.backend.remove import remove_data
from strax_core.chunks import put_bytes
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ObjectMissing,
    ReadOnlyError,
    StorageUnavailable,
)
from strax_core.format import Metadata, read_metadata
from strax_core.loader import Loader
from strax_core.medium import Buffer, Entry
from strax_core.saver import RenamingSaver, Saver
from strax_core.tracing import TracedBackend


class StorageBackend(TracedBackend):
    """A place that holds bytes under paths, and all that core builds on that.

    - To read, override `place`, `read` and `list`; to write, also `write`, `delete`, and `rename`
      if `saver_class` is `RenamingSaver`.
    - Paths are relative to the place's root, parts joined by ``/``; give each to `checked_path`
      first.
    - Every verb works in several threads at once. Errors are ours, with the SDK's error as cause:
      a vanished mount or bucket is `StorageUnavailable`, never "missing".
    - A backend pickles without secrets, and works in another process.
    """

    saver_class: ClassVar[type[Saver] | None] = None
    """Class of its savers: `RenamingSaver`, `ConditionalSaver`, one of yours; None: `readonly`."""
    may_hold_strax_folders: ClassVar[bool] = False
    """True if an old strax may have written here: then a name it used is looked for too."""
    default_storage_type: ClassVar[float] = 1
    """Distance, unless its frontend says otherwise: 0 memory, 1 local, 4 remote, 10 tape."""
    stale_reason: ClassVar[str] = "an upload that never ended"
    """Name for what `drop_stale` finds."""

    # To override

    @property
    def place(self) -> str:
        """Name of this place for people, such as a path or URL; in every error, so no secrets."""
        raise self._not_overridden("place")

    def read(self, path: str) -> bytes:
        """Return all bytes of a file.

        Raises:
            ObjectMissing: there is no such file.
        """
        raise self._not_overridden("read")

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        """Iterate over one level of a folder; one that is not there is empty. ``""`` is the root.

        Only complete files appear, and each appears as soon as `write` has returned.
        """
        raise self._not_overridden("list")

    # To override to write

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        """Store the joined buffers as a file: all or nothing, durable on return.

        Folders appear as needed.
        A reader sees the old bytes or the new, never a part. With `create_only`, of any number of
        writers exactly one succeeds, also across processes and machines.

        Raises:
            ObjectExists: `create_only`, and the file is there.
        """
        raise self._not_overridden("write")

    def delete(self, path: str) -> None:
        """Remove a file, or a folder and all in it; nothing there is fine. Empty folders may go."""
        raise self._not_overridden("delete")

    def rename(self, source: str, target: str) -> None:
        """Move a folder in one step, never replacing anything; durable on return.

        Raises:
            ObjectMissing: there is no such folder.
            ObjectExists: the target is taken, be it by an empty folder.
        """
        raise self._not_overridden("rename")

    # May be overridden

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> Sequence[bytes]:
        """Return the bytes of each ``(offset, size)``, in the order asked, never short.

        Args:
            path: of the file.
            ranges: at least one, else nothing need be asked.
            file_bytes: how large the file has to be; a size that comes with the answer will do.
                None: of any size.

        Raises:
            ObjectMissing: there is no such file.
            DataCorrupted: a range reaches beyond its end, or it has another size.
        """
        whole = self.read(path)
        if file_bytes not in (None, len(whole)):
            raise DataCorrupted(f"{self.place}/{path} has {len(whole)} bytes, not {file_bytes}")
        for offset, size in ranges:
            if offset < 0 or size < 0 or offset + size > len(whole):
                raise DataCorrupted(
                    f"{self.place}/{path} has {len(whole)} bytes; {size} at {offset} were asked for"
                )
        return [whole[offset : offset + size] for offset, size in ranges]

    def read_into(self, path: str, memory: memoryview) -> None:
        """Fill memory with all bytes of a file. Only for a place that need not copy them there.

        Args:
            path: of the file.
            memory: bytes; as many as the file has to have. What an error leaves there is undefined.

        Raises:
            ObjectMissing: there is no such file.
            DataCorrupted: it has another size.
        """
        size = len(memory)
        (content,) = self.read_ranges(path, [(0, size)], file_bytes=size)
        if len(content) != size:
            raise DataCorrupted(f"{self.place}/{path}: {len(content)} bytes came, not {size}")
        put_bytes(memory, content)

    def delete_files(self, paths: Sequence[str]) -> None:
        """Remove files; what is not there is fine, and a folder of that name stays.

        For a place that removes many in fewer steps than one by one, or that can refuse a folder
        in the same step: here it is looked for before.
        """
        by_folder: dict[str, list[str]] = {}
        for path in paths:
            by_folder.setdefault(path.rpartition("/")[0], []).append(path)
        for folder, some in by_folder.items():
            one = some[0].rpartition("/")[2] if len(some) == 1 else ""
            names = {
                entry.name
                for entry in self.list(folder, starts_with=one)
                if not entry.is_folder or entry.is_link
            }
            for path in some:
                if path.rpartition("/")[2] in names:
                    self.delete(path)

    def drop_empty(self, folder: str) -> None:
        """Remove a folder if nothing is in it; those above may go, too, if that empties them.

        Only for a place that has folders. Here a file is deleted that is not there, since a place
        with folders may then drop the empty one: to delete the folder itself could take with it
        what somebody is putting there.
        """
        self.delete(f"{folder}/nothing-{secrets.token_hex(8)}")

    def folder_names(self, folder: str, *, starts_with: str = "") -> Iterator[str]:
        """Iterate over the names of the folders that `list` shows.

        Only for a place that knows them sooner than sizes and times.
        """
        return (e.name for e in self.list(folder, starts_with=starts_with) if e.is_folder)

    def link_target(self, path: str) -> str | None:
        """Return where a link leads, as it says itself; None if it is none, or nothing is there.

        Only for a place that has links.
        """
        return None

    def behind_link(self, folder: str) -> "StorageBackend | None":
        """Return this place with a folder at its top that is a link, resolved once and for all.

        What it returns changes what lies behind the link, which this backend itself never does.
        Only for a place that has links; None: it is no link.

        Raises:
            StorageUnavailable: what it leads to is not there.
        """
        return None

    def checks(self, *, writes: bool) -> Iterator[Check]:
        """Find out whether the place can do what is needed of it; nothing that is tried stays.

        A backend adds its own, such as whether credentials are valid, before or after these.

        Args:
            writes: whether to try writing, too.
        """
        yield from reading_checks(self)
        if writes and self.saver_class is not None:
            renames = issubclass(self.saver_class, RenamingSaver)
            yield from writing_checks(self, renames=renames)

    def drop_stale(self, *, before_ns: int, dry_run: bool) -> Iterator[str]:
        """Iterate over paths of what `list` does not show, and drop it.

        Only for a place that keeps such things: parts of uploads that never ended, data that are
        over their time. `stale_reason` says what they are.

        Args:
            before_ns: what began later, by the place's clock, is left alone.
            dry_run: only say what there is.
        """
        return iter(())

    # For frontends and contexts

    @property
    def readonly(self) -> bool:
        """True if it only reads, since it has no `saver_class`."""
        return self.saver_class is None

    def get_metadata(self, backend_key: str) -> Metadata:
        """Read the metadata of a piece of data, in one request if they are there.

        Raises:
            DataNotAvailable: nothing is there.
            DataCorrupted: what is there cannot be read.
        """
        try:
            return read_metadata(self, backend_key)
        except ObjectMissing as error:
            raise DataNotAvailable(f"{self.place}: there is no {backend_key}") from error

    def loader(self, backend_key: str, *, metadata: Metadata | None = None) -> Loader:
        """Return what loads a piece of data; nothing but metadata is read yet, and not if given.

        Raises:
            DataNotAvailable: nothing is there, or its writing failed.
        """
        if metadata is None:
            metadata = self.get_metadata(backend_key)
        return Loader(self, backend_key, metadata)

    def saver(
        self,
        backend_key: str,
        metadata: Mapping[str, Any],
        *,
        overwrite: str = "if_broken",
        grace_time_s: float = 3600.0,
    ) -> Saver:
        """Return a saver that has begun: its ticket is written.

        Args:
            backend_key: folder to be.
            metadata: what is known before the first chunk (see `Saver`).
            overwrite: what may be replaced: ``never``, ``if_broken``, ``always``.
            grace_time_s: after how long a silent writer counts as dead.

        Raises:
            ReadOnlyError: this backend cannot write.
        """
        if self.saver_class is None:
            raise ReadOnlyError(f"{self.place}: {type(self).__name__} cannot write")
        saver = self.saver_class(
            self, backend_key, metadata, overwrite=overwrite, grace_time_s=grace_time_s
        )
        return saver.open()

    def verify(self, backend_key: str) -> None:
        """Read everything of a piece of data and check it; each file is read once.

        That is more than a load looks at: also the checksum of a file that loads read in parts,
        that of the rows, and their times as the metadata say them.

        Raises:
            DataNotAvailable: nothing is there.
            DataCorrupted: something does not fit; the message names the chunk.
        """
        loader = self.loader(backend_key)
        held = _Held(self.place)
        of_held = Loader(held, backend_key, loader.metadata)
        for info in loader.metadata.chunks:
            try:
                held.stored = loader.read_stored(info) if info.n else b""
            except DataCorrupted:
                loader.read_chunk(info)  # this may tell more: the field and the block
                raise
            of_held.check_chunk(info)

    def remove(self, backend_key: str) -> None:
        """Remove a piece of data: first its metadata, so that nobody finds the rest.

        Only what writers made goes. What else lies in its folder stays, and a warning names it; if
        the folder is a link, just that goes, and what it leads to stays.
        """
        if self.readonly:
            raise ReadOnlyError(f"{self.place}: {type(self).__name__} cannot remove")
        if backend_key.startswith("."):
            raise ConfigError(f"{backend_key!r} is not a piece of data")
        target = self.link_target(backend_key)
        if target is not None:
            self.delete_files([backend_key])
            if any(each.name == backend_key for each in self.list("", starts_with=backend_key)):
                raise StorageUnavailable(
                    f"{self.place}/{backend_key} was a link to {target}, and is not any more; "
                    "nothing is removed: try it again"
                )
            warnings.warn(
                f"{self.place}/{backend_key} was a link, and is removed; what it leads to stays: "
                f"{target}",
                stacklevel=2,
            )
            return
        kept = remove_data(self, backend_key)
        if kept:
            warnings.warn(
                f"{self.place}/{backend_key} is removed, but for what no writer made: "
                f"{', '.join(each if each.isprintable() else ascii(each) for each in kept)}",
                stacklevel=2,
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.place}>"

    def _not_overridden(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} must override StorageBackend.{method}")


class _Held(StorageBackend):
    """One file that has been read: whatever the path."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.stored = b""

    @property
    def place(self) -> str:
        return self._place

    def read(self, path: str) -> bytes:
        return self.stored
