"""On OpenSSH: lines that are cut, servers that are killed, disks that are full."""

import os
import pickle
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sftp_server import SftpServer
from ssh_places import KEY, backend_on, chunks, expected, options_on, rows_of, rows_with, through
from sshd import Sshd, sshd

from strax_core import (
    AccessDenied,
    DataExistsError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.testing import (
    End,
    LinkFault,
    Proxy,
    RawFolder,
    Way,
    clean,
    everything,
    sample_chunks,
    sample_key,
    save_sample,
)
from strax_ssh import backend as ssh_backend
from strax_ssh.backend import SshBackend

pytestmark = [pytest.mark.servers, pytest.mark.long]

N_CONNECTIONS = 2  # of a save or load whose line is cut once, at most
MOUNT, UNMOUNT = "/usr/bin/mount", "/usr/bin/umount"


@pytest.fixture
def proxy(openssh: SftpServer) -> Iterator[Proxy]:
    with Proxy(openssh.address) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: Proxy, openssh: SftpServer, place: Path, tmp_path: Path) -> Iterator[SshBackend]:
    """The same place, through the proxy."""
    backend = through(proxy, openssh, place, tmp_path / "known")
    yield backend
    backend.close()


@pytest.mark.parametrize("end", [End.RESET, End.CLOSE])
@pytest.mark.parametrize("way", list(Way))
def test_a_save_over_a_line_that_is_cut_is_whole_or_absent(
    proxy: Proxy, direct: SshBackend, behind: SshBackend, place: Path, way: Way, end: End
) -> None:
    save_sample(behind, KEY, chunks())
    behind.remove(KEY.name)
    before = proxy.n_bytes[way]
    save_sample(behind, KEY, chunks())
    n_bytes = proxy.n_bytes[way] - before
    outcomes: list[str] = []
    connected: list[int] = []
    n_hit = 0
    for after_bytes in range(0, n_bytes, max(n_bytes // 24, 1)):
        behind.remove(KEY.name)
        proxy.fault = LinkFault(way=way, after_bytes=after_bytes, end=end)
        n_before = proxy.n_connections
        try:
            save_sample(behind, KEY, chunks())
            outcomes.append("saved")
        except StorageError as error:
            outcomes.append(type(error).__name__)
        connected.append(proxy.n_connections - n_before)
        n_hit += proxy.n_hit
        proxy.fault = None

        assert rows_of(direct) in ({expected()} if outcomes[-1] == "saved" else {None, expected()})
        clean(direct, grace_s=0, dry_run=False)
        if rows_of(direct) is None:
            save_sample(behind, KEY, chunks())
    behind.remove(KEY.name)
    clean(direct, grace_s=0, dry_run=False)

    assert n_hit >= 0.8 * len(outcomes)  # a save may be a little shorter than the one measured
    assert outcomes.count("saved") >= 0.9 * len(outcomes)  # it connects again by itself
    assert max(connected) <= N_CONNECTIONS
    assert everything(RawFolder(place)) == set()


@pytest.mark.parametrize("end", [End.RESET, End.CLOSE])
@pytest.mark.parametrize("way", list(Way))
def test_a_load_over_a_line_that_is_cut_goes_on(
    proxy: Proxy, direct: SshBackend, behind: SshBackend, way: Way, end: End
) -> None:
    save_sample(direct, KEY, chunks())
    assert rows_of(behind) == expected()
    before = proxy.n_bytes[way]
    assert rows_of(behind) == expected()
    n_bytes = proxy.n_bytes[way] - before
    n_hit = 0
    for after_bytes in range(0, n_bytes, max(n_bytes // 24, 1)):
        proxy.fault = LinkFault(way=way, after_bytes=after_bytes, end=end)
        n_before = proxy.n_connections
        assert rows_of(behind) == expected()
        assert proxy.n_connections - n_before <= N_CONNECTIONS
        n_hit += proxy.n_hit
        proxy.fault = None

    assert n_hit >= 20


@pytest.mark.parametrize("way", list(Way))
def test_a_line_that_is_cut_while_it_logs_in_is_connected_again(
    proxy: Proxy, direct: SshBackend, behind: SshBackend, way: Way
) -> None:
    direct.write("file", [b"x"])
    before = proxy.n_bytes[way]
    assert behind.read("file") == b"x"
    n_bytes = proxy.n_bytes[way] - before
    n_hit = 0
    for after_bytes in range(0, n_bytes, n_bytes // 12):
        behind.close()
        proxy.fault = LinkFault(way=way, after_bytes=after_bytes, end=End.CLOSE)
        assert behind.read("file") == b"x"
        n_hit += proxy.n_hit

    assert n_hit >= 12


def test_a_line_that_is_cut_again_and_again_is_unavailable(
    proxy: Proxy, direct: SshBackend, behind: SshBackend
) -> None:
    save_sample(direct, KEY, chunks())
    proxy.fault = LinkFault(way=Way.TO_CLIENT, after_bytes=20_000, times=None)
    with pytest.raises(StorageUnavailable):
        rows_of(behind)
    with pytest.raises(StorageError):
        save_sample(behind, sample_key("run_2"), chunks())
    proxy.fault = None

    assert rows_of(behind) == expected()


def test_a_server_killed_and_started_again_is_used_again(own_sshd: Sshd, place: Path) -> None:
    backend = backend_on(own_sshd.server, place, fsync=False)
    for verb in (
        lambda: backend.write("folder/file", [b"x"]),
        lambda: backend.read("folder/file"),
        lambda: backend.read_ranges("folder/file", [(0, 1)]),
        lambda: list(backend.list("folder")),
        lambda: backend.rename("folder", "other"),
        lambda: backend.write("new", [b"x"], create_only=True),
        lambda: backend.delete("other"),
        lambda: save_sample(backend, KEY, chunks()),
        lambda: rows_of(backend),
    ):
        verb()
        own_sshd.kill()
        own_sshd.start()

    assert rows_of(backend) == expected()
    backend.close()


def test_a_server_that_is_gone_is_unavailable(own_sshd: Sshd, place: Path) -> None:
    backend = backend_on(own_sshd.server, place)
    own_sshd.kill()
    with pytest.raises(StorageUnavailable, match=rf"127.0.0.1:{own_sshd.server.port}.*reached"):
        backend.read("file")


@pytest.mark.parametrize("end", [End.RESET, End.CLOSE])
def test_a_lost_answer_to_the_commit_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch,
    proxy: Proxy,
    direct: SshBackend,
    behind: SshBackend,
    place: Path,
    end: End,
) -> None:
    rename = ssh_backend.rename_exclusively
    sent: list[str] = []

    def rename_unheard(session: Any, source: str, target: str) -> None:
        if not sent:
            proxy.fault = LinkFault(way=Way.TO_CLIENT, after_bytes=0, end=end)
        sent.append(target)
        rename(session, source, target)

    monkeypatch.setattr(ssh_backend, "rename_exclusively", rename_unheard)
    save_sample(behind, KEY, chunks())

    assert proxy.n_hit == 1
    assert sent[0].endswith(KEY.name)
    assert rows_of(direct) == expected()
    with pytest.raises(DataExistsError):
        save_sample(behind, KEY, chunks(mark=2))
    direct.remove(KEY.name)
    clean(direct, grace_s=0, dry_run=False)
    assert everything(RawFolder(place)) == set()


def save_marked(options: bytes, mark: int) -> int | None:
    """In a process of its own: save; return the mark if this one won."""
    try:
        save_sample(SshBackend(pickle.loads(options)), KEY, chunks(mark))  # noqa: S301 - our own
    except DataExistsError:
        return None
    return mark


def test_of_eight_processes_that_save_one_key_one_wins(
    own_sshd: Sshd, direct: SshBackend, place: Path
) -> None:
    options = pickle.dumps(options_on(own_sshd.server, place, fsync=False))
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as processes:
        marks = list(processes.map(save_marked, [options] * 8, range(1, 9)))
    won = [mark for mark in marks if mark is not None]

    assert len(won) == 1
    assert rows_of(direct) == expected(won[0])


def test_a_changed_host_key_is_refused(own_sshd: Sshd, place: Path) -> None:
    backend = backend_on(own_sshd.server, place)
    backend.write("file", [b"x"])
    known = Path(own_sshd.server.known_hosts)
    old = known.read_text()
    own_sshd.kill()
    own_sshd.make_host_key()
    new = known.read_text()
    known.write_text(old)
    own_sshd.start()
    with pytest.raises(AccessDenied, match=r"another host key.*ssh-keygen -R"):
        backend.read("file")
    known.write_text("")
    with pytest.raises(AccessDenied, match=r"not known.*ssh-keyscan"):
        backend.read("file")

    assert known.read_text() == ""
    known.write_text(new)
    assert backend.read("file") == b"x"
    backend.close()


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk of so many bytes."""
    if os.geteuid() != 0:
        pytest.fail("a small disk is mounted for this test, which only root may do: run it as root")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={request.param},mode=777"
    subprocess.run([MOUNT, "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run([UNMOUNT, "-l", str(folder)], check=True)


def is_full(disk: Path) -> bool:
    status = os.statvfs(disk)
    return status.f_bavail == 0


def random_bytes(n: int) -> bytes:
    return np.random.default_rng(7).bytes(n)


DISK_SIZES = [1 << 15, 1 << 17, 300_000, 1 << 20, 2_500_000, 5_000_000, 9_900_000]


@pytest.mark.parametrize("small_disk", DISK_SIZES, indirect=True)
def test_a_full_disk_is_an_error_and_nothing_is_left(openssh: SftpServer, small_disk: Path) -> None:
    backend = backend_on(openssh, small_disk)
    data = random_bytes(10_000_000)
    for create_only in (False, True):
        with pytest.raises(StorageFull, match="disk is full"):
            backend.write("folder/file", [data], create_only=create_only)
        assert RawFolder(small_disk).list(".staging") == set()
    rows = sample_chunks(KEY, sizes=(100, 100), dtype=rows_with(80_000))
    with pytest.raises(StorageFull):
        save_sample(backend, KEY, rows)

    assert rows_of(backend) is None
    clean(backend, grace_s=0, dry_run=False)
    assert everything(RawFolder(small_disk)) <= {"folder"}
    assert not is_full(small_disk)


@pytest.mark.parametrize("small_disk", [4 << 20], indirect=True)
def test_a_disk_that_was_full_for_a_moment_is_an_error(
    openssh: SftpServer, small_disk: Path
) -> None:
    backend = backend_on(openssh, small_disk, in_flight=64)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3 << 20))
    data = random_bytes(3_000_000)

    class FreeingSource(Sequence[bytes]):
        """Halfway, it waits until the disk is full, and then makes room."""

        def __len__(self) -> int:
            return 30

        def __getitem__(self, i: Any) -> Any:
            if i == 20:
                while not is_full(small_disk):
                    pass
                ballast.unlink()
            if i >= 30:
                raise IndexError
            return data[i * 100_000 : (i + 1) * 100_000]

    with pytest.raises(StorageFull):
        backend.write("file", FreeingSource())

    assert not ballast.exists()
    assert set(RawFolder(small_disk).list("")) <= {".staging"}
    assert everything(RawFolder(small_disk)) == set()


def test_permission_missing_is_denied(tmp_path: Path, place: Path) -> None:
    (place / "file").write_bytes(b"x")
    with sshd(tmp_path, ["ForceCommand internal-sftp -R"]) as running:  # it refuses to write
        backend = backend_on(running.server, place)
        for verb in (
            lambda: backend.write("file", [b"y"]),
            lambda: backend.write("new/file", [b"y"], create_only=True),
            lambda: backend.delete("file"),
            lambda: save_sample(backend, KEY, chunks()),
        ):
            with pytest.raises(AccessDenied, match="ask for permission"):
                verb()

        assert backend.read("file") == b"x"
        assert RawFolder(place).list("") == {"file"}
        backend.close()
