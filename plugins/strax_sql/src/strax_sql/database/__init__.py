"""One database: its engine, transactions that are tried again, versions of tables, checks."""

from strax_sql.database.checks import reach_checks
from strax_sql.database.engine import AS_BYTES, Database
from strax_sql.database.schema import Schema

__all__ = [
    "AS_BYTES",
    "Database",
    "Schema",
    "reach_checks",
]
