"""What a network and a busy server do to requests: each continues, or ends in a typed error."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from raw_s3 import BUCKET, RawS3, plain_client
from s3_places import backend_on, options_for
from s3_server import S3Server, rclone

from strax_core import (
    AccessDenied,
    ConfigError,
    DataCorrupted,
    DataExistsError,
    ObjectExists,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
    metadata_path,
)
from strax_core.testing import (
    End,
    Fate,
    HttpProxy,
    HttpRequest,
    LinkFault,
    Proxy,
    Way,
    clean,
    everything,
    s3_error,
    sample_key,
    save_sample,
)
from strax_s3.backend import S3Backend

KEY = sample_key()
METADATA = metadata_path(KEY.name)
PIECE_BYTES = 1 << 20
BODY = bytes(range(256)) * 20_000  # 5 MB


@pytest.fixture
def proxy(moto_server: S3Server) -> Iterator[HttpProxy]:
    with HttpProxy(moto_server.address) as proxy:
        yield proxy


@pytest.fixture
def raw(moto_server: S3Server, prefix: str) -> RawS3:
    return RawS3(moto_server, prefix)


@pytest.fixture
def through(moto_server: S3Server, prefix: str, tmp_path: Path) -> Callable[..., S3Backend]:
    """A function that opens a backend behind a proxy, not very patient."""

    def through(proxy: Proxy, **options: float) -> S3Backend:
        quick = {"timeout_s": 0.5, "retry_for_s": 5.0, **options}
        url = f"http://127.0.0.1:{proxy.port}"
        return backend_on(moto_server, prefix, tmp_path, endpoint_url=url, **quick)

    return through


@pytest.fixture
def backend(proxy: HttpProxy, through: Callable[..., S3Backend]) -> S3Backend:
    return through(proxy)


def once(fate: Fate, *, method: str, part: str = "") -> Callable[[HttpRequest], Fate | None]:
    """Return what decides so about the first such request, and lets all others pass."""
    hit: list[HttpRequest] = []

    def decide(request: HttpRequest) -> Fate | None:
        if request.method == method and part in request.target and not hit:
            hit.append(request)
            return fate
        return None

    return decide


def whose_metadata(raw: RawS3) -> bytes:
    return raw.read(METADATA)


@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize("n_bytes", [1, 70_000, (1 << 20) + 1, len(BODY) - 1])
def test_a_body_that_breaks_off_is_continued_from_where_it_broke(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy, end: End, n_bytes: int
) -> None:
    raw.write("file", BODY)
    proxy.decide = once(Fate(n_answer_bytes=n_bytes, end=end), method="GET")
    assert backend.read("file") == BODY
    first, *others = [request.headers.get("range") for request in proxy.requests]
    assert first is None
    assert others
    # What the client had taken, in whole pieces, is not asked for again; a reset takes back what
    # it had not taken yet.
    if n_bytes > PIECE_BYTES and end is not End.RESET:
        starts = [int(str(asked).removeprefix("bytes=").removesuffix("-")) for asked in others]
        assert min(starts) in {n_bytes, n_bytes // PIECE_BYTES * PIECE_BYTES}

    proxy.decide = once(Fate(n_answer_bytes=n_bytes // 2 + 1, end=end), method="GET")
    assert backend.read_ranges("file", [(100, len(BODY) - 200)]) == [BODY[100:-100]]


def test_an_object_that_is_replaced_in_mid_read_is_not_mixed(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    raw.write("file", BODY)
    other = bytes(len(BODY))
    cut = Fate(n_answer_bytes=3 << 20, end=End.CLOSE, do=lambda: raw.write("file", other))
    proxy.decide = once(cut, method="GET")

    assert backend.read("file") == other


@pytest.mark.parametrize("n_bytes", [0, 1000, 300_000, 5_000_000])
def test_an_upload_that_breaks_off_is_sent_again_whole(
    moto_server: S3Server, through: Callable[..., S3Backend], raw: RawS3, n_bytes: int
) -> None:
    with Proxy(moto_server.address) as proxy:
        backend = through(proxy)
        backend.write("first", [b"x"])
        proxy.fault = LinkFault(way=Way.TO_SERVER, after_bytes=n_bytes)
        backend.write("file", [BODY[:1000], BODY[1000:]])

        assert proxy.n_hit == 1
    assert raw.read("file") == BODY


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
def test_a_busy_server_is_asked_again(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy, status: int, code: str
) -> None:
    busy = Fate(reaches_server=False, answer=s3_error(status, code))
    proxy.decide = once(busy, method="PUT")
    backend.write("file", [b"x"])
    proxy.decide = once(busy, method="GET", part="list-type")
    assert [entry.name for entry in backend.list("")] == ["file"]
    proxy.decide = once(busy, method="DELETE")
    backend.delete("file")

    assert everything(raw) == set()


def test_a_server_that_stays_busy_or_silent_is_a_typed_error(
    proxy: HttpProxy, through: Callable[..., S3Backend]
) -> None:
    backend = through(proxy, retry_for_s=0.3, timeout_s=0.2)
    for fate in (
        Fate(reaches_server=False, answer=s3_error(503, "SlowDown")),
        Fate(reaches_server=False, end=End.SILENCE),
        Fate(reaches_server=False, end=End.RESET),
    ):
        proxy.decide = lambda _, fate=fate: fate
        with pytest.raises(StorageUnavailable, match=f"strax.*127.0.0.1:{proxy.port}"):
            backend.read("file")
        with pytest.raises(StorageUnavailable):
            backend.write("file", [b"x"])
        with pytest.raises(StorageUnavailable):
            list(backend.list(""))


def test_by_default_an_error_comes_within_a_minute(
    moto_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    options = options_for(moto_server, prefix, tmp_path)
    longest_pause_s = 5.0

    assert options.retry_for_s + longest_pause_s + options.timeout_s < 60


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


def test_nobody_there_is_told_at_once(through: Callable[..., S3Backend]) -> None:
    with Proxy(("127.0.0.1", 9)) as proxy:
        gone = proxy
    backend = through(gone, retry_for_s=1e6)

    with pytest.raises(StorageUnavailable, match="got no answer"):
        backend.read("file")


def test_a_server_that_was_there_is_waited_for(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    raw.write("file", b"x")
    assert backend.read("file") == b"x"
    proxy.refuses = True
    proxy.reset_all()
    again = threading.Timer(0.3, setattr, (proxy, "refuses", False))
    again.start()

    assert backend.read("file") == b"x"
    again.join()


def test_a_missing_bucket_is_no_empty_place(moto_server: S3Server, tmp_path: Path) -> None:
    backend = backend_on(moto_server, "", tmp_path, bucket="no-such-bucket")
    for verb in (
        lambda: backend.read("file"),
        lambda: list(backend.list("")),
        lambda: backend.write("file", [b"x"]),
    ):
        with pytest.raises(StorageUnavailable, match=r"no-such-bucket.*make it"):
            verb()


def test_a_lost_answer_to_the_commit_is_no_conflict(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    proxy.decide = once(Fate(), method="PUT", part="metadata.json")
    save_sample(backend, KEY)
    tries = [one.status for one in proxy.requests if one.method == "PUT" and METADATA in one.target]

    assert tries[:2] == [200, 412]  # it met its own object
    assert backend.loader(KEY.name).metadata.is_complete
    assert not [path for path in everything(raw) if path.startswith(".staging")]


def test_an_unclear_answer_is_never_a_conflict(backend: S3Backend, proxy: HttpProxy) -> None:
    backend.write("first", [b"x"])
    for fate in (Fate(), Fate(answer=s3_error(500, "InternalError"))):
        name = f"file-{fate.answer is None}"
        proxy.decide = once(fate, method="PUT")
        with pytest.raises(StorageUnavailable, match="unknown"):
            backend.write(name, [b"x"], create_only=True)
        with pytest.raises(ObjectExists):  # asked anew, it is certain
            backend.write(name, [b"x"], create_only=True)


@pytest.mark.parametrize("when", ["while it waits", "when it has been done again"])
def test_a_commit_that_arrives_late_is_no_conflict(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy, when: str
) -> None:
    late, arrived = threading.Event(), threading.Event()
    if when == "while it waits":
        late.set()
    fate = Fate(late=late, end=End.SILENCE, do=arrived.set)
    proxy.decide = once(fate, method="PUT", part="metadata.json")
    save_sample(backend, KEY)
    before = whose_metadata(raw)
    late.set()
    assert arrived.wait(10)

    assert whose_metadata(raw) == before
    assert backend.loader(KEY.name).metadata.is_complete
    backend.verify(KEY.name)


def test_a_late_commit_does_not_replace_the_one_who_won(
    backend: S3Backend,
    raw: RawS3,
    proxy: HttpProxy,
    through: Callable[..., S3Backend],
    moto_server: S3Server,
) -> None:
    late, arrived = threading.Event(), threading.Event()
    with HttpProxy(moto_server.address) as plain:
        rival = through(plain)
        fate = Fate(late=late, end=End.SILENCE, do=arrived.set)
        hold = once(fate, method="PUT", part="metadata.json")

        def decide(request: HttpRequest) -> Fate | None:
            decided = hold(request)
            if decided is not None:
                save_sample(rival, KEY)
            return decided

        proxy.decide = decide
        with pytest.raises(DataExistsError):
            save_sample(backend, KEY)
    winner = whose_metadata(raw)
    late.set()
    assert arrived.wait(10)

    assert whose_metadata(raw) == winner
    backend.verify(KEY.name)
    clean(backend, grace_s=0, dry_run=False)
    files = {info.filename for info in backend.get_metadata(KEY.name).chunks if info.filename}
    assert everything(raw) == {METADATA, *(f"{KEY.name}/{name}" for name in files)}


def test_a_server_that_sends_other_bytes_than_asked_for_is_found_out(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    raw.write("file", b"0123456789")
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789"
    proxy.decide = once(Fate(reaches_server=False, answer=whole), method="GET")
    with pytest.raises(DataCorrupted):
        backend.read_ranges("file", [(3, 2)])
    assert backend.read_ranges("file", [(3, 2)]) == [b"34"]


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
