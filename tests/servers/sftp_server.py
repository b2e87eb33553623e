"""How to reach an SFTP server, and one that pip installs: asyncssh's, in a process of its own."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHPrivateKeyTypes
from processes import Running, free_port

ASYNCSSH = """
import asyncio, sys
import asyncssh
from asyncssh import sftp

port, host_key, user_key, without, password = sys.argv[1:]

class Server(asyncssh.SSHServer):
    def password_auth_supported(self): return bool(password)
    def validate_password(self, username, given): return given == password

if "exclusive rename" in without:
    asyncssh.SFTPServer.rename = asyncssh.SFTPServer.posix_rename
handler = sftp.SFTPServerHandler
handler._extensions = [each for each in handler._extensions if each[0].decode() not in without]

async def serve():
    await asyncssh.listen(
        "127.0.0.1", int(port), server_host_keys=[host_key], server_factory=Server,
        authorized_client_keys=user_key, sftp_factory=True, encoding=None,
    )
    await asyncio.Future()

asyncio.run(serve())
"""


@dataclass(frozen=True, kw_only=True)
class SftpServer:
    """How to reach a server."""

    port: int
    user: str
    key_file: str
    known_hosts: str
    path: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port


@contextmanager
def asyncssh_server(folder: Path, *, without: str = "", password: str = "") -> Iterator[SftpServer]:
    """Run asyncssh's server, on a folder of this machine.

    Args:
        folder: for its keys and, in ``root``, the data.
        without: extensions that it shall not offer, joined by commas; "exclusive rename" among
            them makes it replace what is there, as `rclone serve sftp` does.
        password: one that it takes beside the key; empty: none.
    """
    (folder / "root").mkdir(exist_ok=True)
    for name in ("host_key", "user_key"):
        made_key(folder / name)
    port = free_port()
    (folder / "known_hosts").write_text(known_hosts_line(port, folder / "host_key.pub"))
    arguments = [str(port), str(folder / "host_key"), str(folder / "user_key.pub")]
    running = Running(
        [sys.executable, "-W", "ignore", "-c", ASYNCSSH, *arguments, without, password],
        folder / "asyncssh.log",
    )
    running.wait_for(port)
    try:
        yield SftpServer(
            port=port,
            user=getpass.getuser(),
            key_file=str(folder / "user_key"),
            known_hosts=str(folder / "known_hosts"),
            path=str(folder / "root"),
        )
    finally:
        running.end()


def made_key(path: Path) -> None:
    """Make a key pair, replacing an older one."""
    key = ed25519.Ed25519PrivateKey.generate()
    write_key(path, key)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(line + b" test\n")


def lock_key(path: Path, passphrase: str) -> None:
    """Let a key be readable with this passphrase only."""
    write_key(path, load_ssh_private_key(path.read_bytes(), None), passphrase)


def write_key(path: Path, key: SSHPrivateKeyTypes, passphrase: str = "") -> None:
    """Write a private key as OpenSSH does, for nobody else to read."""
    hidden = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, hidden))


def known_hosts_line(port: int, public_key: Path) -> str:
    """Return the line by which the server on this port is known."""
    return f"[127.0.0.1]:{port} {' '.join(public_key.read_text().split()[:2])}\n"
