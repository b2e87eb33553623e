"""Uploads bytes: one PUT, or several parts for very large objects."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from strax_core import ObjectMissing, StorageError, StorageUnavailable
from strax_s3.body import Joined
from strax_s3.client import Bucket
from strax_s3.errors import NO_S3

MULTIPART_BYTES = 256 << 20
"""Above this, an object goes up in parts: the largest single PUT is 5 GiB, and a part that is lost
costs less to send again. Below, one PUT is faster, and is there whole or not at all."""
PART_BYTES = 64 << 20
PARTS_MAX = 1000  # of S3 10,000, but of some others only so many
PARTS_AT_ONCE = 4
MADE_BY = "strax-upload"
"""Name in an object's metadata: which upload in parts made it. The size is no proof of that."""


def upload(bucket: Bucket, key: str, content: Joined, *, create_only: bool = False) -> None:
    """Store an object: all or nothing. With `create_only` it is always one PUT.

    A condition on the last step of an upload in parts is not to be trusted: Ceph passes it over.
    """
    if content.size_bytes > MULTIPART_BYTES and not create_only:
        _upload_parts(bucket, key, content)
        return
    condition = {"IfNoneMatch": "*"} if create_only else {}
    answer = bucket.ask("put_object", key, **_body(bucket, content), **_extra(bucket), **condition)
    _told(bucket, key, answer, "ETag")  # else it was no S3 that answered, and nothing is stored


def _body(bucket: Bucket, content: Joined) -> dict[str, Any]:
    # Without TLS, boto3 signs a checksum of the body, which the server compares.
    is_signed = str(bucket.client.meta.endpoint_url).startswith("http://")
    checksum = {} if is_signed else {"ContentMD5": content.md5()}
    return {"Body": content, **checksum}


def _extra(bucket: Bucket) -> dict[str, str]:
    given = {
        "StorageClass": bucket.options.storage_class,
        "ServerSideEncryption": bucket.options.sse,
    }
    return {name: value for name, value in given.items() if value is not None}


def _upload_parts(bucket: Bucket, key: str, content: Joined) -> None:
    part_bytes = max(PART_BYTES, -(-content.size_bytes // PARTS_MAX))
    token = secrets.token_hex(16)
    begun = bucket.ask("create_multipart_upload", key, Metadata={MADE_BY: token}, **_extra(bucket))
    upload_id = _told(bucket, key, begun, "UploadId")

    def send(number: int) -> dict[str, Any]:
        part = content.part((number - 1) * part_bytes, part_bytes)
        answer = bucket.ask(
            "upload_part", key, UploadId=upload_id, PartNumber=number, **_body(bucket, part)
        )
        return {"PartNumber": number, "ETag": _told(bucket, key, answer, "ETag")}

    numbers = range(1, -(-content.size_bytes // part_bytes) + 1)
    try:
        with ThreadPoolExecutor(min(PARTS_AT_ONCE, bucket.options.concurrency)) as threads:
            parts = list(threads.map(send, numbers))
        _complete(bucket, key, upload_id, parts, token)
    except BaseException:
        with suppress(StorageError):  # `strax clean` finds what cannot be dropped now
            bucket.ask("abort_multipart_upload", key, UploadId=upload_id)
        raise


def _told(bucket: Bucket, key: str, answer: Any, name: str) -> str:
    if name not in answer:
        raise StorageUnavailable(f"{bucket.named(key)} {NO_S3}")
    return str(answer[name])


def _complete(
    bucket: Bucket, key: str, upload_id: str, parts: list[dict[str, Any]], token: str
) -> None:
    try:
        answer = bucket.ask(
            "complete_multipart_upload",
            key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
        )
        _told(bucket, key, answer, "ETag")
    except StorageUnavailable:
        # It may be done: a second try, after a lost answer, finds no upload any more.
        if not _is_ours(bucket, key, token):
            raise


def _is_ours(bucket: Bucket, key: str, token: str) -> bool:
    try:
        metadata = bucket.ask("head_object", key).get("Metadata", {})
    except ObjectMissing:
        return False
    return bool(metadata.get(MADE_BY) == token)
