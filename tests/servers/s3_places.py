"""Places in the buckets of test servers."""

from pathlib import Path
from typing import Any

from raw_s3 import BUCKET
from s3_server import S3Server

from strax_core import SecretReference
from strax_s3.backend import S3Backend
from strax_s3.options import S3Options


def options_for(server: S3Server, prefix: str, folder: Path, **others: Any) -> S3Options:
    """Return options with credentials by reference to files in `folder`."""
    references = {}
    for name, text in (("key", server.access_key), ("secret", server.secret_key)):
        (folder / name).write_text(text)
        references[name] = SecretReference(file=str(folder / name))
    values: dict[str, Any] = {
        "bucket": BUCKET,
        "prefix": prefix,
        "endpoint_url": server.endpoint_url,
        "ca_bundle": server.ca_bundle,
        "access_key_id": references["key"],
        "secret_access_key": references["secret"],
        **others,
    }
    return S3Options(**values)


def backend_on(server: S3Server, prefix: str, folder: Path, **others: Any) -> S3Backend:
    """Return a backend on a place in the server's bucket."""
    return S3Backend(options_for(server, prefix, folder, **others))
