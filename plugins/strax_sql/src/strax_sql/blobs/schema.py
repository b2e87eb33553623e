"""The tables of files that lie in a database, each in parts."""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from strax_core import ConfigError
from strax_sql.database import Schema

PART_BYTES = 1 << 20
"""Of each part of a file but its last; belongs to version 1 of the tables."""
_Id = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there
# In the order of bytes, as SQLite has it: so all that begin alike lie in one stretch of the index.
_Name = Text().with_variant(Text(collation="C"), "postgresql")

BLOBS = MetaData()
FILES = Table(
    "strax_blobs",
    BLOBS,
    Column("id", _Id, primary_key=True, autoincrement=True),  # of this content: never used again
    Column("folder", _Name, nullable=False),  # with a / at its end; "" for the top
    Column("name", _Name, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),  # since the Unix epoch, by the database
    Column("expires_ns", BigInteger),  # likewise; NULL: never
    UniqueConstraint("folder", "name"),
    sqlite_autoincrement=True,
)
_EXPIRES = FILES.c.expires_ns.is_not(None)
Index(
    "strax_blobs_that_expire",
    FILES.c.folder,
    FILES.c.expires_ns,
    sqlite_where=_EXPIRES,
    postgresql_where=_EXPIRES,
)
PARTS = Table(
    "strax_blob_parts",
    BLOBS,
    Column("file_id", ForeignKey(FILES.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 0
    Column("data", LargeBinary, nullable=False),
)

SCHEMA = Schema(name="blobs", version=1, tables=BLOBS)


def prepare_blobs(connection: Connection, *, creates: bool) -> None:
    """Make the tables, or look for them; see `Schema.prepare`.

    Raises:
        ConfigError: the database does not keep all texts.
    """
    _refuse_other_encodings(connection)
    SCHEMA.prepare(connection, creates=creates)


def _refuse_other_encodings(connection: Connection) -> None:
    """Refuse a database that counts letters otherwise, or cannot keep all of them."""
    if connection.dialect.name == "postgresql":
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise ConfigError(
                f"the database keeps texts as {encoding}; use one made with ENCODING 'UTF8'"
            )
