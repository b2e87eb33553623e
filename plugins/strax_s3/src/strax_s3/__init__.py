"""Storage plugin: a bucket of S3, or of anything that speaks its protocol."""

from typing import TYPE_CHECKING, Any

from strax_s3.options import S3Options

if TYPE_CHECKING:  # for type checkers only; see __getattr__
    from strax_s3.backend import S3Backend

__all__ = ["S3Backend", "S3Options"]


def __getattr__(name: str) -> Any:
    # boto3 takes longer to import than all of core, and listing storage plugins imports this.
    if name == "S3Backend":
        from strax_s3.backend import S3Backend

        return S3Backend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
