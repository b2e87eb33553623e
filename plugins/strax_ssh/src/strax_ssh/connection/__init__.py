"""The connection to a machine: found by `~/.ssh/config`, logged in, and opened again when lost."""

from strax_ssh.connection.connection import connection_to

__all__ = [
    "connection_to",
]
