"""Lists, page by page; a page is looked at before it is believed."""

from collections.abc import Iterator, Mapping
from typing import Any

from strax_core import AccessDenied, ConfigError, ObjectMissing, StorageUnavailable
from strax_s3.client import Bucket
from strax_s3.errors import NO_S3

NEEDED = {
    "Contents": {"Key", "Size", "LastModified"},
    "CommonPrefixes": {"Prefix"},
    "Uploads": {"Key", "UploadId", "Initiated"},
}
"""Fields of a page that are used."""


def pages(bucket: Bucket, start: str, **options: str) -> Iterator[Any]:
    """Iterate over the pages of a list of what begins with `start`, and of nothing else.

    Raises:
        StorageError: the server could not be asked, or its answer is no such list.
    """
    while True:
        page = one_page(bucket, start, **options)
        if not all(found["Key"].startswith(start) for found in page.get("Contents", ())):
            raise StorageUnavailable(f"{bucket.named('')} lists what it was not asked for")
        yield page
        if not page["IsTruncated"]:
            return
        options |= _where_next(bucket, page, options, "ContinuationToken")


def one_page(bucket: Bucket, start: str, **options: Any) -> Any:
    """Return one page: the first, unless the options tell where to go on."""
    try:
        return _page(bucket, "list_objects_v2", Prefix=start, **options)
    except ObjectMissing as error:
        raise ConfigError(
            f"{bucket.named('')} takes a list for an object: `endpoint_url` must not hold the name "
            f"of the bucket ({error})"
        ) from error


def unfinished(bucket: Bucket, start: str) -> Iterator[Any]:
    """Iterate over the uploads in parts that have not ended, of keys that begin with `start`."""
    markers: dict[str, str] = {}
    while True:
        page = _page_of_uploads(bucket, start, markers)
        yield from page.get("Uploads", ())
        if not page["IsTruncated"]:
            return
        markers = _where_next(bucket, page, markers, "KeyMarker", "UploadIdMarker")


def _page_of_uploads(bucket: Bucket, start: str, markers: dict[str, str]) -> Any:
    try:
        return _page(bucket, "list_multipart_uploads", Prefix=start, **markers)
    except (AccessDenied, ConfigError, ObjectMissing) as error:
        raise type(error)(
            "the server does not list unfinished uploads, or you lack the right "
            f"s3:ListBucketMultipartUploads ({error})"
        ) from error


def _page(bucket: Bucket, operation: str, **options: Any) -> Any:
    page = bucket.ask(operation, **options)
    is_list = "IsTruncated" in page and all(
        found.keys() >= needed for kind, needed in NEEDED.items() for found in page.get(kind, ())
    )
    if not is_list:  # such as the page by which a network asks to log in
        raise StorageUnavailable(f"{bucket.named('')} {NO_S3}")
    return page


def _where_next(
    bucket: Bucket, page: Any, before: Mapping[str, str], *names: str
) -> dict[str, str]:
    """Return where a list goes on; if that is where it stood before, it would never end."""
    markers = {name: str(page.get(f"Next{name}") or "") for name in names}
    if not all(markers.values()) or markers.items() <= before.items():
        raise ConfigError(f"{bucket.named('')} ends a list early and does not say how to go on")
    return markers
