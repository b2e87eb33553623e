"""Storage plugin: a directory of a machine that is reached by SSH."""

from typing import TYPE_CHECKING, Any

from strax_ssh.options import SshOptions

if TYPE_CHECKING:  # for type checkers only; see __getattr__
    from strax_ssh.backend import SshBackend
    from strax_ssh.frontend import SshFrontend

__all__ = ["SshBackend", "SshFrontend", "SshOptions"]


def __getattr__(name: str) -> Any:
    # paramiko takes long to import, and listing storage plugins imports this.
    if name == "SshBackend":
        from strax_ssh.backend import SshBackend

        return SshBackend
    if name == "SshFrontend":
        from strax_ssh.frontend import SshFrontend

        return SshFrontend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
