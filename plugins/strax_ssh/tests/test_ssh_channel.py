"""What takes the place of paramiko's buffer, and paramiko as it is, where it does not fit."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.buffered_pipe import PipeTimeout
from sftp_server import SftpServer
from ssh_places import backend_on

from strax_core.testing import ByteChecks, DatasetChecks, RawAccess, RawFolder
from strax_ssh.backend import SshBackend
from strax_ssh.sftp.channel import Arrived, FastChannel, fast


def in_thread(work: Callable[[], Any]) -> Any:
    """Begin it in a thread, and give it the time to wait for something."""
    future = ThreadPoolExecutor(1).submit(work)
    time.sleep(0.05)
    return future


def taken(arrived: Arrived, *sizes: int) -> list[bytes]:
    return [bytes(arrived.read(size, 600.0)) for size in sizes]


def test_what_came_is_given_in_order_and_at_most_as_much_as_is_asked_for() -> None:
    arrived = Arrived()
    arrived.feed(b"0123")
    arrived.feed(b"45")

    assert len(arrived) == 6
    assert taken(arrived, 1, 2, 9, 9) == [b"0", b"12", b"3", b"45"]
    assert len(arrived) == 0


def test_who_waits_is_woken_once_all_that_is_asked_for_is_there() -> None:
    arrived = Arrived()
    reader = in_thread(lambda: taken(arrived, 4, 9))
    arrived.feed(b"01")
    time.sleep(0.05)
    n_there_before = len(arrived)
    arrived.feed(b"234")

    assert n_there_before == 2  # it slept on
    assert reader.result(600) == [b"01", b"234"]


def test_the_end_is_told_after_what_came_before() -> None:
    arrived = Arrived()
    reader = in_thread(lambda: taken(arrived, 4, 4, 4))
    arrived.feed(b"01")
    arrived.close()

    assert reader.result(600) == [b"01", b"", b""]


def test_silence_is_an_error_and_does_no_harm() -> None:
    arrived = Arrived()
    for _ in range(3):
        with pytest.raises(PipeTimeout):
            arrived.read(1, 0.01)
    arrived.feed(b"0")

    assert taken(arrived, 1) == [b"0"]


class Clock:
    """Takes the place of `time`: only a test moves it."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


def test_bytes_that_drip_are_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("strax_ssh.sftp.channel.time", clock)
    arrived = Arrived()
    silence_s = 0.2
    reader = in_thread(lambda: bytes(arrived.read(8, silence_s)))
    for _ in range(8):
        clock.now_s += silence_s / 4
        time.sleep(silence_s / 4)  # so that it looks at the clock
        arrived.feed(b"0")

    assert reader.result(600) == b"0"
    assert len(arrived) == 7


def test_a_drip_that_ends_is_silence() -> None:
    arrived = Arrived()
    arrived.feed(b"0")
    assert taken(arrived, 1) == [b"0"]
    reader = in_thread(lambda: arrived.read(8, 0.2))
    arrived.feed(b"0")
    with pytest.raises(PipeTimeout):
        reader.result(600)


def test_nothing_is_lost_between_two_threads_that_do_not_wait_for_each_other() -> None:
    sent = [bytes([i % 251]) * (i % 97 + 1) for i in range(20_000)]
    arrived = Arrived()
    feeder = threading.Thread(target=lambda: [arrived.feed(each) for each in sent])
    feeder.start()
    n_left = sum(map(len, sent))
    got = []
    while n_left:
        got.append(bytes(arrived.read(min(n_left, len(got) % 500 + 1), 600.0)))
        n_left -= len(got[-1])
    feeder.join()

    assert b"".join(got) == b"".join(sent)


class OtherChannel(paramiko.Channel):  # type: ignore[misc] # paramiko has no types
    """As a paramiko of another version may have it."""

    def _send(self, data: Any, message: Any, urgent: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002
        return super()._send(data, message)


@pytest.fixture
def other_paramiko(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paramiko, "Channel", OtherChannel)


def test_a_channel_that_is_otherwise_is_used_as_it_is(other_paramiko: None) -> None:  # noqa: ARG001
    channel = paramiko.Channel(0)
    assert fast(channel) is channel


def test_a_channel_with_another_buffer_is_used_as_it_is() -> None:
    channel = paramiko.Channel(0)
    channel.in_buffer = object()
    assert fast(channel) is channel


def test_this_paramiko_is_used_fast() -> None:
    assert isinstance(fast(paramiko.Channel(0)), FastChannel)


@pytest.mark.usefixtures("other_paramiko")
class TestSshWithAnotherParamiko(ByteChecks, DatasetChecks):
    @pytest.fixture
    def backend(self, sftp_server: SftpServer, tmp_path: Path) -> SshBackend:
        # Options of its own, so that no connection is shared with other tests.
        return backend_on(sftp_server, tmp_path, fsync=False, io_timeout_s=29.0)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)
