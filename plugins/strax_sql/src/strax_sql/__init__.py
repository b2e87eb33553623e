"""Storage plugin: a database that knows which data is where."""

import importlib
from typing import TYPE_CHECKING, Any

from strax_sql.blobs import SqlBlobOptions
from strax_sql.options import DatabaseOptions, SqlOptions

if TYPE_CHECKING:  # for type checkers only; see __getattr__
    from strax_sql.blobs.backend import SqlBlobBackend
    from strax_sql.blobs.frontend import SqlBlobFrontend
    from strax_sql.frontend import SqlFrontend

__all__ = [
    "DatabaseOptions",
    "SqlBlobBackend",
    "SqlBlobFrontend",
    "SqlBlobOptions",
    "SqlFrontend",
    "SqlOptions",
]

_LATE = {
    "SqlBlobBackend": "strax_sql.blobs.backend",
    "SqlBlobFrontend": "strax_sql.blobs.frontend",
    "SqlFrontend": "strax_sql.frontend",
}


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes longer to import than all of core, and listing storage plugins imports this.
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
