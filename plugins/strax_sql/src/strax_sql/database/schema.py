"""Versions of tables: a `Schema` makes its tables, or brings them up to date."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, inspect, select, text

from strax_core import NewerFormat
from strax_sql.database.engine import NoTables

_LOCK = 0x73747261  # of PostgreSQL's advisory locks: one process at a time makes tables
_versions = MetaData()
VERSIONS = Table(
    "strax_schema",
    _versions,
    Column("name", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A set of tables that came into being together, under one version.

    When there is a second version, `migrations` gets the step from the first: each is done in the
    transaction that raises the number, in order; a newer number than ours is refused.
    """

    name: str
    version: int
    tables: MetaData
    migrations: tuple[Callable[[Connection], None], ...] = ()
    """The step from version i + 1 to i + 2, for each i."""

    def prepare(self, connection: Connection, *, creates: bool) -> None:
        """Make the tables or bring them up to date; with `creates` false, only look.

        Raises:
            NewerFormat: they were made by a newer version of this package; nothing is changed.
            NoTables: they are not there, or of an older version, and may not be made.
        """
        found = self.version_in(connection)
        if found is not None and found > self.version:
            raise NewerFormat(
                f"the tables of the {self.name} are of version {found}, and this strax-sql knows "
                f"up to {self.version}; install a newer one"
            )
        if found == self.version:
            return
        if not creates:
            what = "no tables" if found is None else f"tables of the older version {found}"
            raise NoTables(f"there are {what} of the {self.name}; open it once without readonly")
        self._make(connection)

    def version_in(self, connection: Connection) -> int | None:
        """Return of which version the tables are; None if there are none."""
        if not inspect(connection).has_table(VERSIONS.name):
            return None
        return connection.execute(
            select(VERSIONS.c.version).where(VERSIONS.c.name == self.name)
        ).scalar()

    def _make(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        _versions.create_all(connection)
        found = self.version_in(connection)
        if found is None:
            self.tables.create_all(connection)
            connection.execute(VERSIONS.insert().values(name=self.name, version=self.version))
            return
        for step in self.migrations[found - 1 : self.version - 1]:
            step(connection)
        connection.execute(
            VERSIONS.update().where(VERSIONS.c.name == self.name).values(version=self.version)
        )
