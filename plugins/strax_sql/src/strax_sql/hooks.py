"""Tells core what this storage plugin offers; light, so that listing storage plugins stays fast."""

from strax_core import Provided, hookimpl


@hookimpl
def strax_frontends() -> list[Provided]:
    """Offer the frontend ``sql``."""
    return [
        Provided(
            name="sql",
            help="a database, SQLite or PostgreSQL, that knows which data is where",
            target="strax_sql.frontend:SqlFrontend",
            options="strax_sql.options:SqlOptions",
            schemes=("sqlite", "postgresql"),
        )
    ]


@hookimpl
def strax_backends() -> list[Provided]:
    """Offer the backend ``sqlblob``."""
    return [
        Provided(
            name="sqlblob",
            help="small data in a database: a file of SQLite, or PostgreSQL",
            target="strax_sql.blobs.backend:SqlBlobBackend",
            options="strax_sql.blobs.options:SqlBlobOptions",
            schemes=("sqlblob+sqlite", "sqlblob+postgresql"),
            frontend="strax_sql.blobs.frontend:SqlBlobFrontend",
        )
    ]
