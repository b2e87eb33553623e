"""The tables of the catalogue."""

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
)
from sqlalchemy.dialects.postgresql import JSONB

from strax_sql.database import Schema

_Id = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there
_Json = JSON().with_variant(JSONB(), "postgresql")

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

SCHEMA = Schema(name="catalogue", version=1, tables=CATALOGUE)


def prepare_catalogue(connection: Connection, *, creates: bool) -> None:
    """Make the tables of the catalogue, or look for them; see `Schema.prepare`."""
    SCHEMA.prepare(connection, creates=creates)
