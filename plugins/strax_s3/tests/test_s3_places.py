"""Options, URLs, processes, large objects, and what the doctor says."""

import itertools
import multiprocessing
import os
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore import UNSIGNED
from raw_s3 import BUCKET, RawS3
from s3_places import backend_on
from s3_server import S3Server

from strax_core import (
    Chunk,
    ConfigError,
    Context,
    DirectoryFrontend,
    ObjectExists,
    Plugin,
    StorageUnavailable,
)
from strax_core.testing import Fate, HttpProxy, HttpRequest, clean, everything, s3_error
from strax_s3 import client, download, upload
from strax_s3.backend import S3Backend
from strax_s3.options import S3Options


class Records(Plugin):
    """Ten pulses."""

    provides = "records"
    dtype = (("time", "i8"), ("endtime", "i8"), ("adc", "i4"))

    def chunks(self) -> Iterator[Chunk]:
        rows = np.zeros(10, self.dtype)
        rows["time"] = np.arange(10)
        rows["endtime"] = rows["time"] + 1
        rows["adc"] = rows["time"] * 3
        yield self.chunk(start=0, end=100, data=rows)


@pytest.fixture
def backend(moto_server: S3Server, prefix: str, tmp_path: Path) -> S3Backend:
    return backend_on(moto_server, prefix, tmp_path)


@pytest.fixture
def raw(moto_server: S3Server, prefix: str) -> RawS3:
    return RawS3(moto_server, prefix)


@pytest.mark.weakness("W46")
def test_data_are_made_in_a_bucket_and_loaded_from_it(
    moto_server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto_server.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_server.endpoint_url)
    url = f"s3://{BUCKET}/{prefix}"
    Context([url], plugins=[Records]).make("run_7", "records")
    reader = Context([url], plugins=[Records], forbid_creation_of="*")

    assert reader.get_array("run_7", "records")["adc"].tolist() == list(range(0, 30, 3))
    assert reader.storage[0].storage_type == 4


def test_a_url_is_a_bucket_and_a_prefix() -> None:
    assert S3Options.from_url("s3://bucket/some/pre%20fix/") == {
        "bucket": "bucket",
        "prefix": "some/pre fix",
    }
    for url in ("s3:///prefix", "s3://bucket?endpoint_url=x", "s3://user@bucket"):
        with pytest.raises(ConfigError, match="s3://bucket/prefix"):
            S3Options.from_url(url)


@pytest.mark.parametrize(
    "bad",
    [
        {"concurrency": 0},
        {"timeout_s": 0.0},
        {"retry_for_s": -1.0},
        {"session_token": True},
        {"access_key_id": True},
        {"endpoint_url": "not a URL"},
        {"prefix": "a/../b"},
        {"bucket": "a bucket"},
        {"bucket": "bucket/prefix"},
        {"bucket": ""},
        {"storage_class": "DEEP_ARCHIVE"},
    ],
)
def test_options_that_cannot_be_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        S3Backend(S3Options(**{"bucket": BUCKET, **bad})).read("file")  # type: ignore[arg-type]


