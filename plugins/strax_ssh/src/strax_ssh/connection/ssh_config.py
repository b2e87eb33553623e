"""Reads ~/.ssh/config for a machine: its address, its keys, and the way through others."""

import getpass
import glob
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import paramiko

from strax_core import ConfigError
from strax_ssh.options import SshOptions

PORT = 22
CONFIG_FILES = ("~/.ssh/config", "/etc/ssh/ssh_config")
INCLUDES_DEEP = 16


@dataclass(frozen=True, kw_only=True)
class Host:
    """Address and ways to connect: the options, and what ~/.ssh/config adds."""

    name: str
    port: int
    user: str
    key_files: tuple[str, ...]
    known_hosts: tuple[str, ...]
    key_name: str
    """Under which name its host key is known."""
    proxy_command: str | None
    uses_agent: bool

    @classmethod
    def of(cls, options: SshOptions) -> "Host":
        """Look up what is not given in ~/.ssh/config, then in that of the machine."""
        found = _configured(options.host)
        name = str(found.get("hostname", options.host))
        port = options.port or int(found.get("port", PORT))
        user = options.user or str(found.get("user") or _own_name())
        known = (
            [options.known_hosts]
            if options.known_hosts
            else [
                *shlex.split(found.get("userknownhostsfile", "~/.ssh/known_hosts")),
                "/etc/ssh/ssh_known_hosts",
            ]
        )
        keys = [options.key_file] if options.key_file else found.get("identityfile", [])
        alias = found.get("hostkeyalias")
        return cls(
            name=name,
            port=port,
            user=user,
            key_files=tuple(os.path.expanduser(key) for key in keys if key != "none"),
            known_hosts=tuple(os.path.expanduser(path) for path in known),
            key_name=alias or (name if port == PORT else f"[{name}]:{port}"),
            proxy_command=_proxy_command(found, name, port),
            uses_agent=found.get("identitiesonly", "no") != "yes",
        )

    @property
    def scan_command(self) -> str:
        """Command that a person types to learn the host key."""
        if self.proxy_command is not None:
            return f"log in once by hand: ssh -p {self.port} {self.user}@{self.name}"
        return f"ssh-keyscan -p {self.port} {self.name} >> {self.known_hosts[0]}"


def _configured(host: str) -> dict[str, Any]:
    text = "".join(
        line
        for file in CONFIG_FILES
        # So that what stands before the first Host of a file is not taken for part of the last.
        for line in ("Host *\n", *_lines(os.path.expanduser(file), INCLUDES_DEEP))
    )
    try:
        found: dict[str, Any] = paramiko.SSHConfig.from_text(text).lookup(host)
    except (paramiko.SSHException, ValueError) as error:
        raise ConfigError(f"~/.ssh/config cannot be understood: {error}") from error
    return found


def _lines(path: str, deep: int) -> Iterator[str]:
    """Iterate over a file, with those that it includes: paramiko does not know `Include`."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines(keepends=False)
    except OSError:
        return  # most people have none
    for line in lines:
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() != "include" or not deep:
            yield f"{line}\n"
            continue
        for pattern in shlex.split(rest):
            at = os.path.join(os.path.dirname(path), os.path.expanduser(pattern))
            for included in sorted(glob.glob(at)):
                yield from _lines(included, deep - 1)


def _proxy_command(found: dict[str, Any], name: str, port: int) -> str | None:
    """Return the command that leads to the machine through others."""
    jump = found.get("proxyjump")
    if jump and jump.lower() != "none":
        *before, last = jump.split(",")
        via = ["-J", ",".join(before)] if before else []
        return shlex.join(["ssh", *via, "-W", f"[{name}]:{port}", *_destination(last)])
    command = found.get("proxycommand")
    return None if command is None else str(command)


def _destination(jump: str) -> list[str]:
    """Turn ``user@host:port`` into words for the program ssh."""
    host, colon, port = jump.strip().removeprefix("ssh://").rpartition(":")
    if colon and port.isdigit():
        return ["-p", port, "--", host.replace("[", "").replace("]", "")]
    return ["--", jump.strip()]


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise ConfigError("who logs in? Give `user`") from error
