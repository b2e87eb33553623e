"""The tables of the catalogue, and of the versions of all tables that this package makes."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from strax_core import NewerFormat
from strax_sql.database import NoTables

_LOCK = 0x73747261  # of PostgreSQL's advisory locks: one process at a time makes tables
_Id = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there
_Json = JSON().with_variant(JSONB(), "postgresql")

_versions = MetaData()
VERSIONS = Table(
    "strax_schema",
    _versions,
    Column("name", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
)

CATALOGUE = MetaData()
LINEAGES = Table(
    "strax_lineages",
    CATALOGUE,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the document
    Column("document", Text, nullable=False),  # JSON with sorted keys, as `Lineage` compares it
)
PIECES = Table(
    "strax_pieces",
    CATALOGUE,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("run_id", String(100), nullable=False),
    Column("data_type", String(100), nullable=False),
    Column("lineage_hash", String(10), nullable=False),
    Column("lineage_id", ForeignKey(LINEAGES.c.id), nullable=False),
    UniqueConstraint("run_id", "data_type", "lineage_hash", "lineage_id"),
)
COPIES = Table(
    "strax_copies",
    CATALOGUE,
    Column("piece_id", ForeignKey(PIECES.c.id), primary_key=True),
    Column("backend", Text, primary_key=True),
    Column("backend_key", Text, nullable=False),
    Column("state", String(10), nullable=False),  # writing, complete, damaged, absent, removing
    Column("write_id", Text),  # which writing made the files; strax keeps none
    Column("data_id", Text),  # which making the rows are; every copy of it keeps it
    Column("size_bytes", BigInteger),  # of the files
    Column("n_bytes", BigInteger),  # of the rows, uncompressed
    Column("n_rows", BigInteger),
    Column("start_ns", BigInteger),  # since the Unix epoch; end exclusive
    Column("end_ns", BigInteger),
    Column("written_s", Double),  # when its writing ended, or began; s since the Unix epoch
    Column("verified_s", Double),  # when it was last read to its end and found good
    Column("failed_s", Double),
    Column("failure", Text),
    sqlite_with_rowid=False,
)
RUNS = Table(
    "strax_runs",
    CATALOGUE,
    Column("run_id", String(100), primary_key=True),
    Column("document", Text, nullable=False),  # JSON, as `<run>-metadata.json` has it
    Column("searchable", _Json, nullable=False),  # the same in what both databases can search
    Column("start_us", BigInteger),  # of the run, since the Unix epoch; end exclusive
    Column("end_us", BigInteger),
    Index("strax_runs_by_start", "start_us"),
    Index("strax_runs_searchable", "searchable", postgresql_using="gin").ddl_if("postgresql"),
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


SCHEMA = Schema(name="catalogue", version=1, tables=CATALOGUE)


def prepare_catalogue(connection: Connection, *, creates: bool) -> None:
    """Make the tables of the catalogue, or look for them; see `Schema.prepare`."""
    SCHEMA.prepare(connection, creates=creates)
