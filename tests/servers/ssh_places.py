"""Places of `strax_ssh` on a server of the tests."""

from pathlib import Path
from typing import Any

from sftp_server import SftpServer

from strax_ssh.backend import SshBackend
from strax_ssh.options import SshOptions


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
