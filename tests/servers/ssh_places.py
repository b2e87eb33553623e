"""Places of `strax_ssh` on a server of the tests, and a piece of data to keep there."""

from pathlib import Path
from typing import Any

import numpy as np
from sftp_server import SftpServer

from strax_core import DataKey, DataNotAvailable
from strax_core.testing import Proxy, sample_chunks, sample_key
from strax_ssh.backend import SshBackend
from strax_ssh.options import SshOptions

KEY = sample_key()
SIZES = (60, 0, 60, 60)


def options_on(server: SftpServer, path: Path, **options: Any) -> SshOptions:
    """Return what leads to a folder on a server."""
    common = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "key_file": server.key_file,
        "known_hosts": server.known_hosts,
        "path": str(path),
    }
    return SshOptions(**{**common, **options})


def backend_on(server: SftpServer, path: Path, **options: Any) -> SshBackend:
    """Return a backend on a folder of a server."""
    return SshBackend(options_on(server, path, **options))


def through(
    proxy: Proxy, server: SftpServer, path: Path, known: Path, **options: Any
) -> SshBackend:
    """Return a backend that reaches the server by way of the proxy."""
    line = Path(server.known_hosts).read_text()
    known.write_text(line.replace(f":{server.port} ", f":{proxy.port} "))
    return backend_on(
        server, path, **{"port": proxy.port, "known_hosts": str(known), "fsync": False, **options}
    )


def rows_with(n_bytes: int) -> np.dtype[Any]:
    """Return a dtype of rows of about this size, so that chunks are more than a few bytes."""
    return np.dtype([("time", "<i8"), ("endtime", "<i8"), ("wave", "u1", (n_bytes,))])


def rows_of(backend: SshBackend, key: DataKey = KEY) -> bytes | None:
    """Return the bytes of all rows; None if there are no data."""
    try:
        return backend.loader(key.name).read_all().tobytes()
    except DataNotAvailable:
        return None


def chunks(mark: int = 1, key: DataKey = KEY) -> list[Any]:
    """Return a piece of data, the same for the same mark."""
    return sample_chunks(key, sizes=SIZES, dtype=rows_with(1000), mark=mark)


def expected(mark: int = 1) -> bytes:
    """Return the bytes of all its rows."""
    return b"".join(chunk.data.tobytes() for chunk in chunks(mark))
