"""Directories that break the promise about links; test_local_twins.py runs the kit on them.

Not named test_*: pytest collects it only when it is asked for by its name.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from strax_core import Entry
from strax_core.testing import ForeignChecks, LinkChecks, RawAccess, RawFolder
from strax_local import folders
from strax_local.backend import LocalBackend
from strax_local.options import LocalOptions


class FollowsLinks(LocalBackend):
    """Gives each path to the system as a whole, and knows no links."""

    def _folder(
        self,
        parts: Sequence[str],
        *,
        flags: int = folders.PASS,
        resolves: bool = False,  # noqa: ARG002 - that is what is wrong
    ) -> int:
        return os.open(os.path.join(self.place, *parts), flags)

    def _made(self, parts: Sequence[str]) -> int:
        os.makedirs(os.path.join(self.place, *parts), exist_ok=True)
        return self._folder(parts)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        for entry in super().list(folder, starts_with=starts_with):
            full = os.path.join(self.place, folder, entry.name)
            yield replace(entry, is_folder=os.path.isdir(full), is_link=False)

    def link_target(self, path: str) -> None:
        """Say that nothing is a link."""


class HidesLinks(LocalBackend):
    """Refuses to go through a link, and does not say that it is one."""

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        for entry in super().list(folder, starts_with=starts_with):
            yield replace(entry, is_link=False)


class TestLocal(LinkChecks, ForeignChecks):
    backend_class = LocalBackend

    @pytest.fixture
    def backend(self, tmp_path: Path) -> LocalBackend:
        return self.backend_class(LocalOptions(path=str(tmp_path), fsync=False))

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)


class TestFollowsLinks(TestLocal):
    backend_class = FollowsLinks


class TestHidesLinks(TestLocal):
    backend_class = HidesLinks
