"""The byte verbs on a bucket."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from strax_core import (
    AccessDenied,
    Buffer,
    Check,
    ConditionalSaver,
    ConfigError,
    Entry,
    ObjectExists,
    ObjectMissing,
    StorageBackend,
    StorageUnavailable,
    checked_path,
)
from strax_s3.checks import checksums, reach_checks
from strax_s3.client import Bucket, server_time
from strax_s3.deleting import Deleting
from strax_s3.downloading import download, download_ranges
from strax_s3.joined import Joined
from strax_s3.options import S3Options
from strax_s3.probe import Probe
from strax_s3.translate_errors import NO_S3
from strax_s3.uploading import upload

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ListOfBytes = list[bytes]  # inside the class, `list` is the verb


class S3Backend(StorageBackend):
    """What lies in a bucket below a prefix; the bucket is not made here."""

    saver_class = ConditionalSaver
    default_storage_type = 4

    def __init__(self, options: S3Options) -> None:
        self._bucket = Bucket(options)
        prefix = options.prefix.strip("/")
        self._root = f"{checked_path(prefix)}/" if prefix else ""
        self._probe = Probe(self._bucket, self._root)
        self._deleting = Deleting(self._bucket)

    @property
    def place(self) -> str:
        return f"s3://{self._bucket.options.bucket}/{self._root}".rstrip("/")

    def read(self, path: str) -> bytes:
        return download(self._bucket, self._key(path)).data

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> "ListOfBytes":
        return download_ranges(self._bucket, self._key(path), ranges, file_bytes)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        start = f"{self._key(folder)}/" if folder else self._root
        for page in self._pages(f"{start}{starts_with}", Delimiter="/"):
            for found in page.get("Contents", ()):
                name = found["Key"][len(start) :]
                if name:  # else it is a mark that others put for an empty folder
                    yield Entry(
                        name,
                        is_folder=False,
                        size_bytes=found["Size"],
                        modified_ns=_ns(found["LastModified"]),
                    )
            for below in page.get("CommonPrefixes", ()):
                name = below["Prefix"][len(start) : -1]
                if name:
                    # There are no folders, so they have no time: now, by the place's clock.
                    yield Entry(
                        name, is_folder=True, size_bytes=0, modified_ns=_ns(server_time(page))
                    )

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        key, content = self._key(path), Joined(list(buffers))
        self._probe.check()
        if create_only and self._bucket.options.unsafe_commit:
            self._refuse_if_there(key)
        upload(self._bucket, key, content, create_only=create_only)

    def delete(self, path: str) -> None:
        key = self._key(path)
        is_folder = False
        for page in self._pages(f"{key}/"):
            below = [found["Key"] for found in page.get("Contents", ())]
            is_folder = is_folder or bool(below)
            self._deleting.delete(below)
        if not is_folder:  # some servers, on a disk, fail to delete what is a folder to them
            self._bucket.ask("delete_object", key)

    def delete_files(self, paths: Sequence[str]) -> None:
        self._deleting.delete([self._key(path) for path in paths])

    def checks(self, *, writes: bool) -> Iterator[Check]:
        yield from (reached := list(reach_checks(self._bucket, self._root)))
        if all(check.is_good for check in reached):  # else the rest would say the same again
            yield from super().checks(writes=writes)
            if writes:
                yield Check.of("checksums", lambda: checksums(self._bucket, self._root))

    def drop_unfinished(self, *, before_ns: int, dry_run: bool) -> Iterator[str]:
        for upload_ in self._unfinished():
            if _ns(upload_["Initiated"]) <= before_ns:
                if not dry_run:
                    upload_id = upload_["UploadId"]
                    self._bucket.ask("abort_multipart_upload", upload_["Key"], UploadId=upload_id)
                yield upload_["Key"].removeprefix(self._root)

    def _key(self, path: str) -> str:
        return f"{self._root}{checked_path(path)}"

    def _pages(self, start: str, **options: str) -> Iterator[Any]:
        while True:
            page = self._page("list_objects_v2", Prefix=start, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = self._told(page, "NextContinuationToken")

    def _page(self, operation: str, **options: str) -> Any:
        page = self._bucket.ask(operation, **options)
        if "IsTruncated" not in page:  # such as the page by which a network asks to log in
            raise StorageUnavailable(f"{self._bucket.named('')} {NO_S3}")
        return page

    def _unfinished(self) -> Iterator[Any]:
        markers: dict[str, str] = {}
        while True:
            page = self._uploads_page(markers)
            yield from page.get("Uploads", ())
            if not page.get("IsTruncated"):
                return
            markers = {
                "KeyMarker": self._told(page, "NextKeyMarker"),
                "UploadIdMarker": self._told(page, "NextUploadIdMarker"),
            }

    def _uploads_page(self, markers: dict[str, str]) -> Any:
        try:
            return self._page("list_multipart_uploads", Prefix=self._root, **markers)
        except (AccessDenied, ConfigError, ObjectMissing) as error:
            raise type(error)(
                "the server does not list unfinished uploads, or you lack the right "
                f"s3:ListBucketMultipartUploads ({error})"
            ) from error

    def _told(self, page: Any, name: str) -> str:
        if not page.get(name):
            raise ConfigError(
                f"{self._bucket.named('')} ends a list early and does not say how to go on"
            )
        return str(page[name])

    def _refuse_if_there(self, key: str) -> None:
        try:
            self._bucket.ask("head_object", key)
        except ObjectMissing:
            return
        raise ObjectExists(f"{self._bucket.named(key)} is there already")


def _ns(when: datetime) -> int:
    return (when - EPOCH) // timedelta(microseconds=1) * 1000
