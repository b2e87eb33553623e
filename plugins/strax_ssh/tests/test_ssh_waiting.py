"""Many threads on one connection: none waits for ever, and none longer than the others."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sftp_server import SftpServer, made_key
from ssh_places import backend_on, through

from strax_core import AccessDenied, StorageError, StorageUnavailable
from strax_core.testing import End, LinkFault, Proxy, Way
from strax_ssh.backend import SshBackend
from strax_ssh.connection.sockets import ProgramSocket
from strax_ssh.sftp import batch_read
from strax_ssh.sftp.session import Session
from strax_ssh.sftp.transfer import Wanted

N_THREADS = 16  # more than channels, and than those that could be woken by ones that end
N_SMALL, N_LARGE = 1000, 3_000_000
IO_S, CONNECT_S, BUSY_S = 1.0, 0.5, 0.25
HANGS_S = 120.0  # a busy machine is slow; nothing here waits that long


@pytest.fixture
def proxy(sftp_server: SftpServer) -> Iterator[Proxy]:
    with Proxy(sftp_server.address) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    for i in range(N_THREADS):
        (folder / f"small{i}").write_bytes(b"s" * N_SMALL)
        (folder / f"large{i}").write_bytes(b"l" * N_LARGE)
    return folder


@pytest.fixture
def behind(
    monkeypatch: pytest.MonkeyPatch,
    proxy: Proxy,
    sftp_server: SftpServer,
    place: Path,
    tmp_path: Path,
) -> Iterator[SshBackend]:
    """A place behind the proxy, with times shorter than the usual ones."""
    for name in ("RECONNECT_S", "BUSY_S"):
        monkeypatch.setattr(f"strax_ssh.connection.connection.{name}", BUSY_S)
    times = {"io_timeout_s": IO_S, "connect_timeout_s": CONNECT_S}
    backend = through(proxy, sftp_server, place, tmp_path / "known", **times)
    yield backend
    backend.close()


def read_small(backend: SshBackend, i: int) -> None:
    assert backend.read_ranges(f"small{i}", [(0, N_SMALL)], file_bytes=N_SMALL) == [b"s" * N_SMALL]


def read_large(backend: SshBackend, i: int) -> None:
    assert backend.read(f"large{i}") == b"l" * N_LARGE


def look(backend: SshBackend, _: int) -> None:
    assert len(list(backend.list(""))) >= 2 * N_THREADS


def write(backend: SshBackend, i: int) -> None:
    backend.write(f"new{i}", [b"n" * N_LARGE])


def each_of(*verbs: Callable[[SshBackend, int], None]) -> Callable[[SshBackend, int], None]:
    return lambda backend, i: verbs[i % len(verbs)](backend, i)


def ends_of(
    backend: SshBackend, verb: Callable[[SshBackend, int], None], harm: Callable[[], None]
) -> list[str]:
    """Do it in all threads until it fails; return how it ended in each, as far as it has in time.

    Args:
        backend: the place.
        verb: what is done, again and again.
        harm: is called while all are at it.
    """
    ends: list[str] = []
    all_there, at_it = threading.Barrier(N_THREADS, timeout=HANGS_S), threading.Event()

    def act(i: int) -> None:
        all_there.wait()
        try:
            while True:
                verb(backend, i)
                at_it.set()
        except StorageError as error:
            ends.append(type(error).__name__)
        finally:
            at_it.set()

    # Daemons: one that waits for ever must not keep this process.
    threads = [threading.Thread(target=act, args=(i,), daemon=True) for i in range(N_THREADS)]
    for thread in threads:
        thread.start()
    assert at_it.wait(HANGS_S)
    harm()
    give_up = time.monotonic() + HANGS_S
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return ends


def patiently(verb: Callable[[SshBackend, int], None], backend: SshBackend) -> None:
    """Do it; again if the machine is so busy that the short times of `behind` pass."""
    give_up = time.monotonic() + HANGS_S
    while True:
        try:
            return verb(backend, 0)
        except StorageUnavailable:
            if time.monotonic() > give_up:
                raise


VERBS = {
    "small": read_small,
    "large": read_large,
    "look": look,
    "write": write,
    "all": each_of(read_small, read_large, look, write),
}


@pytest.mark.parametrize("what", VERBS)
def test_a_black_hole_is_an_error_in_every_thread(
    proxy: Proxy, behind: SshBackend, what: str
) -> None:
    patiently(look, behind)
    n_before = 0

    def open_hole() -> None:
        nonlocal n_before
        n_before, proxy.is_black_hole = proxy.n_connections, True

    ends = ends_of(behind, VERBS[what], open_hole)
    n_tries = proxy.n_connections - n_before
    proxy.is_black_hole = False
    proxy.reset_all()

    assert ends == ["StorageUnavailable"] * N_THREADS
    assert n_tries < N_THREADS  # none waits until all others have tried
    patiently(read_small, behind)


def test_a_server_that_is_silent_when_a_channel_is_opened_is_an_error(
    proxy: Proxy, behind: SshBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(channel: Any) -> Any:
        proxy.is_black_hole = True  # the channel is there; that SFTP is asked for gets lost
        return channel

    ends: list[str] = []

    def act() -> None:
        try:
            look(behind, 0)
        except StorageUnavailable as error:
            ends.append(str(error))

    monkeypatch.setattr("strax_ssh.connection.login.fast", opened)
    waiting = threading.Thread(target=act, daemon=True)
    waiting.start()
    waiting.join(HANGS_S)
    proxy.is_black_hole = False
    proxy.reset_all()

    assert "silent for 0.5 s when SFTP was asked for" in ends[0]


@pytest.mark.parametrize("what", VERBS)
def test_a_server_that_is_gone_is_an_error_in_every_thread(
    proxy: Proxy, behind: SshBackend, what: str
) -> None:
    patiently(look, behind)

    def end() -> None:
        proxy.refuses = True
        proxy.reset_all()

    ends = ends_of(behind, VERBS[what], end)
    proxy.refuses = False

    assert ends == ["StorageUnavailable"] * N_THREADS
    patiently(read_small, behind)


def test_who_is_not_let_in_asks_once_for_all_threads(
    proxy: Proxy, sftp_server: SftpServer, place: Path, tmp_path: Path
) -> None:
    made_key(tmp_path / "other")
    key = str(tmp_path / "other")
    for verb in (read_small, look):
        backend = through(proxy, sftp_server, place, tmp_path / "known", key_file=key)
        before = proxy.n_connections
        ready = threading.Barrier(8)

        def denied(
            i: int, verb: Any = verb, backend: SshBackend = backend, ready: Any = ready
        ) -> bool:
            ready.wait()
            with pytest.raises(AccessDenied):
                verb(backend, i)
            return True

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(denied, range(8)))
        assert proxy.n_connections - before <= 2  # one may come after the first was refused


@pytest.mark.parametrize("command", [None, pytest.param("ssh", marks=pytest.mark.servers)])
def test_nobody_there_is_told_at_once(
    sftp_server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str | None
) -> None:
    # Where it is asked again.
    monkeypatch.setattr("strax_ssh.connection.connection.BUSY_S", HANGS_S)
    backend = backend_on(sftp_server, tmp_path, port=1, command=command)
    with pytest.raises(StorageUnavailable, match="refused"):
        backend.read("file")


def test_a_busy_server_that_hangs_up_is_asked_again(proxy: Proxy, behind: SshBackend) -> None:
    proxy.fault = LinkFault(way=Way.TO_SERVER, after_bytes=0, end=End.CLOSE)
    patiently(read_small, behind)

    assert proxy.n_hit == 1


def test_a_process_forked_while_small_files_are_read_reads_them_too(
    sftp_server: SftpServer, place: Path
) -> None:
    backend = backend_on(sftp_server, place)
    read_small(backend, 0)
    reading = backend._connection._together
    reading._is_led = True  # by another thread, which is not there in the child
    with reading._lock:
        pid = os.fork()
        if pid == 0:
            signal.alarm(600)  # ends it if it hangs
            try:
                read_small(backend, 1)
                os._exit(0)
            finally:
                os._exit(1)  # never on with the other tests
    reading._is_led = False
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    read_small(backend, 0)


def test_a_thread_that_is_interrupted_takes_no_channel_along(
    monkeypatch: pytest.MonkeyPatch, sftp_server: SftpServer, place: Path
) -> None:
    backend = backend_on(sftp_server, place)

    def interrupted(_: Session) -> None:
        raise KeyboardInterrupt

    for _ in range(6):
        with monkeypatch.context() as patch:

            def act(_: Session, patch: Any = patch) -> None:
                patch.setattr(Session, "flush", interrupted)

            with pytest.raises(KeyboardInterrupt):
                backend._connection.run(act)
    done = threading.Thread(target=read_large, args=(backend, 0), daemon=True)
    done.start()
    done.join(600)

    assert not done.is_alive()


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strax_ssh.connection.sockets.ENDS_WITHIN_S", 0.1)
    deaf = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
    sock = ProgramSocket.start(["/bin/sh", "-c", deaf])
    assert sock.recv(5)
    sock.close()

    assert sock.has_ended


def test_many_files_are_deleted_in_few_round_trips(
    monkeypatch: pytest.MonkeyPatch, sftp_server: SftpServer, place: Path
) -> None:
    backend = backend_on(sftp_server, place)
    (place / "folder").mkdir()
    for i in range(300):
        (place / "folder" / str(i)).touch()
    look(backend, 0)
    flush, sent = Session.flush, []

    def watched(session: Session) -> None:
        sent.append(bool(session._outgoing))
        flush(session)

    monkeypatch.setattr(Session, "flush", watched)
    backend.delete_files([f"folder/{i}" for i in range(300)])

    assert sum(sent) < 12
    assert not (place / "folder").exists()


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_thread_interrupted_while_it_reads_for_others_leaves_them_to_another(
    monkeypatch: pytest.MonkeyPatch, sftp_server: SftpServer, place: Path, number: int
) -> None:
    backend = backend_on(sftp_server, place)
    read_small(backend, 0)
    read_several, calls = batch_read._read, list[int]()
    reading = backend._connection._together

    def interrupted(session: Session, several: list[batch_read.Small]) -> None:
        calls.append(len(several))
        if len(calls) == number + 1:
            while len(several) == 1 and not reading._waiting:  # others, for this one
                time.sleep(0.001)
            raise KeyboardInterrupt
        read_several(session, several)

    monkeypatch.setattr(batch_read, "_read", interrupted)
    ends: list[str] = []

    def act(i: int) -> None:
        try:
            for _ in range(20):
                read_small(backend, i)
            ends.append("done")
        except KeyboardInterrupt:
            ends.append("interrupted")

    threads = [threading.Thread(target=act, args=(i,), daemon=True) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)

    assert sorted(ends) == ["done"] * 7 + ["interrupted"]


def test_a_thread_interrupted_while_it_waits_is_not_waited_for() -> None:
    waiting = batch_read.Together()
    wanted = Wanted("file", [(0, 1)], 1)
    first, second, third = (batch_read.Small(name, wanted, [name]) for name in "abc")
    waiting._is_led = True  # by the thread of `first`
    first.leads = True

    class Interrupting:
        def acquire(self) -> None:
            raise KeyboardInterrupt

        def release(self) -> None:
            raise AssertionError("nobody waits any more")

    second.woken = Interrupting()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        waiting.read(second, lambda _: None)
    waiting._waiting.append(third)
    waiting._pass_on(first)

    assert third.leads
    assert waiting._waiting == [third]
