"""The byte verbs on tables of a database: small data where a database is at hand anyway."""

from collections.abc import Iterator, Sequence

from strax_core import (
    STAGING,
    Buffer,
    Check,
    ConditionalSaver,
    Entry,
    StorageBackend,
    checked_path,
)
from strax_sql.blobs.expire import drop, over_their_time
from strax_sql.blobs.listing import entries_of
from strax_sql.blobs.options import SqlBlobOptions
from strax_sql.blobs.paths import At
from strax_sql.blobs.read import read_ranges
from strax_sql.blobs.schema import prepare_blobs
from strax_sql.blobs.write import delete_all, delete_files, write_file
from strax_sql.database import Database, reach_checks


class SqlBlobBackend(StorageBackend):
    """Files in two tables, below a prefix; the tables are made when they are asked for.

    So is the file of SQLite, but not its folder: one that is missing is more likely a disk that is
    not mounted.
    """

    __module__ = "strax_sql"

    saver_class = ConditionalSaver
    default_storage_type = 2
    stale_reason = "data that are over their time"

    def __init__(self, options: SqlBlobOptions) -> None:
        prefix = options.prefix.strip("/")
        self._root = f"{checked_path(prefix)}/" if prefix else ""
        self._options = options
        self._ttl_ns = None if options.ttl_s is None else round(options.ttl_s * 1e9)
        self._database = Database(options, creates=True, prepare=prepare_blobs)

    def make_nothing(self) -> None:
        """Make no tables, nor a file of SQLite: if they are not there, that is an error."""
        self._database = Database(self._options, creates=False, prepare=prepare_blobs)

    @property
    def place(self) -> str:
        return f"{self._options.place}/{self._root}".rstrip("/")

    def read(self, path: str) -> bytes:
        at = self._at(path)
        (whole,) = self._database.read(lambda connection: read_ranges(connection, at, None))
        return whole

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> Sequence[bytes]:
        at = self._at(path)
        return self._database.read(
            lambda connection: read_ranges(connection, at, ranges, file_bytes)
        )

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        inside = self._at(folder).inside if folder else self._root
        yield from self._database.read(
            lambda connection: [*entries_of(connection, inside, starts_with)]
        )

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        at = self._at(path)
        ttl_ns = self._ttl_ns if self._expires(at) else None
        self._database.write(
            lambda connection: write_file(
                connection, at, buffers, create_only=create_only, ttl_ns=ttl_ns
            ),
            # Done twice, the second would meet what the first one made.
            may_repeat=not create_only,
        )

    def delete(self, path: str) -> None:
        at = self._at(path)
        self._database.write(lambda connection: delete_all(connection, at))

    def delete_files(self, paths: Sequence[str]) -> None:
        files = [self._at(path) for path in paths]
        if files:
            self._database.write(lambda connection: delete_files(connection, files))

    def drop_empty(self, folder: str) -> None:
        checked_path(folder)  # there are no folders

    def checks(self, *, writes: bool) -> Iterator[Check]:
        yield from (reached := [*reach_checks(self._database)])
        if all(check.is_good for check in reached):  # else the rest would say the same again
            yield from super().checks(writes=writes)

    def drop_stale(self, *, before_ns: int, dry_run: bool) -> Iterator[str]:
        """Iterate over folders with files that are over their time, and drop these."""
        root = self._root
        if dry_run:
            found = self._database.read(lambda link: over_their_time(link, root, before_ns))
        else:
            found = self._database.write(lambda link: drop(link, root, before_ns))
        yield from (folder.removeprefix(root) for folder in found)

    def _at(self, path: str) -> At:
        return At.of(self.place, self._root, path)

    def _expires(self, at: At) -> bool:
        """Say whether a file is one of a piece of data: neither at the top nor of a writer."""
        inside = at.folder.removeprefix(self._root)
        return bool(inside) and not inside.startswith(f"{STAGING}/")
