"""Many objects are deleted in few requests, and what a server answers is looked at."""

import json
from collections.abc import Callable

import pytest
from fates import once
from raw_s3 import RawS3

from strax_core import AccessDenied, CleanedInPart, StorageUnavailable
from strax_core.testing import (
    Fate,
    HttpProxy,
    HttpRequest,
    clean,
    everything,
    s3_error,
    sample_chunks,
    sample_key,
    save_sample,
)
from strax_s3.backend import S3Backend

KEY = sample_key()
REFUSED = [(501, "NotImplemented"), (405, "MethodNotAllowed"), (400, "MalformedXML")]


def is_many(request: HttpRequest) -> bool:
    return request.method == "POST" and "delete" in request.target


def answer(body: str) -> Fate:
    """Do nothing, and claim this."""
    told = body.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(told)
    return Fate(reaches_server=False, answer=head + told)


def to_many(fate: Fate) -> Callable[[HttpRequest], Fate | None]:
    return lambda request: fate if is_many(request) else None


def put(raw: RawS3, n: int, folder: str = "folder") -> list[str]:
    paths = [f"{folder}/{i:04d} & <ä>" for i in range(n)]
    for path in paths:
        raw.write(path, b"x")
    return paths


def n_deletions(proxy: HttpProxy) -> int:
    return sum(is_many(one) or one.method == "DELETE" for one in proxy.requests)