def test_places_beside_each_other_are_separate(
    moto_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    one, other = (backend_on(moto_server, f"{prefix}/run{n}", tmp_path) for n in ("", "s"))
    for number, place in enumerate((one, other)):
        place.write("file", [b"%d" % number])
    one.delete("file")

    assert [entry.name for entry in one.list("")] == []
    assert other.read("file") == b"1"
    assert backend_on(moto_server, prefix, tmp_path).place == f"s3://{BUCKET}/{prefix}"


def read_in_a_fork(backend: S3Backend) -> tuple[bytes, int]:
    return backend.read("file"), id(backend._bucket.client)


@pytest.mark.parametrize("way", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_another_process_has_a_client_of_its_own(backend: S3Backend, way: str) -> None:
    backend.write("file", [b"x"])
    ours = backend._bucket.client
    with multiprocessing.get_context(way).Pool(1) as pool:
        data, theirs = pool.apply(read_in_a_fork, (backend,))

    assert data == b"x"
    assert backend.read("file") == b"x"
    assert backend._bucket.client is ours
    assert way == "spawn" or theirs != id(ours)


def test_a_forked_process_does_not_use_our_connections(backend: S3Backend) -> None:
    backend.write("file", [b"x"])
    pid = os.fork()
    if pid == 0:
        has_none = backend._bucket._client is None
        os._exit(0 if has_none and backend.read("file") == b"x" else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_process_forked_while_the_server_is_probed_probes_itself(backend: S3Backend) -> None:
    with backend._bucket.question:
        pid = os.fork()
        if pid == 0:
            threading.Timer(20, os._exit, (1,)).start()
            backend.write("file", [b"x"])
            os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_threads_share_one_client(backend: S3Backend) -> None:
    with ThreadPoolExecutor(8) as threads:
        clients = set(threads.map(lambda _: id(backend._bucket.client), range(50)))

    assert len(clients) == 1


def test_the_probe_is_asked_once_and_its_answer_goes_along(
    moto_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    with HttpProxy(moto_server.address) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        backend = backend_on(moto_server, prefix, tmp_path, endpoint_url=url)
        backend.write("file", [b"x"])
        assert len(proxy.requests) == 4  # two creations, their end, and the file
        copy = pickle.loads(pickle.dumps(backend))  # noqa: S301 - our own
        for writer in (backend, copy):
            proxy.forget()
            writer.write("file", [b"x"])
            assert len(proxy.requests) == 1


def test_a_probe_that_failed_here_is_asked_again_on_another_machine(
    moto_server: S3Server, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Fate(reaches_server=False, answer=s3_error(503, "SlowDown"))
    with HttpProxy(moto_server.address) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        backend = backend_on(moto_server, prefix, tmp_path, endpoint_url=url, retry_for_s=0.0)
        proxy.decide = lambda _: refused
        with pytest.raises(StorageUnavailable):
            backend.write("file", [b"x"])
        proxy.decide = None
        pickled = pickle.dumps(backend)
        monkeypatch.setattr(time, "monotonic", itertools.count().__next__)  # it was started later
        pickle.loads(pickled).write("file", [b"x"])  # noqa: S301 - pickled three lines above


def test_who_takes_the_risk_writes_also_where_the_condition_is_refused(
    moto_server: S3Server, prefix: str, raw: RawS3, tmp_path: Path
) -> None:
    refused = Fate(reaches_server=False, answer=s3_error(501, "NotImplemented"))
    with HttpProxy(moto_server.address) as proxy:
        proxy.decide = lambda request: refused if "if-none-match" in request.headers else None
        url = f"http://127.0.0.1:{proxy.port}"
        careful = backend_on(moto_server, prefix, tmp_path, endpoint_url=url)
        with pytest.raises(ConfigError, match="unsafe_commit = true"):
            careful.write("file", [b"x"])
        risky = backend_on(moto_server, prefix, tmp_path, endpoint_url=url, unsafe_commit=True)
        risky.write("file", [b"x"], create_only=True)
        with pytest.raises(ObjectExists):
            risky.write("file", [b"y"], create_only=True)

    assert raw.read("file") == b"x"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 6 << 20)
    monkeypatch.setattr(upload, "PART_BYTES", 5 << 20)


LARGE = np.random.default_rng(1).bytes((11 << 20) + 3)


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_goes_up_in_parts(backend: S3Backend, raw: RawS3) -> None:
    backend.write("file", [LARGE[:7], LARGE[7 : 6 << 20], LARGE[6 << 20 :]])

    assert raw.read("file") == LARGE
    assert everything(raw) == {"file"}
    assert list(backend.drop_stale(before_ns=2**63, dry_run=True)) == []


@pytest.mark.usefixtures("small_parts")
def test_what_is_large_and_created_only_once_goes_up_in_one_request(
    backend: S3Backend, raw: RawS3
) -> None:
    backend.write("file", [LARGE], create_only=True)
    with pytest.raises(ObjectExists):
        backend.write("file", [LARGE[: 7 << 20]], create_only=True)

    assert raw.read("file") == LARGE


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("fate", ["part", "complete"])
def test_a_broken_upload_in_parts_is_dropped(
    moto_server: S3Server, prefix: str, tmp_path: Path, fate: str
) -> None:
    def decide(request: HttpRequest) -> Fate | None:
        is_part = "partNumber=2" in request.target
        is_end = request.method == "POST" and "uploadId" in request.target
        hit = is_part if fate == "part" else is_end
        return Fate(reaches_server=False, answer=s3_error(403, "AccessDenied")) if hit else None

    with HttpProxy(moto_server.address) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        backend = backend_on(moto_server, prefix, tmp_path, endpoint_url=url)
        proxy.decide = decide
        with pytest.raises(Exception, match="may not be used"):
            backend.write("file", [LARGE])
        assert list(backend.drop_stale(before_ns=2**63, dry_run=True)) == []
        assert list(backend.list("")) == []


@pytest.mark.usefixtures("small_parts")
def test_a_lost_answer_to_the_end_of_an_upload_is_settled(
    moto_server: S3Server, prefix: str, raw: RawS3, tmp_path: Path
) -> None:
    hit: list[HttpRequest] = []

    def decide(request: HttpRequest) -> Fate | None:
        if request.method == "POST" and "uploadId" in request.target and not hit:
            hit.append(request)
            return Fate()
        return None

    with HttpProxy(moto_server.address) as proxy:
        proxy.decide = decide
        url = f"http://127.0.0.1:{proxy.port}"
        backend_on(moto_server, prefix, tmp_path, endpoint_url=url).write("file", [LARGE])

    assert hit
    assert raw.read("file") == LARGE


def test_clean_finds_and_drops_unfinished_uploads(backend: S3Backend, raw: RawS3) -> None:
    key = f"{backend._root}folder/file"
    raw.client.create_multipart_upload(Bucket=BUCKET, Key=key)
    assert clean(backend, grace_s=1e9) == []  # moto says that all began in 2010
    found = clean(backend, grace_s=0, dry_run=True)
    assert [(each.path, each.reason) for each in found] == [
        ("folder/file", "an upload that never ended")
    ]
    assert clean(backend, grace_s=0, dry_run=False) == found

    assert clean(backend, grace_s=0) == []


def test_uploads_of_places_beside_are_left_alone(backend: S3Backend, raw: RawS3) -> None:
    beside = f"{backend._root.rstrip('/')}s/file"
    begun = raw.client.create_multipart_upload(Bucket=BUCKET, Key=beside)
    try:
        assert list(backend.drop_stale(before_ns=2**63, dry_run=False)) == []
        left = raw.client.list_multipart_uploads(Bucket=BUCKET, Prefix=beside)["Uploads"]
        assert [each["Key"] for each in left] == [beside]
    finally:
        raw.client.abort_multipart_upload(Bucket=BUCKET, Key=beside, UploadId=begun["UploadId"])


def test_far_ranges_are_asked_for_at_once_and_near_ones_together(
    moto_server: S3Server, prefix: str, raw: RawS3, tmp_path: Path
) -> None:
    data = np.random.default_rng(2).bytes(4 << 20)
    raw.write("file", data)
    gap = download.GAP_BYTES
    ranges = [(3 << 20, 10), (0, 100), (100 + gap, 5), (2 << 20, 7), (50, 60)]
    with HttpProxy(moto_server.address) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        backend = backend_on(moto_server, prefix, tmp_path, endpoint_url=url)
        assert backend.read_ranges("file", ranges) == [data[at : at + n] for at, n in ranges]
        asked = sorted(request.headers["range"] for request in proxy.requests)

    assert asked == sorted(
        f"bytes={at}-{at + n - 1}" for at, n in ((0, 105 + gap), (2 << 20, 7), (3 << 20, 10))
    )


def test_the_doctor_says_that_all_is_well_and_leaves_nothing(
    backend: S3Backend, raw: RawS3
) -> None:
    checks = list(backend.checks(writes=True))

    assert [check.name for check in checks if not check.is_good] == []
    assert {"credentials", "bucket", "clock", "checksums", "create only what is new"} <= {
        check.name for check in checks
    }
    assert everything(raw) == set()


def test_the_doctor_tells_a_wrong_clock_and_a_missing_bucket(
    backend: S3Backend,
    moto_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = backend_on(moto_server, "", tmp_path, bucket="no-such-bucket")
    bad = [check for check in missing.checks(writes=True) if not check.is_good]
    assert "make it" in bad[0].text
    right = time.time
    monkeypatch.setattr("strax_s3.checks.time.time", lambda: right() + 1000)
    (clock,) = [check for check in backend.checks(writes=False) if not check.is_good]

    assert clock.name == "clock"
    (off_s,) = re.findall(r"is ([+-]\d+) s off", clock.text)
    assert 990 < int(off_s) < 2000  # the server tells whole seconds, and may be slow to answer


@pytest.mark.parametrize(
    ("page", "told"),
    [("200 OK", "no S3 server"), ("404 Not Found", "no S3 server"), ("302 Found", "redirect")],
)
def test_the_doctor_tells_what_is_no_s3_server(
    moto_server: S3Server, tmp_path: Path, page: str, told: str
) -> None:
    head = f"HTTP/1.1 {page}\r\nContent-Length: 7\r\nConnection: close\r\n\r\n<html/>"
    with HttpProxy(moto_server.address) as proxy:
        proxy.decide = lambda _: Fate(reaches_server=False, answer=head.encode())
        url = f"http://127.0.0.1:{proxy.port}"
        backend = backend_on(moto_server, "", tmp_path, endpoint_url=url)
        (bad,) = [check for check in backend.checks(writes=True) if not check.is_good]

    assert bad.name == "bucket"
    assert told in bad.text


def test_settings_of_the_client(moto_server: S3Server, prefix: str, tmp_path: Path) -> None:
    backend = backend_on(moto_server, prefix, tmp_path, concurrency=7, timeout_s=3.0)
    config = backend._bucket.client.meta.config

    assert config.max_pool_connections == 7
    assert (config.connect_timeout, config.read_timeout) == (3.0, 3.0)
    assert config.retries["total_max_attempts"] == 1
    assert config.request_checksum_calculation == "when_required"
    assert config.response_checksum_validation == "when_required"
    assert config.s3["addressing_style"] == "path"
    aws = client.new_client(S3Options(bucket=BUCKET, region="eu-central-1"))
    assert aws.meta.config.s3["addressing_style"] == "auto"


def test_storage_class_and_encryption_are_asked_for(
    moto_server: S3Server, prefix: str, tmp_path: Path, raw: RawS3
) -> None:
    backend = backend_on(moto_server, prefix, tmp_path, storage_class="STANDARD_IA", sse="AES256")
    backend.write("file", [b"x"])
    told = raw.client.head_object(Bucket=BUCKET, Key=f"{prefix}/file")

    assert (told["StorageClass"], told["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")


@pytest.mark.usefixtures("small_parts")
def test_they_are_asked_for_also_where_an_object_goes_up_in_parts(
    moto_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    with HttpProxy(moto_server.address) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        more = {"storage_class": "STANDARD_IA", "sse": "AES256", "endpoint_url": url}
        backend_on(moto_server, prefix, tmp_path, **more).write("file", [LARGE])
        (begun,) = [one for one in proxy.requests if "uploads" in one.target]

    assert begun.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert begun.headers["x-amz-server-side-encryption"] == "AES256"


def test_marks_that_others_put_for_folders_are_no_files(
    backend: S3Backend, raw: RawS3, prefix: str
) -> None:
    raw.client.put_object(Bucket=BUCKET, Key=f"{prefix}/")
    raw.client.put_object(Bucket=BUCKET, Key=f"{prefix}/folder/")

    assert [(entry.name, entry.is_folder) for entry in backend.list("")] == [("folder", True)]
    assert list(backend.list("folder")) == []
    assert list(DirectoryFrontend(backend).scan_runs()) == []


def test_a_part_that_vanishes_is_told(backend: S3Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object, **__: object) -> Callable[[], None]:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(upload, "_complete", lose)
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 1)
    with pytest.raises(StorageUnavailable, match="gone"):
        backend.write("file", [b"two bytes"])
    assert list(backend.drop_stale(before_ns=2**63, dry_run=True)) == []


def test_a_server_is_told_who_asks() -> None:
    asked: list[str] = []

    def stop(request: Any, **_: object) -> None:
        asked.append(request.headers["User-Agent"].decode())
        raise InterruptedError

    aws = client.new_client(S3Options(bucket=BUCKET, region="eu-central-1"))
    aws.meta.events.register("before-send.s3", stop)
    aws.meta.events.register("choose-signer.s3", lambda **_: UNSIGNED)  # there may be no key
    with pytest.raises(InterruptedError):
        aws.get_object(Bucket=BUCKET, Key="file")

    (name,) = asked
    assert re.fullmatch(r"strax-s3 Boto3/[\d.]+ Botocore/[\d.]+", name)
