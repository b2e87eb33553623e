"""A way to the bytes in a bucket that uses boto3 plainly, and none of our code."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from s3_server import S3Server

BUCKET = "strax"


class RawS3:
    """What lies in a bucket below a prefix: the four operations that the contract asks for."""

    def __init__(self, server: S3Server, prefix: str, *, bucket: str = BUCKET) -> None:
        self.client = plain_client(server, max_pool_connections=16)
        self._root = f"{prefix}/" if prefix else ""
        self._bucket = bucket

    def read(self, path: str) -> bytes:
        found: bytes = self.client.get_object(Bucket=self._bucket, Key=self._root + path)[
            "Body"
        ].read()
        return found

    def write(self, path: str, data: bytes) -> None:
        self.client.put_object(Bucket=self._bucket, Key=self._root + path, Body=data)

    def list(self, folder: str) -> set[str]:
        start = f"{self._root}{folder}/" if folder else self._root
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=start
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {key.removeprefix(start).partition("/")[0] for key in keys}

    def delete(self, path: str) -> None:
        self.client.delete_object(Bucket=self._bucket, Key=self._root + path)


def plain_client(server: S3Server, **settings: Any) -> Any:
    """Return a client of boto3 with as few settings as these servers need."""
    return _session().client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        verify=server.ca_bundle,
        config=Config(
            **{
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
                "s3": {"addressing_style": "path"},
                **settings,
            }
        ),
    )


@cache
def _session() -> boto3.session.Session:
    """One for all clients: to read boto3's description of S3 takes longer than many a test."""
    return boto3.session.Session()
