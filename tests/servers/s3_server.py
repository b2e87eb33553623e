"""S3 servers that pip installs: moto, which is kind, and rclone, which checks signatures."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trustme
from processes import Running, free_port, program

INSTALL = 'pip install "strax-s3[testing]"'


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """How to reach a server."""

    endpoint_url: str
    access_key: str
    secret_key: str
    ca_bundle: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.endpoint_url)
        return str(parts.hostname), int(parts.port or 0)


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """Honours the condition of a create-only write; takes any credentials and checksums."""
    program("moto_server", INSTALL)
    port = free_port()
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    running = Running([sys.executable, "-W", "ignore", "-c", code], folder / "moto.log")
    running.wait_for(port)
    try:
        yield S3Server(
            endpoint_url=f"http://127.0.0.1:{port}", access_key="any", secret_key="any-secret"
        )
    finally:
        running.end()


@contextmanager
def rclone(folder: Path, *, tls: bool = False) -> Iterator[S3Server]:
    """Checks signatures and checksums; ignores the condition of a create-only write."""
    command = program("rclone", INSTALL)
    port = free_port()
    server = S3Server(
        endpoint_url=f"http{'s' if tls else ''}://127.0.0.1:{port}",
        access_key="testaccess",
        secret_key="testsecretkey1234",
        ca_bundle=str(certificate(folder)[0]) if tls else None,
    )
    for name in ("data", "cache"):
        (folder / name).mkdir()
    (folder / "rclone.conf").touch()
    arguments = [
        *("serve", "s3", "--config", str(folder / "rclone.conf")),
        *("--cache-dir", str(folder / "cache"), "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", f"{server.access_key},{server.secret_key}", "--vfs-cache-mode", "off"),
    ]
    if tls:
        arguments += ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]
    running = Running([command, *arguments, str(folder / "data")], folder / "rclone.log")
    running.wait_for(port)
    try:
        yield server
    finally:
        running.end()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1; return a file that has it and its authority, and its key."""
    paths = folder / "cert.pem", folder / "key.pem"
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    for blob in (*made.cert_chain_pems, authority.cert_pem):
        blob.write_to_path(paths[0], append=True)
    made.private_key_pem.write_to_path(paths[1])
    return paths
