"""Each error of a server has a type of ours, and names bucket and endpoint."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fates import once
from raw_s3 import BUCKET, RawS3, plain_client
from s3_places import backend_on
from s3_server import S3Server, rclone

from strax_core import (
    AccessDenied,
    ConfigError,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.testing import Fate, HttpProxy, Proxy, s3_error
from strax_s3.backend import S3Backend

ERRORS = [
    (403, "AccessDenied", AccessDenied),
    (403, "InvalidAccessKeyId", AccessDenied),
    (403, "SignatureDoesNotMatch", AccessDenied),
    (403, "RequestTimeTooSkewed", AccessDenied),
    (400, "ExpiredToken", AccessDenied),
    (403, "QuotaExceeded", StorageFull),
    (507, "InsufficientStorage", StorageFull),
    (400, "AuthorizationHeaderMalformed", ConfigError),
    (501, "NotImplemented", ConfigError),
    (400, "InvalidArgument", ConfigError),
    (404, "NoSuchBucket", StorageUnavailable),
]


@pytest.mark.parametrize(("status", "code", "expected"), ERRORS)
def test_what_is_certain_is_typed_and_not_asked_again(
    backend: S3Backend, proxy: HttpProxy, status: int, code: str, expected: type[StorageError]
) -> None:
    backend.write("file", [b"x"])
    answered = Fate(reaches_server=False, answer=s3_error(status, code))
    verbs: list[Callable[[], object]] = [
        lambda: backend.read("file"),
        lambda: backend.read_ranges("file", [(0, 1)]),
        lambda: list(backend.list("")),
        lambda: backend.write("file", [b"y"]),
        lambda: backend.delete("file"),
    ]
    for verb in verbs:
        proxy.forget()
        proxy.decide = lambda _: answered
        with pytest.raises(expected, match=f"strax.* at http://127.0.0.1:{proxy.port}") as caught:
            verb()
        assert caught.value.__cause__ is not None
        assert len(proxy.requests) == 1


def test_a_bucket_in_another_region_is_found_or_the_message_says_what_to_set(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    raw.write("file", b"x")
    moved = b"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nConnection: close\r\n\r\n<html>"
    proxy.decide = lambda _: Fate(reaches_server=False, answer=moved)
    with pytest.raises(ConfigError, match=r"redirect: mend `endpoint_url` \(is it https\?\)"):
        backend.read("file")
    told = s3_error(301, "PermanentRedirect")
    proxy.decide = lambda _: Fate(reaches_server=False, answer=told)
    with pytest.raises(ConfigError, match=r"another region; set `region` \(PermanentRedirect"):
        backend.read("file")

    where = told.replace(b"\r\n", b"\r\nx-amz-bucket-region: eu-test-1\r\n", 1)
    proxy.decide = once(Fate(reaches_server=False, answer=where), method="GET")
    proxy.forget()
    assert backend.read("file") == b"x"
    signed = [request.headers["authorization"] for request in proxy.requests]
    assert ["/eu-test-1/s3/" in each for each in signed] == [False, True]


def test_nobody_there_is_told_at_once(through: Callable[..., S3Backend]) -> None:
    with Proxy(("127.0.0.1", 9)) as proxy:
        gone = proxy
    backend = through(gone, retry_for_s=1e6)

    with pytest.raises(StorageUnavailable, match="got no answer"):
        backend.read("file")


def test_a_missing_bucket_is_no_empty_place(server: S3Server, tmp_path: Path) -> None:
    backend = backend_on(server, "", tmp_path, bucket="no-such-bucket")
    for verb in (
        lambda: backend.read("file"),
        lambda: list(backend.list("")),
        lambda: backend.write("file", [b"x"]),
    ):
        with pytest.raises(StorageUnavailable, match=r"no-such-bucket.*make it"):
            verb()


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    for name in ("server", "keys"):
        (tmp_path / name).mkdir()
    with rclone(tmp_path / "server", tls=True) as server:
        plain_client(server).create_bucket(Bucket=BUCKET)
        backend = backend_on(server, "", tmp_path / "keys", ca_bundle=None)
        with pytest.raises(ConfigError, match="certificate is not trusted; set `ca_bundle`"):
            backend.read("file")
        trusting = backend_on(server, "", tmp_path / "keys")
        with pytest.raises(ObjectMissing):
            trusting.read("file")
