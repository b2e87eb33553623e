"""Many writers, writers that die, answers that are lost: on a real server."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ceph_server import Ceph
from racing import FORKS, check_race, named, race
from raw_s3 import RawS3
from s3_places import backend_on
from s3_server import S3Server

from strax_core import (
    AccessDenied,
    DataNotAvailable,
    StorageFull,
    metadata_path,
)
from strax_core.testing import (
    End,
    Fate,
    HttpProxy,
    HttpRequest,
    clean,
    everything,
    sample_key,
    save_sample,
)
from strax_core.testing.levels import at_level
from strax_s3.backend import S3Backend

pytestmark = [pytest.mark.servers, pytest.mark.long]
ROUNDS = at_level(quick=10, full=50)
KEY = sample_key()
METADATA = metadata_path(KEY.name)


@pytest.fixture
def backend(ceph_server: S3Server, prefix: str, tmp_path: Path) -> S3Backend:
    return backend_on(ceph_server, prefix, tmp_path)


@pytest.fixture
def raw(ceph_server: S3Server, prefix: str) -> RawS3:
    return RawS3(ceph_server, prefix)


@pytest.fixture
def proxied(ceph_server: S3Server, prefix: str, tmp_path: Path) -> Callable[[HttpProxy], S3Backend]:
    def proxied(proxy: HttpProxy) -> S3Backend:
        url = f"http://127.0.0.1:{proxy.port}"
        return backend_on(ceph_server, prefix, tmp_path, endpoint_url=url, timeout_s=2.0)

    return proxied


def test_of_sixteen_processes_that_save_one_key_one_wins_and_no_orphan_stays(
    backend: S3Backend, raw: RawS3
) -> None:
    check_race(backend, raw, race(backend, ROUNDS))


def save(backend: S3Backend) -> None:
    save_sample(backend, KEY)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_writer_killed_at_any_request_leaves_nothing_visible_or_all(
    ceph_server: S3Server,
    backend: S3Backend,
    raw: RawS3,
    proxied: Callable[[HttpProxy], S3Backend],
    moment: str,
) -> None:
    seen: Counter[str] = Counter()
    with HttpProxy(ceph_server.address) as proxy:
        number, has_ended = 0, False
        while not has_ended:
            writer = FORKS.Process(target=save, args=(proxied(proxy),))

            def kill(writer: Any = writer) -> None:
                os.kill(writer.pid, signal.SIGKILL)

            def decide(
                request: HttpRequest, number: int = number, kill: Callable[[], None] = kill
            ) -> Fate | None:
                if request.number != number:
                    return None
                return Fate(reaches_server=moment == "after", do=kill)

            proxy.forget()
            proxy.decide = decide
            writer.start()
            writer.join()
            has_ended = writer.exitcode == 0
            seen[_what_is_there(backend, raw)] += 1
            number += 1

    assert number > 8  # the probe, the ticket, the chunks, the metadata, tidying up
    assert set(seen) == {"nothing", "all"}


def _what_is_there(backend: S3Backend, raw: RawS3) -> str:
    """Find out what a reader sees; then `clean`, and start afresh."""
    try:
        backend.verify(KEY.name)
        answer = "all"
    except DataNotAvailable:
        answer = "nothing"
    clean(backend, grace_s=0, dry_run=False)
    assert everything(raw) == (named(backend, KEY.name) if answer == "all" else set())
    if answer == "all":
        backend.remove(KEY.name)
        assert everything(raw) == set()
    return answer


@pytest.mark.parametrize("what", ["lost", "late, while it waits", "late, after all"])
def test_a_commit_whose_answer_is_lost_or_that_comes_late_is_no_conflict(
    ceph_server: S3Server,
    backend: S3Backend,
    raw: RawS3,
    proxied: Callable[[HttpProxy], S3Backend],
    what: str,
) -> None:
    late, arrived, hit = threading.Event(), threading.Event(), threading.Event()

    def decide(request: HttpRequest) -> Fate | None:
        if request.method != "PUT" or METADATA not in request.target or hit.is_set():
            return None
        hit.set()
        if what == "lost":
            return Fate(do=arrived.set)
        if what == "late, while it waits":
            late.set()
        return Fate(late=late, end=End.SILENCE, do=arrived.set)

    with HttpProxy(ceph_server.address) as proxy:
        proxy.decide = decide
        save_sample(proxied(proxy), KEY)
        stored = raw.read(METADATA)
        late.set()
        assert arrived.wait(600)

    assert hit.is_set()
    assert raw.read(METADATA) == stored
    backend.verify(KEY.name)
    assert everything(raw) == named(backend, KEY.name)


def test_a_quota_that_is_full_is_storage_full_and_leaves_nothing(
    ceph: Ceph, backend: S3Backend, raw: RawS3
) -> None:
    backend.write("first", [b"x"])
    quota = ("--quota-scope=user", "--uid=test")
    ceph.admin("quota", "set", *quota, "--max-objects=1")
    ceph.admin("quota", "enable", *quota)
    try:
        _fill(backend)
        with pytest.raises(StorageFull, match="quota"):
            save_sample(backend, KEY)
    finally:
        ceph.admin("quota", "disable", *quota)

    assert not [path for path in everything(raw) if KEY.name in path]


def _fill(backend: S3Backend) -> None:
    """Write until the quota shows: the gateway looks at it now and then."""
    for i in range(1000):
        try:
            backend.write(f"file-{i}", [b"x" * 100_000])
        except StorageFull:
            return


def test_a_wrong_secret_and_an_unknown_key_are_told_apart(
    ceph_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    wrong = backend_on(replace(ceph_server, secret_key="canary-wrong"), prefix, tmp_path)
    with pytest.raises(AccessDenied, match="secret does not belong") as caught:
        wrong.read("file")
    assert "canary" not in str(caught.value)
    unknown = backend_on(replace(ceph_server, access_key="canary-unknown"), prefix, tmp_path)
    with pytest.raises(AccessDenied, match="does not know the access key"):
        unknown.read("file")
