"""A directory of another machine as a frontend: core's `DirectoryFrontend`."""

from collections.abc import Mapping, Sequence
from typing import Any

from strax_core import DataKey, DirectoryFrontend, Location
from strax_ssh.backend import SshBackend


class SshFrontend(DirectoryFrontend):
    """Data and run documents in a directory of another machine.

    Nothing is connected before something is asked. The directory is made when something is to be
    saved, if only the last part of its path is missing: more than that is more likely a disk that
    is not mounted than a wish.
    """

    __module__ = "strax_ssh"

    def __init__(self, backend: SshBackend, **options: Any) -> None:
        super().__init__(backend, **options)
        self._make_root = getattr(backend, "make_root", _nothing)  # one around ours may lack it

    def _targets(self, key: DataKey) -> Sequence[Location]:
        self._make_root()
        return super()._targets(key)

    def _write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        self._make_root()
        super()._write_run_metadata(run_id, document)


def _nothing() -> None:
    """Do nothing."""
