"""On OpenSSH: a line on which nothing passes any more, from any moment on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from sftp_server import SftpServer
from ssh_places import chunks, expected, rows_of, through

from strax_core import DataKey, StorageError, StorageUnavailable
from strax_core.testing import End, LinkFault, Proxy, Way, clean, sample_key, save_sample
from strax_ssh.backend import SshBackend
from strax_ssh.options import SshOptions

pytestmark = [pytest.mark.servers, pytest.mark.long]

N_MOMENTS = 12
N_TRIES = 3  # to connect again, in vain
DEFAULTS = {each.name: each.default for each in fields(SshOptions)}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A place behind a proxy of its own."""

    proxy: Proxy
    backend: SshBackend
    key: DataKey


@pytest.fixture
def lines(openssh: SftpServer, place: Path, tmp_path: Path) -> Iterator[list[Line]]:
    """Several, each with a key of its own, so that all can wait at the same time."""
    with ExitStack() as stack:
        found = []
        for i in range(2 * N_MOMENTS):
            proxy = stack.enter_context(Proxy(openssh.address))
            backend = through(proxy, openssh, place, tmp_path / f"known{i}")
            stack.callback(backend.close)
            found.append(Line(proxy=proxy, backend=backend, key=sample_key(f"run_{i}")))
        yield found


def moments(line: Line, act: Callable[[Line], Any]) -> list[int]:
    """Do it unharmed; return moments of it, in bytes of answers, from its start to its end."""
    before = line.proxy.n_bytes[Way.TO_CLIENT]
    act(line)
    n_bytes = line.proxy.n_bytes[Way.TO_CLIENT] - before
    return [n_bytes * i // N_MOMENTS for i in range(N_MOMENTS)]


def load(line: Line) -> bytes | None:
    return rows_of(line.backend, line.key)


def save(line: Line) -> None:
    save_sample(line.backend, line.key, chunks(key=line.key))


def swallowed(
    lines: list[Line], after_bytes: list[int], acts: list[Callable[[Line], Any]]
) -> list[tuple[int, str]]:
    """Act on each line while its black hole opens; return how often it connected, and its end."""
    ends: dict[int, tuple[int, str]] = {}

    def one(i: int) -> None:
        lines[i].proxy.fault = LinkFault(
            way=Way.TO_CLIENT, after_bytes=after_bytes[i], end=End.BLACK_HOLE
        )
        n_before = lines[i].proxy.n_connections
        try:
            acts[i](lines[i])
            how = "done"
        except StorageError as error:
            how = type(error).__name__
        ends[i] = (lines[i].proxy.n_connections - n_before, how)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(lines))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [ends[i] for i in range(len(lines))]


def end_the_holes(lines: list[Line]) -> None:
    for line in lines:
        line.proxy.fault = None
        line.proxy.is_black_hole = False
        line.proxy.reset_all()


def test_what_a_black_hole_swallows_ends_within_a_minute_and_is_whole_or_absent(
    lines: list[Line], direct: SshBackend
) -> None:
    saving, loading = lines[:N_MOMENTS], lines[N_MOMENTS:]
    for line in lines:
        save(line)  # so that it is connected
    saving[0].backend.remove(saving[0].key.name)
    after_bytes = [*moments(saving[0], save), *moments(loading[0], load)]
    for line in saving:
        line.backend.remove(line.key.name)
    ends = swallowed(lines, after_bytes, [save] * N_MOMENTS + [load] * N_MOMENTS)

    # Some may be shorter than the one that was measured.
    assert sum(line.proxy.n_hit for line in lines) >= 0.8 * len(lines)
    # It waits for an answer, and each time that it connects: all in all for a minute.
    assert max(n_tries for n_tries, _ in ends) <= N_TRIES
    assert DEFAULTS["io_timeout_s"] + N_TRIES * DEFAULTS["connect_timeout_s"] <= 60
    assert {how for _, how in ends} <= {"StorageUnavailable", "done"}
    for line, (_, how) in zip(saving, ends, strict=False):
        there = rows_of(direct, line.key)
        assert there in ({expected()} if how == "done" else {None, expected()})
    assert [how for _, how in ends[N_MOMENTS:]].count("done") <= 0.2 * N_MOMENTS
    end_the_holes(lines)
    clean(direct, grace_s=0, dry_run=False)
    for line in lines:
        if rows_of(direct, line.key) is None:
            save(line)
        assert load(line) == expected()


def test_writing_into_a_black_hole_ends(openssh: SftpServer, place: Path, tmp_path: Path) -> None:
    with Proxy(openssh.address) as proxy:
        backend = through(proxy, openssh, place, tmp_path / "known", io_timeout_s=1.0)
        assert list(backend.list("")) == []
        proxy.is_black_hole = True
        # More than all buffers on the way take, so that it cannot even be sent.
        with pytest.raises(StorageUnavailable, match="silent"):
            backend.write("file", [bytes(100_000_000)])
        proxy.is_black_hole = False
        proxy.reset_all()

        backend.write("file", [b"x"])
        assert backend.read("file") == b"x"
        backend.close()
