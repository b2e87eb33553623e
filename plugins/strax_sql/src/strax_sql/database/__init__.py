"""One database: its engine, transactions that are tried again, versions of tables, checks."""

from strax_sql.database.checks import reach_checks
from strax_sql.database.engine import AS_BYTES, Database, NoTables

__all__ = [
    "AS_BYTES",
    "Database",
    "NoTables",
    "reach_checks",
]
