"""Answers that no honest server gives: each is a typed error, and nothing else is touched."""

from collections.abc import Callable

import pytest
from fates import once
from raw_s3 import RawS3

from strax_core import ConfigError, StorageUnavailable
from strax_core.testing import (
    Fate,
    HttpProxy,
    HttpRequest,
    clean,
    s3_error,
    sample_key,
    save_sample,
)
from strax_s3.backend import S3Backend

KEY = sample_key()
BODY = bytes(range(256)) * 20_000
TIME = "<LastModified>2026-11-29T17:04:05Z</LastModified>"


def answer(body: str | bytes, *head: str, status: str = "200 OK") -> Fate:
    """Give this instead of the server's answer."""
    told = body if isinstance(body, bytes) else body.encode()
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(told)}", "Connection: close", *head)
    return Fate(reaches_server=False, answer="\r\n".join((*lines, "", "")).encode() + told)


def listing(key: str, below: str = f"{TIME}<Size>3</Size>", *, token: str = "") -> Fate:
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return answer(
        f"<ListBucketResult><IsTruncated>{str(bool(token)).lower()}</IsTruncated>{more}"
        f"<Contents><Key>{key}</Key>{below}</Contents></ListBucketResult>"
    )


def to_lists(fate: Fate) -> Callable[[HttpRequest], Fate | None]:
    return lambda request: fate if "list-type" in request.target else None


PORTAL = answer("<html>log in</html>", "Content-Type: text/html")


def test_keys_that_were_not_asked_for_are_not_deleted(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    raw.write("folder/file", b"x")
    proxy.decide = to_lists(listing("somebody/else"))
    proxy.forget()
    for verb in (lambda: backend.delete("folder"), lambda: list(backend.list(""))):
        with pytest.raises(StorageUnavailable, match="not asked for"):
            verb()

    assert {request.method for request in proxy.requests} == {"GET"}


def test_a_list_that_never_ends_is_ended(backend: S3Backend, raw: RawS3, proxy: HttpProxy) -> None:
    raw.write("folder/file", b"x")
    key = f"{backend._root}folder/file"
    markers = "<NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>b</NextUploadIdMarker>"
    uploads = answer(
        f"<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>{markers}"
        "</ListMultipartUploadsResult>"
    )
    endless = listing(key, token="same")
    proxy.decide = lambda request: uploads if "uploads" in request.target else endless
    proxy.forget()
    for verb in (
        lambda: list(backend.list("folder")),
        lambda: list(backend.drop_stale(before_ns=0, dry_run=True)),
    ):
        with pytest.raises(ConfigError, match="does not say how to go on"):
            verb()

    assert len(proxy.requests) == 4


@pytest.mark.parametrize(
    "below", ["", TIME, "<Size>3</Size>", f"{TIME}<Size>many</Size>", TIME.replace("2026", "soon")]
)
def test_a_list_that_says_too_little_is_a_typed_error(
    proxy: HttpProxy, through: Callable[..., S3Backend], below: str
) -> None:
    backend = through(proxy, retry_for_s=0.0)
    proxy.decide = to_lists(listing(f"{backend._root}file", below))
    with pytest.raises(StorageUnavailable, match="no S3 server"):
        list(backend.list(""))


def test_an_endpoint_that_holds_the_bucket_is_told(backend: S3Backend, proxy: HttpProxy) -> None:
    proxy.decide = to_lists(Fate(reaches_server=False, answer=s3_error(404, "NoSuchKey")))
    with pytest.raises(ConfigError, match="`endpoint_url` must not hold the name of the bucket"):
        list(backend.list(""))


def test_keys_that_are_no_paths_are_passed_over_and_do_not_stop_others(
    backend: S3Backend, raw: RawS3
) -> None:
    odd = ["..", "./x", "a//b", "back\\slash", "tab\tx", "folder/../x", ".staging/../x"]
    for path in (*odd, ".staging/a\\b/c/d", "folder/file"):
        raw.write(path, b"x")
    save_sample(backend, KEY)

    assert {entry.name for entry in backend.list("")} == {".staging", "a", "folder", KEY.name}
    assert clean(backend, grace_s=0, dry_run=False) == []
    backend.delete("folder")
    keys = raw.client.list_objects_v2(Bucket="strax", Prefix=f"{backend._root}folder/")
    assert keys["KeyCount"] == 0


@pytest.mark.parametrize("verb", ["read", "write"])
def test_a_page_of_a_network_is_no_object_and_stores_none(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy, verb: str
) -> None:
    backend.write("file", [b"x"])
    proxy.decide = lambda _: PORTAL
    with pytest.raises(StorageUnavailable, match="no S3 server"):
        backend.read("file") if verb == "read" else backend.write("file", [b"y"])

    assert raw.read("file") == b"x"


def test_a_commit_that_a_network_answers_is_done_again(
    backend: S3Backend, proxy: HttpProxy
) -> None:
    proxy.decide = once(PORTAL, method="PUT", part="metadata.json")
    save_sample(backend, KEY)

    assert backend.loader(KEY.name).metadata.is_complete


@pytest.mark.parametrize("page", ["<html>not found</html>", ""])
def test_a_page_that_is_not_there_says_nothing_about_an_object(
    proxy: HttpProxy, through: Callable[..., S3Backend], page: str
) -> None:
    backend = through(proxy, retry_for_s=0.0)
    proxy.decide = lambda _: answer(page, status="404 Not Found")
    with pytest.raises(StorageUnavailable, match="no S3 server"):
        backend.get_metadata(KEY.name)


def test_bytes_that_begin_elsewhere_are_not_put_together(
    raw: RawS3, proxy: HttpProxy, backend: S3Backend
) -> None:
    raw.write("file", BODY)
    whole = answer(BODY, 'ETag: "1"')
    broken = Fate(reaches_server=False, answer=(whole.answer or b"")[:3_000_000])
    fates = [whole, broken, broken]  # of the first, nothing is kept
    proxy.decide = lambda _: fates.pop() if fates else None
    with pytest.raises(StorageUnavailable, match="another byte"):
        backend.read("file")
    late = answer("34", 'ETag: "1"', "Last-Modified: soon")
    proxy.decide = lambda _: late
    with pytest.raises(StorageUnavailable, match="no S3 server"):
        backend.read("file")
    elsewhere = answer("34", "Content-Range: bytes 7-8/10", 'ETag: "1"', status="206 Partial")
    proxy.decide = lambda _: elsewhere
    with pytest.raises(StorageUnavailable, match="another byte"):
        backend.read_ranges("file", [(3, 2)])


def test_an_object_that_is_another_each_time_is_given_up(
    raw: RawS3, proxy: HttpProxy, backend: S3Backend
) -> None:
    raw.write("file", BODY)

    def decide(request: HttpRequest) -> Fate:
        whole = answer(BODY, f'ETag: "{request.number}"').answer or b""
        return Fate(reaches_server=False, answer=whole[:3_000_000])

    proxy.decide = decide
    proxy.forget()
    with pytest.raises(StorageUnavailable, match="another object"):
        backend.read("file")

    assert len(proxy.requests) <= 20
