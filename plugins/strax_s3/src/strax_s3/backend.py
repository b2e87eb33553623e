"""The byte verbs on a bucket."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from strax_core import (
    Buffer,
    Check,
    ConditionalSaver,
    ConfigError,
    Entry,
    ObjectExists,
    ObjectMissing,
    StorageBackend,
    checked_path,
)
from strax_s3.body import Joined
from strax_s3.checks import checksums, reach_checks
from strax_s3.client import Bucket, in_utc, server_time
from strax_s3.create_only_probe import Probe
from strax_s3.delete import Deleting
from strax_s3.download import download, download_into, download_ranges
from strax_s3.listing import pages, unfinished
from strax_s3.options import S3Options
from strax_s3.upload import upload

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class S3Backend(StorageBackend):
    """Objects of a bucket below a prefix; the bucket is not made here."""

    __module__ = "strax_s3"

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
    ) -> Sequence[bytes]:
        return download_ranges(self._bucket, self._key(path), ranges, file_bytes)

    def read_into(self, path: str, memory: memoryview) -> None:
        if memory:
            download_into(self._bucket, self._key(path), memory)
        else:  # no range of an object is empty
            super().read_into(path, memory)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        start = f"{self._key(folder)}/" if folder else self._root
        for page in pages(self._bucket, f"{start}{starts_with}", Delimiter="/"):
            for found in page.get("Contents", ()):
                name = found["Key"][len(start) :]
                if _can_be_named(name):
                    yield Entry(
                        name,
                        is_folder=False,
                        size_bytes=found["Size"],
                        modified_ns=_ns(found["LastModified"]),
                    )
            for below in page.get("CommonPrefixes", ()):
                name = below["Prefix"][len(start) : -1]
                if _can_be_named(name):
                    # There are no folders, so they have no time: now, by the place's clock.
                    yield Entry(
                        name, is_folder=True, size_bytes=0, modified_ns=_ns(server_time(page))
                    )

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        key, content = self._key(path), Joined(list(buffers))
        self._probe.check()
        if create_only and self._bucket.options.unsafe_commit:
            self._refuse_if_there(key)
            with suppress(ConfigError):  # some refuse the condition instead of passing over it
                upload(self._bucket, key, content, create_only=True)
                return
            create_only = False
        upload(self._bucket, key, content, create_only=create_only)

    def delete(self, path: str) -> None:
        key = self._key(path)
        is_folder = False
        for page in pages(self._bucket, f"{key}/"):
            below = [found["Key"] for found in page.get("Contents", ())]
            is_folder = is_folder or bool(below)
            self._deleting.delete(below)
        if not is_folder:  # some servers, on a disk, fail to delete what is a folder to them
            self._deleting.delete([key])

    def delete_files(self, paths: Sequence[str]) -> None:
        self._deleting.delete([self._key(path) for path in paths])

    def drop_empty(self, folder: str) -> None:
        checked_path(folder)  # there are no folders

    def checks(self, *, writes: bool) -> Iterator[Check]:
        yield from (reached := list(reach_checks(self._bucket, self._root)))
        if all(check.is_good for check in reached):  # else the rest would say the same again
            yield from super().checks(writes=writes)
            if writes:
                yield Check.of("checksums", lambda: checksums(self._bucket, self._root))

    def drop_stale(self, *, before_ns: int, dry_run: bool) -> Iterator[str]:
        for upload_ in unfinished(self._bucket, self._root):
            if _ns(upload_["Initiated"]) <= before_ns:
                if not dry_run:
                    upload_id = upload_["UploadId"]
                    self._bucket.ask("abort_multipart_upload", upload_["Key"], UploadId=upload_id)
                yield upload_["Key"].removeprefix(self._root)

    def _key(self, path: str) -> str:
        return f"{self._root}{checked_path(path)}"

    def _refuse_if_there(self, key: str) -> None:
        try:
            self._bucket.ask("head_object", key)
        except ObjectMissing:
            return
        raise ObjectExists(f"{self._bucket.named(key)} is there already")


def _can_be_named(name: str) -> bool:
    """Pass over what others put there: marks for empty folders, keys that are no paths."""
    try:
        checked_path(name)
    except ConfigError:
        return False
    return True


def _ns(when: datetime) -> int:
    return (in_utc(when) - EPOCH) // timedelta(microseconds=1) * 1000
