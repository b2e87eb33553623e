"""Tables of files as a frontend: core's `DirectoryFrontend`, which makes them if they are new."""

from typing import Any

from strax_core import DirectoryFrontend
from strax_sql.blobs.backend import SqlBlobBackend


class SqlBlobFrontend(DirectoryFrontend):
    """Data and run documents in a database.

    Tables that are not there are made when something is first asked; not for a place that is
    readonly.
    """

    __module__ = "strax_sql"

    def __init__(self, backend: SqlBlobBackend, **options: Any) -> None:
        super().__init__(backend, **options)
        if self.readonly and isinstance(backend, SqlBlobBackend):  # one around ours makes none
            backend.make_nothing()
