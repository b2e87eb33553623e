"""Each error of a server has a type of ours, and names bucket and endpoint."""

import socket
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
    (403, "InvalidObjectState", AccessDenied),
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


def test_a_certificate_that_nobody_trusts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    for name in ("server", "keys"):
        (tmp_path / name).mkdir()
    with rclone(tmp_path / "server", tls=True) as server:
        plain_client(server).create_bucket(Bucket=BUCKET)
        backend = backend_on(server, "", tmp_path / "keys", ca_bundle=None)
        with pytest.raises(ConfigError, match=r"set `ca_bundle` if .* \(self-signed certificate"):
            backend.read("file")
        trusting = backend_on(server, "", tmp_path / "keys")
        with pytest.raises(ObjectMissing):
            trusting.read("file")
        elsewhere = server.endpoint_url.replace("127.0.0.1", "localhost.localdomain")
        monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more: resolve("127.0.0.1", *more))
        other_host = backend_on(server, "", tmp_path / "keys", endpoint_url=elsewhere)
        with pytest.raises(ConfigError, match=r"doesn't match|Hostname mismatch"):
            other_host.read("file")


def test_tls_where_the_server_speaks_none_is_told_at_once(
    moto_server: S3Server, tmp_path: Path
) -> None:
    url = moto_server.endpoint_url.replace("http:", "https:")
    backend = backend_on(moto_server, "", tmp_path, endpoint_url=url, retry_for_s=1e6)
    with pytest.raises(ConfigError, match="http://"):
        backend.read("file")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_bundle_that_is_none_is_told_at_once(
    moto_server: S3Server, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    backend = backend_on(moto_server, "", tmp_path, ca_bundle=str(path), retry_for_s=1e6)
    with pytest.raises(ConfigError, match=r"ca_bundle .*bundle\.pem is not a file of cert"):
        backend.read("file")


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "http://127.0.0.1:port", "http://127.0.0.1:99999"]
)
def test_an_endpoint_that_cannot_be_is_told_at_once(
    moto_server: S3Server, tmp_path: Path, url: str
) -> None:
    backend = backend_on(moto_server, "", tmp_path, endpoint_url=url, retry_for_s=1e6)
    with pytest.raises(ConfigError, match="mend `endpoint_url`"):
        backend.read("file")
