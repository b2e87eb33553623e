"""Options of a directory of another machine."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from strax_core import ConfigError, SecretReference

IN_FLIGHT_MAX = 64  # as OpenSSH's own sftp; more hangs some servers


@dataclass(frozen=True, kw_only=True)
class SshOptions:
    """A directory of a machine that is reached by SSH."""

    __module__ = "strax_ssh"

    host: str = field(metadata={"help": "the machine, or a Host of ~/.ssh/config"})
    path: str = field(
        metadata={"help": "the directory there; one without / in front starts in the home folder"}
    )
    user: str | None = field(
        default=None, metadata={"help": "who logs in; else as ~/.ssh/config says, else your name"}
    )
    port: int | None = field(default=None, metadata={"help": "else as ~/.ssh/config says, else 22"})
    key_file: str | None = field(
        default=None,
        metadata={
            "help": "a private key; else those of ~/.ssh/config, ssh-agent and ~/.ssh are tried",
            "path": True,
        },
    )
    known_hosts: str | None = field(
        default=None,
        metadata={"help": "the file of known host keys; else ~/.ssh/known_hosts", "path": True},
    )
    passphrase: SecretReference | None = field(
        default=None, metadata={"help": "what unlocks the private key", "secret": True}
    )
    password: SecretReference | None = field(
        default=None, metadata={"help": "the password, where keys are not taken", "secret": True}
    )
    command: str | None = field(
        default=None,
        metadata={
            "help": '"ssh": let this program log in (two factors, Kerberos, ControlMaster); '
            "options may follow"
        },
    )
    connect_timeout_s: float = field(
        default=10.0, metadata={"help": "how long each step of connecting may take"}
    )
    io_timeout_s: float = field(
        default=30.0,
        metadata={"help": "how long the server may be silent before it counts as gone"},
    )
    fsync: bool = field(
        default=True,
        metadata={
            "help": "wait until the server's disk has the data; false is faster, but a power cut "
            "there soon after a save may lose or tear data that was called saved"
        },
    )
    in_flight: int | None = field(
        default=None,
        metadata={"help": "requests of one file under way at once; else by the time of an answer"},
    )

    def __post_init__(self) -> None:
        """Refuse what could only fail later.

        Raises:
            ConfigError: an option has an impossible value, or two exclude each other.
        """
        # What starts with "-" would be taken for an option by the program ssh.
        for name in ("host", "user", "path"):
            value = getattr(self, name)
            if value is not None and (
                not value or value.startswith("-") or any(ord(each) < ord(" ") for each in value)
            ):
                raise ConfigError(f"{name} is {value!r}, which names none")
        if self.path.startswith("~"):
            raise ConfigError(
                f"path is {self.path!r}; the home folder is where paths without / in front start"
            )
        for name in ("connect_timeout_s", "io_timeout_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be above 0")
        if self.in_flight is not None and not 1 <= self.in_flight <= IN_FLIGHT_MAX:
            raise ConfigError(
                f"in_flight is {self.in_flight!r}; it must be from 1 to {IN_FLIGHT_MAX}"
            )
        if self.command is not None and (self.password or self.passphrase):
            raise ConfigError(
                "with `command`, that program logs in, and takes no password or passphrase from "
                "here: leave them out"
            )

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        """Take ``ssh://user@host:port/path`` apart; ``/~/path`` starts in the home folder."""
        parts = urlsplit(url)
        if not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"{url} is not of the form ssh://user@host:port/path")
        host = parts.netloc.rpartition("@")[2]
        if not host.startswith("["):
            host = host.partition(":")[0]  # `hostname` is in lower case, a Host of a file is not
        path = unquote(parts.path)
        if path == "/~" or path.startswith("/~/"):
            path = path[3:] or "."
        values: dict[str, object] = {"host": host.strip("[]"), "path": path or "."}
        if "]" in host:
            values["host"] = parts.hostname
        if parts.username:
            values["user"] = unquote(parts.username)
        if parts.port is not None:
            values["port"] = parts.port
        return values

    @property
    def place(self) -> str:
        """Name of this place for people."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        path = self.path if self.path.startswith("/") else f"/~/{self.path}"
        return f"ssh://{user}{host}{port}{path.rstrip('/') or '/'}"
