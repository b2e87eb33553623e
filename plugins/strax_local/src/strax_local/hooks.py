"""Tells core what this storage plugin offers; light, so that listing storage plugins stays fast."""

from strax_core import Provided, hookimpl


@hookimpl
def strax_backends() -> list[Provided]:
    """Offer the backend ``local``."""
    return [
        Provided(
            name="local",
            help="a directory of this machine or of a mounted file system",
            target="strax_local.backend:LocalBackend",
            options="strax_local.options:LocalOptions",
            schemes=("file",),
            frontend="strax_local.frontend:LocalFrontend",
        )
    ]
