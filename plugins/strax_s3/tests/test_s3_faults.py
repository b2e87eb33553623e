"""What a network and a busy server do to requests: each continues, or ends in a typed error."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import product

import numpy as np
import pytest
from fates import once
from raw_s3 import RawS3
from s3_server import S3Server

from strax_core import (
    Chunk,
    Context,
    DataCorrupted,
    DataExistsError,
    DirectoryFrontend,
    ObjectExists,
    ObjectMissing,
    Plugin,
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
from strax_s3 import download, upload
from strax_s3.backend import S3Backend
from strax_s3.body import Joined
from strax_s3.options import S3Options

KEY = sample_key()
METADATA = metadata_path(KEY.name)
PIECE_BYTES = download.PIECES_BYTES[1]
BODY = bytes(range(256)) * 20_000  # 5 MB


class Numbers(Plugin):
    """Ten of them, in one chunk."""

    provides = "numbers"
    dtype = (("time", "i8"), ("endtime", "i8"))

    def chunks(self) -> Iterator[Chunk]:
        rows = np.zeros(10, self.dtype)
        rows["time"] = np.arange(10)
        rows["endtime"] = rows["time"] + 1
        yield self.chunk(start=0, end=100, data=rows)


def whose_metadata(raw: RawS3) -> bytes:
    return raw.read(METADATA)


SILENT_S = 3.0  # far longer than an honest answer takes, also on a busy machine

LENGTHS = (1, 70_000, PIECE_BYTES + 1, len(BODY) - 1)
BREAKS = [*product((End.RESET, End.CLOSE), LENGTHS), (End.SILENCE, LENGTHS[2])]


@pytest.mark.parametrize(("end", "n_bytes"), BREAKS)
def test_a_body_that_breaks_off_twice_is_continued_from_where_it_broke(
    raw: RawS3, proxy: HttpProxy, through: Callable[..., S3Backend], end: End, n_bytes: int
) -> None:
    backend = through(proxy, timeout_s=SILENT_S) if end is End.SILENCE else through(proxy)
    raw.write("file", BODY)
    left = [Fate(n_answer_bytes=n_bytes, end=end)] * 2
    proxy.decide = lambda request: left.pop() if request.method == "GET" and left else None
    assert backend.read("file") == BODY
    assert len(proxy.requests) > 1
    # What the client had taken, in whole pieces, is not asked for again; a reset takes back what
    # it had not taken yet.
    if n_bytes > PIECE_BYTES and end is not End.RESET:
        last = proxy.requests[-1].headers["range"].removeprefix("bytes=").removesuffix("-")
        assert int(last) >= n_bytes // PIECE_BYTES * PIECE_BYTES

    proxy.decide = once(Fate(n_answer_bytes=n_bytes // 2 + 1, end=end), method="GET")
    assert backend.read_ranges("file", [(100, len(BODY) - 200)]) == [BODY[100:-100]]


def test_an_object_that_is_replaced_in_mid_read_is_not_mixed(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PIECES_BYTES", (PIECE_BYTES, PIECE_BYTES))
    raw.write("file", BODY)
    other = bytes(len(BODY))
    cut = Fate(n_answer_bytes=3 << 20, end=End.CLOSE, do=lambda: raw.write("file", other))
    proxy.decide = once(cut, method="GET")

    assert backend.read("file") == other


@pytest.mark.parametrize("n_bytes", [0, 1000, 300_000, 5_000_000])
def test_an_upload_that_breaks_off_is_sent_again_whole(
    server: S3Server, through: Callable[..., S3Backend], raw: RawS3, n_bytes: int
) -> None:
    with Proxy(server.address) as proxy:
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
    backend = through(proxy, retry_for_s=0.3, timeout_s=SILENT_S)
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


DEFAULTS = {each.name: each.default for each in fields(S3Options)}
SILENT_TRIES = 3  # two of the request, one to tidy up


@pytest.mark.parametrize("verb", ["save", "load"])
def test_a_server_that_falls_silent_ends_a_request_of_a_user_within_a_minute(
    raw: RawS3, proxy: HttpProxy, through: Callable[..., S3Backend], verb: str
) -> None:
    assert DEFAULTS["retry_for_s"] == 2 * DEFAULTS["timeout_s"]
    assert SILENT_TRIES * DEFAULTS["timeout_s"] + 5 < 60
    backend = through(proxy, timeout_s=SILENT_S, retry_for_s=2 * SILENT_S)
    frontend = DirectoryFrontend(backend)
    ctx = Context([frontend], plugins=[Numbers])
    if verb == "load":
        ctx.make("run_7", "numbers")
    chunk = f"/{ctx.key_for('run_7', 'numbers').name}/numbers-"
    silent: list[HttpRequest] = []

    def fall_silent(request: HttpRequest) -> Fate | None:
        if not silent and (chunk not in request.target or "metadata" in request.target):
            return None
        if "journal-" not in request.target:  # a thread of its own sends these meanwhile
            silent.append(request)
        return Fate(reaches_server=False, end=End.SILENCE)

    proxy.decide = fall_silent
    with pytest.raises(StorageUnavailable):
        ctx.make("run_7", "numbers") if verb == "save" else ctx.get_array("run_7", "numbers")

    assert 1 <= len(silent) <= SILENT_TRIES
    proxy.decide = None
    assert len(ctx.get_array("run_7", "numbers")) == 10
    clean(backend, grace_s=0, dry_run=False)
    assert not [path for path in everything(raw) if path.startswith(".staging")]


def test_no_more_requests_are_under_way_than_the_options_say(
    raw: RawS3, proxy: HttpProxy, through: Callable[..., S3Backend]
) -> None:
    raw.write("file", BODY)
    backend = through(proxy, concurrency=3)
    under_way: list[int] = []

    def count(_: HttpRequest) -> None:
        under_way.append(sum(request.status is None for request in proxy.requests))

    proxy.decide, proxy.latency_s = count, 0.02
    far = [(at, 10) for at in range(0, len(BODY) - 10, len(BODY) // 8)]
    with ThreadPoolExecutor(4) as threads:
        got = list(threads.map(lambda _: backend.read_ranges("file", far), range(4)))

    assert got == [[BODY[at : at + n] for at, n in far]] * 4
    assert max(under_way) == 3


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


def test_who_heard_only_that_nothing_is_there_has_heard_the_server(
    proxy: HttpProxy, through: Callable[..., S3Backend]
) -> None:
    backend = through(proxy)
    with pytest.raises(ObjectMissing):
        backend.read("file")
    proxy.refuses = True
    proxy.reset_all()
    again = threading.Timer(0.3, setattr, (proxy, "refuses", False))
    again.start()
    with pytest.raises(ObjectMissing):
        backend.read("file")
    again.join()

    backend = through(proxy, retry_for_s=0.5)
    proxy.decide = lambda _: Fate(reaches_server=False, answer=s3_error(503, "SlowDown"))
    with pytest.raises(StorageUnavailable):
        backend.read("file")
    proxy.decide = None
    with pytest.raises(ObjectMissing):
        backend.read("file")
    proxy.decide = once(Fate(reaches_server=False, answer=s3_error(503, "SlowDown")), method="GET")
    with pytest.raises(ObjectMissing):
        backend.read("file")


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
    raw: RawS3, proxy: HttpProxy, through: Callable[..., S3Backend], when: str
) -> None:
    backend = through(proxy, timeout_s=SILENT_S)
    late, arrived = threading.Event(), threading.Event()
    if when == "while it waits":
        late.set()
    fate = Fate(late=late, end=End.SILENCE, do=arrived.set)
    proxy.decide = once(fate, method="PUT", part="metadata.json")
    save_sample(backend, KEY)
    before = whose_metadata(raw)
    late.set()
    assert arrived.wait(600)

    assert whose_metadata(raw) == before
    assert backend.loader(KEY.name).metadata.is_complete
    backend.verify(KEY.name)


def test_a_late_commit_does_not_replace_the_one_who_won(
    raw: RawS3,
    proxy: HttpProxy,
    through: Callable[..., S3Backend],
    server: S3Server,
) -> None:
    backend = through(proxy, timeout_s=SILENT_S)
    late, arrived = threading.Event(), threading.Event()
    with HttpProxy(server.address) as plain:
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
    assert arrived.wait(600)

    assert whose_metadata(raw) == winner
    backend.verify(KEY.name)
    clean(backend, grace_s=0, dry_run=False)
    files = {info.filename for info in backend.get_metadata(KEY.name).chunks if info.filename}
    assert everything(raw) == {METADATA, *(f"{KEY.name}/{name}" for name in files)}


def test_a_server_that_sends_other_bytes_than_asked_for_is_found_out(
    backend: S3Backend, raw: RawS3, proxy: HttpProxy
) -> None:
    raw.write("file", b"0123456789")
    head = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 10\r\nConnection: close\r\n\r\n'
    whole = head + b"0123456789"
    proxy.decide = once(Fate(reaches_server=False, answer=whole), method="GET")
    with pytest.raises(DataCorrupted):
        backend.read_ranges("file", [(3, 2)])
    assert backend.read_ranges("file", [(3, 2)]) == [b"34"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_lost_answer_to_the_probe_does_not_end_a_save(
    backend: S3Backend, proxy: HttpProxy, number: int
) -> None:
    probes: list[HttpRequest] = []

    def decide(request: HttpRequest) -> Fate | None:
        if request.method == "PUT" and "probe-" in request.target:
            probes.append(request)
            return Fate() if len(probes) == number + 1 else None
        return None

    proxy.decide = decide
    save_sample(backend, KEY)

    assert len(probes) == 3
    assert backend.loader(KEY.name).metadata.is_complete


def test_a_server_silent_at_the_probe_is_told_to_all_who_wait(
    proxy: HttpProxy, through: Callable[..., S3Backend]
) -> None:
    backend = through(proxy, timeout_s=SILENT_S, retry_for_s=2 * SILENT_S)
    proxy.decide = lambda _: Fate(reaches_server=False, end=End.SILENCE)
    together = threading.Barrier(8)

    def write(i: int) -> bool:
        together.wait()
        with pytest.raises(StorageUnavailable, match=r"no answer"):
            backend.write(f"file-{i}", [b"x"])
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(write, range(8)))
    assert len({each.target for each in proxy.requests}) <= 2  # not one probe for each
    proxy.decide = None
    backend.write("file", [b"x"])


def test_who_waits_for_a_silent_server_waits_no_longer_than_the_first(
    raw: RawS3, proxy: HttpProxy, through: Callable[..., S3Backend]
) -> None:
    raw.write("file", b"x")
    backend = through(proxy, timeout_s=SILENT_S, retry_for_s=2 * SILENT_S, concurrency=2)
    assert backend.read("file") == b"x"
    proxy.decide = lambda _: Fate(reaches_server=False, end=End.SILENCE)
    proxy.forget()
    together = threading.Barrier(16)

    def read(_: int) -> bool:
        together.wait()
        with pytest.raises(StorageUnavailable):
            backend.read("file")
        return True

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(read, range(16)))
    assert len(proxy.requests) <= 8  # who waited does not try by itself
    proxy.decide = None
    assert backend.read("file") == b"x"


@pytest.mark.parametrize("page", [b"<html>log in</html>", b"no XML", b""])
def test_an_answer_that_is_none_of_s3_is_no_empty_place(
    raw: RawS3, proxy: HttpProxy, through: Callable[..., S3Backend], page: bytes
) -> None:
    raw.write("file", b"x")
    backend = through(proxy, retry_for_s=0.2)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(page)
    proxy.decide = lambda _: Fate(reaches_server=False, answer=head + page)
    for verb in (
        lambda: list(backend.list("")),
        lambda: list(backend.drop_stale(before_ns=0, dry_run=True)),
    ):
        with pytest.raises(StorageUnavailable):
            verb()


def is_last_step(request: HttpRequest) -> bool:
    return request.method == "POST" and "uploadId" in request.target


def test_an_upload_in_parts_whose_last_answer_is_lost_is_known_again(
    raw: RawS3, proxy: HttpProxy, backend: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 3)
    lost: list[HttpRequest] = []

    def decide(request: HttpRequest) -> Fate | None:
        if is_last_step(request) and not lost:
            lost.append(request)
            return Fate()
        return None

    proxy.decide = decide
    raw.write("file", b"old!")
    backend.write("file", [b"mine"])

    assert len(lost) == 1
    assert raw.read("file") == b"mine"


@pytest.fixture
def in_parts(
    proxy: HttpProxy, through: Callable[..., S3Backend], monkeypatch: pytest.MonkeyPatch
) -> S3Backend:
    """A backend that sends all but the smallest in parts, and soon gives up."""
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 3)
    return through(proxy, retry_for_s=0.2)


@pytest.mark.parametrize("before", [None, b"old!"])
def test_an_upload_in_parts_that_never_ended_is_not_taken_for_what_stands_there(
    before: bytes | None, raw: RawS3, proxy: HttpProxy, in_parts: S3Backend
) -> None:
    proxy.decide = lambda each: Fate(reaches_server=False) if is_last_step(each) else None
    if before is not None:
        raw.write("file", before)
    with pytest.raises(StorageUnavailable):
        in_parts.write("file", [b"mine"])

    assert everything(raw) == (set() if before is None else {"file"})


def test_what_another_wrote_after_a_lost_answer_is_not_taken_for_ours(
    raw: RawS3, proxy: HttpProxy, in_parts: S3Backend
) -> None:
    proxy.decide = lambda each: (
        Fate(do=lambda: raw.write("file", b"hers")) if is_last_step(each) else None
    )
    with pytest.raises(StorageUnavailable):
        in_parts.write("file", [b"mine"])

    assert raw.read("file") == b"hers"


def test_a_last_answer_that_is_none_of_s3_ends_no_upload(
    raw: RawS3, proxy: HttpProxy, in_parts: S3Backend
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    proxy.decide = lambda each: (
        Fate(reaches_server=False, answer=answer) if is_last_step(each) else None
    )
    with pytest.raises(StorageUnavailable):
        in_parts.write("file", [b"mine"])

    assert everything(raw) == set()


def test_an_answer_that_is_none_of_s3_is_no_object(
    raw: RawS3,
    proxy: HttpProxy,
    through: Callable[..., S3Backend],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw.write("file", b"x")
    backend = through(proxy, retry_for_s=0.2)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    proxy.decide = lambda _: Fate(reaches_server=False, answer=head + b"4\r\nlogs\r\n0\r\n\r\n")
    monkeypatch.setattr(upload, "MULTIPART_BYTES", 3)
    for verb in (
        lambda: backend.read("file"),
        lambda: backend.read_ranges("file", [(0, 1)]),
        lambda: upload.upload(backend._bucket, "large", Joined([b"1234"])),
    ):
        with pytest.raises(StorageUnavailable):
            verb()
