"""The byte verbs over SFTP."""

import copy
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from strax_core import (
    STAGING,
    Buffer,
    Check,
    ConfigError,
    Entry,
    ObjectMissing,
    RenamingSaver,
    StorageBackend,
    StorageError,
    StorageUnavailable,
    checked_path,
)
from strax_ssh.checks import distance_text, extensions_text, speed_text
from strax_ssh.connection import connection_to
from strax_ssh.errors import translated, why_not_written
from strax_ssh.options import SshOptions
from strax_ssh.sftp import (
    NO_ATTRIBUTES,
    Attributes,
    Kind,
    LostError,
    Session,
    SftpError,
    SilentError,
    Small,
    Status,
    Transfer,
    Wanted,
    Way,
    answers,
    are_plain,
    ask_about,
    attributes_of,
    dangling_target,
    drop_empty,
    is_below_a_file,
    listing,
    packed_path,
    real_path,
    refuse_links,
    refuse_unless_exclusive,
    remove,
    remove_files,
    rename_exclusively,
    replace,
    target_of,
    with_parents,
)

Result = TypeVar("Result")


class SshBackend(StorageBackend):
    """A directory of another machine. All objects of a process share one connection to it."""

    __module__ = "strax_ssh"

    saver_class = RenamingSaver
    may_hold_strax_folders = True
    default_storage_type = 4

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._place = options.place
        self._root = options.path.rstrip("/") or "/"
        self._connection = connection_to(options)
        self._is_exclusive = False
        self._resolved: tuple[str, str] | None = None
        """A folder at the top that is a link, and where it led when it was resolved."""

    def __reduce__(self) -> tuple[type["SshBackend"], tuple[SshOptions]]:
        return type(self), (self._options,)

    @property
    def place(self) -> str:
        return self._place

    def read(self, path: str) -> bytes:
        return self._read(path, None)[0]

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> Sequence[bytes]:
        return self._read(path, ranges, file_bytes)

    def _read(
        self,
        path: str,
        ranges: Sequence[tuple[int, int]] | None,
        file_bytes: int | None = None,
    ) -> Sequence[bytes]:
        way, wanted = self._way(path), Wanted(self._where(path), ranges, file_bytes)
        if wanted.is_small:
            try:
                small = Small(way.full, wanted, way.on_way_to_read)
                content = self._connection.read_small(small)
            except LostError as error:
                raise self._unusable(path, error) from error
            if content is not None:
                return content

        def read(session: Session) -> list[bytes] | None:
            asked = ask_about(session, way.on_way_to_read)  # the answers come with the next
            transfer = Transfer(session, self._options.in_flight)
            opening = transfer.begin(way.full)
            if are_plain(answers(session, asked)):
                return transfer.read(opening, wanted)
            session.close()  # the server may wait for ever, such as for who writes into a pipe
            return None

        def read_carefully(session: Session) -> list[bytes]:
            refuse_links(session, ask_about(session, way.on_way_to_read), file=way.full)
            transfer = Transfer(session, self._options.in_flight)
            return transfer.read(transfer.begin(way.full), wanted)

        content = self._run(path, read)
        return self._run(path, read_carefully) if content is None else content

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        way = self._way(folder) if folder else Way(self._root, ())

        def found_by(session: Session) -> list[tuple[str, Attributes, bool]]:
            asked = ask_about(session, way.on_way_to_list if folder else ())
            found = listing(session, way.full, resolves=not folder)
            refuse_links(session, asked)
            return found

        try:
            found = self._run(folder, found_by)
        except ObjectMissing:
            return
        for name, attributes, is_link in found:
            if name.startswith(starts_with):
                yield Entry(
                    name,
                    is_folder=attributes.is_folder,
                    size_bytes=0 if attributes.is_folder else attributes.size_bytes,
                    modified_ns=attributes.modified_s * 1_000_000_000,
                    is_link=is_link,
                )

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        way = self._way(path)
        # Behind a link may be another disk, to which nothing can be renamed from here.
        beside = way.start if way.is_resolved else self._full(STAGING)
        temporary = "/".join((beside, f"tmp-{secrets.token_hex(8)}"))
        move = rename_exclusively if create_only else replace
        if create_only:
            self._refuse_unless_exclusive()

        def write(session: Session) -> None:
            transfer, fsync = Transfer(session, self._options.in_flight), self._options.fsync
            refuse_links(session, ask_about(session, {self._full(STAGING), *way.folders}))
            with_parents(
                session,
                temporary,
                way.start,
                lambda: transfer.write(temporary, buffers, fsync=fsync),
            )
            with_parents(session, way.full, way.start, lambda: move(session, temporary, way.full))

        try:
            self._run(path, write, writes=True)
        except BaseException as error:
            # From a server that is silent, `strax clean` removes it.
            if not isinstance(error.__cause__, SilentError):
                with suppress(StorageError):
                    self._run(path, lambda session: remove(session, temporary))
            raise

    def delete(self, path: str) -> None:
        way = self._way(path)

        def delete(session: Session) -> None:
            refuse_links(session, ask_about(session, way.folders))
            if not remove(session, way.full):
                attributes_of(session, self._root)  # a place that vanished is not an empty one
            drop_empty(session, way.folders[way.is_resolved :])

        with suppress(ObjectMissing):
            self._run(path, delete)

    def delete_files(self, paths: Sequence[str]) -> None:
        by_folder: dict[str, list[str]] = {}
        for path in paths:
            by_folder.setdefault(path.rpartition("/")[0], []).append(path)
        for some in by_folder.values():
            way, full = self._way(some[0]), [self._full(path) for path in some]

            def delete(session: Session, way: Way = way, full: list[str] = full) -> None:
                refuse_links(session, ask_about(session, way.folders))
                if not remove_files(session, full):
                    attributes_of(session, self._root)  # a place that vanished is not an empty one
                drop_empty(session, way.folders[way.is_resolved :])

            with suppress(ObjectMissing):
                self._run(some[0], delete)

    def drop_empty(self, folder: str) -> None:
        way = self._way(folder)

        if not way.parts:
            return  # what a link leads to, which was resolved

        def drop(session: Session) -> None:
            refuse_links(session, ask_about(session, way.folders))
            drop_empty(session, [*way.folders[way.is_resolved :], way.full])

        with suppress(ObjectMissing):
            self._run(folder, drop)

    def rename(self, source: str, target: str) -> None:
        old, new = self._way(source), self._way(target)

        def rename(session: Session) -> None:
            asked = ask_about(session, [*old.folders, old.full, *new.folders])
            # Also finds out whether the connection is still there.
            if not attributes_of(session, old.full).is_folder:
                raise SftpError(Status.NO_SUCH_FILE, "not a folder")
            refuse_links(session, asked)
            with_parents(
                session,
                new.full,
                new.start,
                lambda: rename_exclusively(session, old.full, new.full),
            )

        self._refuse_unless_exclusive()
        self._run(target, rename, writes=True)

    def link_target(self, path: str) -> str | None:
        way = self._way(path)
        if not way.parts:
            return None
        with suppress(ObjectMissing):
            return self._run(path, lambda session: target_of(session, way.full))
        return None

    def behind_link(self, folder: str) -> "SshBackend | None":
        if "/" in folder or folder.startswith(".") or self.link_target(folder) is None:
            return None
        full = self._full(folder)
        twin = copy.copy(self)
        twin._resolved = (folder, self._run(folder, lambda session: real_path(session, full)))  # noqa: SLF001 - of this class
        return twin

    def make_root(self) -> None:
        """Make the directory, if it is only its last part that is missing."""

        def make(session: Session) -> None:
            try:
                attributes_of(session, self._root)
            except SftpError as error:
                if error.code == Status.NO_SUCH_FILE:
                    with suppress(SftpError):  # then whoever saves something is told why
                        session.ask(Kind.MKDIR, packed_path(self._root), NO_ATTRIBUTES)

        self._run("", make)

    def checks(self, *, writes: bool) -> Iterator[Check]:
        reach = Check.of("connect", lambda: self._run("", self._reached))
        yield reach
        if not reach.is_good:
            return  # the rest would say the same again
        yield Check.of("extensions", lambda: self._run("", extensions_text))
        yield from super().checks(writes=writes)
        if writes:
            yield Check.of("speed", lambda: speed_text(self))

    def _reached(self, session: Session) -> str:
        return f"{self._connection.how}; {distance_text(session)}"

    def close(self) -> None:
        """End this process's connection to the machine; it comes back when it is needed."""
        self._connection.close()

    # Inside

    def _refuse_unless_exclusive(self) -> None:
        """Before the first step that must not replace anything: see whether the server keeps to it.

        Raises:
            ConfigError: it does not.
        """

        def probe(session: Session) -> None:
            scratch = self._full("/".join((STAGING, f"probe-{secrets.token_hex(8)}")))
            with_parents(
                session, scratch, self._root, lambda: refuse_unless_exclusive(session, scratch)
            )

        if not self._is_exclusive:
            try:
                self._run("", probe, writes=True)
            except ConfigError as error:
                raise ConfigError(f"{self.place}: {error}") from error
            self._is_exclusive = True

    def _way(self, path: str) -> Way:
        parts = tuple(checked_path(path).split("/"))
        if self._resolved is not None and parts[0] == self._resolved[0]:
            return Way(self._resolved[1], parts[1:], is_resolved=True)
        return Way(self._root, parts)

    def _full(self, path: str) -> str:
        return self._way(path).full

    def _where(self, path: str) -> str:
        return f"{self.place}/{path}" if path else self.place

    def _run(
        self,
        path: str,
        action: Callable[[Session], Result],
        *,
        writes: bool = False,
    ) -> Result:
        """Do something over the connection, and raise our errors."""

        def explaining(session: Session) -> Result:
            try:
                return action(session)
            except SftpError as error:
                raise self._explained(session, error, path, writes=writes) from error

        try:
            return self._connection.run(explaining)
        except LostError as error:
            raise self._unusable(path, error) from error

    def _unusable(self, path: str, error: LostError) -> StorageUnavailable:
        return StorageUnavailable(f"{self._where(path)} could not be used: {error}")

    def _explained(
        self, session: Session, error: SftpError, path: str, *, writes: bool
    ) -> StorageError:
        """Find out what a refusal means: a server says little more than "Failure"."""
        where = self._where(path)
        top = f"{self._root.rstrip('/')}/{path.partition('/')[0]}"
        asked = ask_about(session, [top])  # the answer comes with the next
        problem = self._problem_of_root(session)
        if problem is not None:
            return problem
        if error.code == Status.FAILURE and path and is_below_a_file(session, self._full(path)):
            return ObjectMissing(f"{where} is not there: a part of the path is a file ({error})")
        if writes:
            return why_not_written(session, error, self._root, where)
        target = None
        if error.code == Status.NO_SUCH_FILE:
            target = dangling_target(session, asked)
        if target is not None:
            text = f"{top} is a link to {target}, which is not there: is it mounted?"
            return StorageUnavailable(f"{self.place}: {text}")
        return translated(error, where)

    def _problem_of_root(self, session: Session) -> StorageError | None:
        """Return what is wrong with the directory itself, if anything is."""
        try:
            if attributes_of(session, self._root).is_folder:
                return None
        except SftpError as gone:
            if gone.code != Status.NO_SUCH_FILE:
                return translated(gone, self.place)
            return StorageUnavailable(
                f"the directory {self.place} is not there: is its disk mounted? "
                f"If it is new, make it: ssh {self._options.host} mkdir -p {self._root}"
            )
        return ConfigError(f"{self.place} is not a directory")
