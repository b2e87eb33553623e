"""Small files that several threads want at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sftp_server import SftpServer
from ssh_places import backend_on, through

from strax_core import DataCorrupted, ObjectMissing, StorageError, StorageUnavailable
from strax_core.testing import End, LinkFault, Proxy, Way
from strax_ssh.backend import SshBackend
from strax_ssh.connection import connection
from strax_ssh.sftp import batch_read
from strax_ssh.sftp.batch_read import AT_ONCE_MAX, Small
from strax_ssh.sftp.session import Session

N_FILES = 100


def content_of(i: int) -> bytes:
    """What stands in a file: of another size each; the last ones need several requests."""
    return bytes((i * 7 + k) % 251 for k in range(100 + i * 600))


def read(backend: SshBackend, i: int, size: int | None = None) -> bytes:
    n_bytes = len(content_of(i)) if size is None else size
    (content,) = backend.read_ranges(f"files/{i}", [(0, n_bytes)], file_bytes=n_bytes)
    return content


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with files."""
    (tmp_path / "place" / "files").mkdir(parents=True)
    for i in range(N_FILES):
        (tmp_path / "place" / "files" / str(i)).write_bytes(content_of(i))
    return tmp_path / "place"


@pytest.fixture
def backend(sftp_server: SftpServer, place: Path) -> SshBackend:
    return backend_on(sftp_server, place)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each reading, how many files it took."""
    sizes: list[int] = []
    read_several = batch_read._read

    def watched(session: Session, several: list[Small]) -> None:
        sizes.append(len(several))
        read_several(session, several)

    monkeypatch.setattr(batch_read, "_read", watched)
    return sizes


def test_all_threads_get_their_own_in_fewer_readings(
    backend: SshBackend, readings: list[int]
) -> None:
    read(backend, 0)
    readings.clear()
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda i: read(backend, i), range(N_FILES)))

    assert got == [content_of(i) for i in range(N_FILES)]
    assert sum(readings) == N_FILES
    assert len(readings) < N_FILES / 2
    assert max(readings) <= AT_ONCE_MAX


def test_ranges_are_given_in_the_order_asked(backend: SshBackend) -> None:
    whole = content_of(99)
    ranges = [(500, 7), (0, 0), (0, 40_000), (len(whole) - 3, 3), (10, 20)]

    got = backend.read_ranges("files/99", ranges, file_bytes=len(whole))

    assert got == [whole[at : at + size] for at, size in ranges]


def test_a_file_of_which_very_many_ranges_are_wanted_is_read_alone(
    backend: SshBackend, readings: list[int]
) -> None:
    whole = content_of(99)
    ranges = [(10 * i, 3) for i in range(1000)]

    got = backend.read_ranges("files/99", ranges, file_bytes=len(whole))

    assert got == [whole[at : at + size] for at, size in ranges]
    assert readings == []


def test_what_is_wrong_with_one_does_not_hurt_the_others(backend: SshBackend, place: Path) -> None:
    (place / "files" / "1").unlink()
    (place / "files" / "2").write_bytes(content_of(2) + b"x")
    (place / "files" / "3").write_bytes(content_of(3)[:-1])
    (place / "files" / "4").unlink()
    (place / "files" / "4").mkdir()

    def outcome(i: int) -> object:
        try:
            return read(backend, i)
        except StorageError as error:
            return type(error)

    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(outcome, range(N_FILES)))

    wrong = {1: ObjectMissing, 2: DataCorrupted, 3: DataCorrupted, 4: ObjectMissing}
    assert got == [wrong.get(i, content_of(i)) for i in range(N_FILES)]


def test_a_range_beyond_the_end_is_corrupted(backend: SshBackend) -> None:
    n_bytes = len(content_of(5))
    with pytest.raises(DataCorrupted, match=f"{n_bytes} bytes; 2 at {n_bytes - 1}"):
        backend.read_ranges("files/5", [(n_bytes - 1, 2)], file_bytes=n_bytes)
    with pytest.raises(DataCorrupted):
        backend.read_ranges("files/5", [(-1, 2)], file_bytes=n_bytes)
    with pytest.raises(DataCorrupted):
        backend.read_ranges("files/5", [(1, -1)], file_bytes=n_bytes)


@pytest.fixture
def proxy(sftp_server: SftpServer) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", sftp_server.port)) as running:
        yield running


@pytest.mark.parametrize("way", list(Way))
def test_a_line_that_is_cut_costs_nothing_but_time(
    proxy: Proxy, sftp_server: SftpServer, place: Path, tmp_path: Path, way: Way
) -> None:
    behind = through(proxy, sftp_server, place, tmp_path / "known")
    read(behind, 0)
    with ThreadPoolExecutor(8) as threads:
        for after_bytes in (0, 1000, 3000):
            proxy.fault = LinkFault(way=way, after_bytes=after_bytes, end=End.RESET)
            got = list(threads.map(lambda i: read(behind, i), range(N_FILES // 2)))
            assert got == [content_of(i) for i in range(N_FILES // 2)]
            assert proxy.n_hit
            proxy.fault = None
    behind.close()


def test_all_are_told_that_the_server_is_gone(
    monkeypatch: pytest.MonkeyPatch,
    proxy: Proxy,
    sftp_server: SftpServer,
    place: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(connection, "RECONNECT_S", 0.5)
    behind = through(proxy, sftp_server, place, tmp_path / "known")
    read(behind, 0)
    proxy.fault = LinkFault(way=Way.TO_CLIENT, after_bytes=0, end=End.RESET, times=None)

    def outcome(i: int) -> object:
        try:
            return read(behind, i)
        except StorageUnavailable as error:
            return f"files/{i} could not be used" in str(error)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(outcome, range(8))) == {True}
    proxy.fault = None

    assert read(behind, 7) == content_of(7)
    behind.close()
