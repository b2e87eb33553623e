"""Storage plugin: a directory of this machine or of a mounted file system."""

from strax_local.backend import LocalBackend
from strax_local.frontend import LocalFrontend
from strax_local.options import LocalOptions

__all__ = ["LocalBackend", "LocalFrontend", "LocalOptions"]
