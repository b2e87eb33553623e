"""OpenSSH's own sshd with settings, keys and a folder of its own, never those of the system."""

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from processes import Running, descendants, free_port, kill_all, program
from sftp_server import SftpServer, known_hosts_line, made_key

INSTALL = "run tests/servers/install-debian.sh"
SETTINGS = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile {folder}/sshd.pid
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
Subsystem sftp internal-sftp
LoginGraceTime 20
{more}
"""


class Sshd:
    """A server in a folder; killed and started again, it has the same port, keys and files.

    Args:
        folder: for its settings and keys.
        root: the folder that tests use; the server itself does not confine anybody to it.
        more: further lines of its settings.
    """

    def __init__(self, folder: Path, root: Path, more: Sequence[str] = ()) -> None:
        self._folder, self._more = folder, more
        self._running: Running | None = None
        made_key(folder / "user_key")
        self.server = SftpServer(
            port=free_port(),
            user=getpass.getuser(),
            key_file=str(folder / "user_key"),
            known_hosts=str(folder / "known_hosts"),
            path=str(root),
        )
        self.make_host_key()

    def make_host_key(self) -> None:
        """Make a host key, and let it be known."""
        made_key(self._folder / "host_key")
        line = known_hosts_line(self.server.port, self._folder / "host_key.pub")
        Path(self.server.known_hosts).write_text(line)

    def start(self) -> None:
        """Start it; it listens when this returns."""
        there = Path("/usr/sbin/sshd")  # only root has that folder in its search path
        command = str(there) if there.is_file() else program("sshd", INSTALL)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # without it a root sshd does not start
        settings = self._folder / "sshd_config"
        settings.write_text(
            SETTINGS.format(port=self.server.port, folder=self._folder, more="\n".join(self._more))
        )
        arguments = ["-D", "-e", "-f", str(settings)]
        self._running = Running([command, *arguments], self._folder / "sshd.log")
        self._running.wait_for(self.server.port)

    def kill(self) -> None:
        """End it at once, with the processes that serve its connections."""
        if self._running is not None:
            processes = descendants(int((self._folder / "sshd.pid").read_text()))
            self._running.kill()
            kill_all(processes)
            self._running = None


@contextmanager
def sshd(folder: Path, more: Sequence[str] = ()) -> Iterator[Sshd]:
    """Run an sshd whose data lie in ``folder/root``."""
    (folder / "root").mkdir(exist_ok=True)
    server = Sshd(folder, folder / "root", more)
    server.start()
    try:
        yield server
    finally:
        server.kill()
