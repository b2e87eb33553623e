"""Tells core what this storage plugin offers; light, so that listing storage plugins stays fast."""

from strax_core import Provided, hookimpl


@hookimpl
def strax_backends() -> list[Provided]:
    """Offer the backend ``zip``; core's `DirectoryFrontend` finds data in it by name."""
    return [
        Provided(
            name="zip",
            help="a folder of zip archives, one for each run; read only",
            target="strax_zip.backend:ZipBackend",
            options="strax_zip.options:ZipOptions",
            schemes=("zip",),
        )
    ]
