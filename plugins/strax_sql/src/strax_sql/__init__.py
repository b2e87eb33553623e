"""Storage plugin: a database that knows which data is where."""

from typing import TYPE_CHECKING, Any

from strax_sql.options import DatabaseOptions, SqlOptions

if TYPE_CHECKING:  # for type checkers only; see __getattr__
    from strax_sql.frontend import SqlFrontend

__all__ = ["DatabaseOptions", "SqlFrontend", "SqlOptions"]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes longer to import than all of core, and listing storage plugins imports this.
    if name == "SqlFrontend":
        from strax_sql.frontend import SqlFrontend

        return SqlFrontend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
