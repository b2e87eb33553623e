"""Tells core what this storage plugin offers; light, so that listing storage plugins stays fast."""

from strax_core import Provided, hookimpl


@hookimpl
def strax_backends() -> list[Provided]:
    """Offer the backend ``ssh``."""
    return [
        Provided(
            name="ssh",
            help="a directory of a machine that you reach by SSH (SFTP)",
            target="strax_ssh.backend:SshBackend",
            options="strax_ssh.options:SshOptions",
            schemes=("ssh", "sftp"),
            frontend="strax_ssh.frontend:SshFrontend",
        )
    ]
