"""Places of `sqlblob` in files of SQLite and on servers of the tests."""

from pathlib import Path
from typing import Any

from postgres_server import PostgresServer

from strax_core import SecretReference
from strax_sql.blobs.backend import SqlBlobBackend
from strax_sql.blobs.options import SqlBlobOptions


def sqlite_options(file: Path, **options: Any) -> SqlBlobOptions:
    """Return what leads to a file of SQLite."""
    return SqlBlobOptions(url=f"sqlite:///{file}", **options)


def server_options(server: PostgresServer, folder: Path, **options: Any) -> SqlBlobOptions:
    """Return what leads to a database, with the password by reference to a file in `folder`."""
    secret = folder / "password"
    secret.write_text(server.password)
    reference = SecretReference(file=str(secret))
    return SqlBlobOptions(**{"url": server.url, "password": reference, **options})


def made(options: SqlBlobOptions) -> SqlBlobBackend:
    """Return a backend whose tables are there."""
    backend = SqlBlobBackend(options)
    assert list(backend.list("")) == []
    return backend
