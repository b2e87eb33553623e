"""Tells core what this storage plugin offers; light, so that listing storage plugins stays fast."""

from strax_core import Provided, hookimpl


@hookimpl
def strax_backends() -> list[Provided]:
    """Offer the backend ``s3``; its frontend is core's `DirectoryFrontend`."""
    return [
        Provided(
            name="s3",
            help="a bucket of S3, Ceph, MinIO, R2 and others",
            target="strax_s3.backend:S3Backend",
            options="strax_s3.options:S3Options",
            schemes=("s3",),
        )
    ]