def test_a_thousand_files_are_deleted_in_few_requests(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    put(raw, 1003)
    put(raw, 2, "folder2")
    proxy.forget()
    backend.delete("folder")

    assert len(proxy.requests) == 4  # two pages, and what stands on each
    assert [path for path in everything(raw) if not path.startswith("folder2/")] == []
    assert len(everything(raw)) == 2


def test_files_are_deleted_without_a_listing(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    paths = put(raw, 20)
    raw.write(f"{paths[3]}/below", b"x")
    proxy.forget()
    backend.delete_files([*paths[:10], "missing"])

    assert len(proxy.requests) == 1
    assert everything(raw) == {*paths[10:], f"{paths[3]}/below"}
    backend.delete_files([])
    assert len(proxy.requests) == 1


def test_data_of_many_chunks_are_removed_in_few_requests(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    save_sample(backend, KEY, sample_chunks(KEY, sizes=(5,) * 40))
    proxy.forget()
    backend.remove(KEY.name)

    assert len(proxy.requests) <= 12
    assert everything(raw) == set()


def test_what_a_replacement_left_that_died_is_cleaned_in_few_requests(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    asked: list[int] = []
    for i, n_chunks in enumerate((5, 40)):
        key = sample_key(f"run_{i}")
        save_sample(backend, key, sample_chunks(key, sizes=(5,) * n_chunks))
        old = {path: raw.read(path) for path in everything(raw) if not path.endswith(".json")}
        writing = save_sample(backend, key, sample_chunks(key, mark=2), overwrite="always")
        new = everything(raw)
        old = {path: stored for path, stored in old.items() if path not in new}
        assert len(old) == n_chunks
        for path, stored in old.items():
            raw.write(path, stored)
        folder = f".staging/{key.name}/{writing.write_id}"
        raw.write(f"{folder}/ticket.json", b"{}")
        names = [path.removeprefix(f"{key.name}/") for path in old]
        raw.write(f"{folder}/replaced.json", json.dumps({"files": names}).encode())
        proxy.forget()
        told = clean(backend, grace_s=0, dry_run=False)

        assert {each.path for each in told} == {*old, folder}
        assert everything(raw) == new
        asked.append(len(proxy.requests))

    assert asked[0] == asked[1] <= 25


@pytest.mark.parametrize(("status", "code"), REFUSED)
def test_a_server_that_does_not_delete_many_deletes_one_by_one(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy, status: int, code: str
) -> None:
    proxy.decide = to_many(Fate(reaches_server=False, answer=s3_error(status, code)))
    put(raw, 30)
    proxy.forget()
    backend.delete("folder")

    assert everything(raw) == set()
    assert n_deletions(proxy) == 31
    backend.delete_files(put(raw, 5))
    assert everything(raw) == set()
    assert n_deletions(proxy) == 36  # it is not asked again


def test_what_a_server_says_not_to_be_gone_is_deleted_alone(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    paths = put(raw, 6, "a")
    root = backend._root
    told = [f"<Deleted><Key>{root}a/{i:04d} &amp; &lt;ä&gt;</Key></Deleted>" for i in (0, 1)]
    # Of the third it says nothing, and of the second both.
    error = f"<Error><Key>{root}a/0001 &amp; &lt;ä&gt;</Key><Code>InternalError</Code></Error>"
    body = f"<DeleteResult>{''.join(told)}{error}</DeleteResult>"
    proxy.decide = once(answer(body), method="POST", part="delete")
    proxy.forget()
    backend.delete_files(paths[:3])

    assert everything(raw) == {paths[0], *paths[3:]}  # as it had claimed
    assert n_deletions(proxy) == 3


def test_a_server_may_say_that_nothing_was_there_to_delete(
    backend: S3Backend, proxy: HttpProxy
) -> None:
    missing = Fate(reaches_server=False, answer=s3_error(404, "NoSuchKey"))
    proxy.decide = lambda request: missing if request.method == "DELETE" else None

    backend.delete("file")
    backend.delete_files(["file"])


def test_an_error_about_one_of_many_is_raised(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    paths = put(raw, 6, "a")

    def decide(request: HttpRequest) -> Fate | None:
        if is_many(request):
            return answer("<DeleteResult></DeleteResult>")
        if request.method == "DELETE" and "0004" in request.target:
            return Fate(reaches_server=False, answer=s3_error(403, "AccessDenied"))
        return None

    proxy.decide = decide
    with pytest.raises(AccessDenied, match="a/0004"):
        backend.delete("a")
    assert paths[4] in everything(raw)


def test_a_deletion_of_many_is_asked_again(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    for fate in (Fate(), Fate(reaches_server=False, answer=s3_error(503, "SlowDown"))):
        paths = put(raw, 5)
        proxy.decide = once(fate, method="POST", part="delete")
        proxy.forget()
        backend.delete_files(paths)

        assert everything(raw) == set()
        assert n_deletions(proxy) == 2


def test_a_silent_server_deletes_nothing_alone(
    raw: RawS3, proxy: HttpProxy, through: Callable[..., S3Backend]
) -> None:
    backend = through(proxy, retry_for_s=0.0)
    paths = put(raw, 5)
    proxy.decide = lambda _: Fate(reaches_server=False, answer=s3_error(503, "SlowDown"))
    proxy.forget()
    with pytest.raises(StorageUnavailable):
        backend.delete_files(paths)

    assert len(proxy.requests) == 1


def test_the_request_has_the_checksum_that_every_server_knows(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    backend.delete_files(put(raw, 2))
    (request,) = [one for one in proxy.requests if is_many(one)]

    assert "content-md5" in request.headers
    assert not [name for name in request.headers if name.startswith("x-amz-checksum")]


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (403, "AccessDenied")])
def test_where_uploads_cannot_be_listed_all_else_is_cleaned(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy, status: int, code: str
) -> None:
    for number in range(3):
        raw.write(f".staging/tmp-{number:016x}", b"x")
    refused = Fate(reaches_server=False, answer=s3_error(status, code))
    proxy.decide = lambda request: refused if "uploads" in request.target else None
    for dry_run in (True, False):
        with pytest.raises(CleanedInPart, match=r"uploads.*s3:ListBucketMultipart") as caught:
            clean(backend, grace_s=0, dry_run=dry_run)
        assert len(caught.value.leftovers) == 3

    assert everything(raw) == set()
