"""A directory as a frontend: core's `DirectoryFrontend`, which makes the directory if it is new."""

import os
from contextlib import suppress
from typing import Any

from strax_core import DirectoryFrontend
from strax_local.backend import LocalBackend


class LocalFrontend(DirectoryFrontend):
    """Data and run documents in a directory.

    A writable one is made if only the last part of its path is missing: more than that is more
    likely a disk that is not mounted than a wish.
    """

    __module__ = "strax_local"

    def __init__(self, backend: LocalBackend, **options: Any) -> None:
        super().__init__(backend, **options)
        if not self.readonly:
            # If it cannot be made, whoever asks for something here is told why: not here, where it
            # would keep all other places of a context from opening.
            with suppress(OSError):
                os.mkdir(backend.place)
