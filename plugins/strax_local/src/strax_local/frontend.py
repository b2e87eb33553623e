"""A directory as a frontend: core's `DirectoryFrontend`, which makes the directory if it is new."""

import os
from typing import Any

from strax_core import DirectoryFrontend
from strax_local.backend import LocalBackend
from strax_local.translate_errors import storage_errors


class LocalFrontend(DirectoryFrontend):
    """Data and run documents in a directory.

    A writable one is made if only the last part of its path is missing: more than that is more
    likely a disk that is not mounted than a wish.
    """

    default_storage_type = 1

    def __init__(self, backend: LocalBackend, **options: Any) -> None:
        super().__init__(backend, **options)
        if not self.readonly and not os.path.isdir(backend.place):
            parent = os.path.dirname(backend.place)
            if os.path.isdir(parent):
                with storage_errors(backend.place):
                    os.makedirs(backend.place, exist_ok=True)
