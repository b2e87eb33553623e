"""How fast `strax_ssh` is, beside OpenSSH's own `sftp` and paramiko, on one sshd of this machine.

The same bytes, the same cipher (aes128-gcm), one connection each. Files lie in memory (/dev/shm),
so that no disk is measured; fsync is on, and costs nothing there. See README.md for figures.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import paramiko

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "servers"))

from sftp_server import SftpServer  # noqa: E402
from slow_line import line_to  # noqa: E402
from ssh_places import backend_on  # noqa: E402
from sshd import sshd  # noqa: E402

from strax_core.testing import sample_chunks, sample_key, save_sample  # noqa: E402
from strax_ssh.backend import SshBackend  # noqa: E402

CIPHER = "aes128-gcm@openssh.com"
LATENCY_S = 0.01  # one way
CPU_TIMES = Path("/proc/stat")
N_CHUNKS = 4
N_SMALL, SMALL_BYTES = 1000, 10_000


def main() -> None:
    """Start an sshd of our own, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200, help="size of the large file")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        with sshd(folder, [f"Ciphers {CIPHER}"]) as running:
            Benchmark(running.server, folder, options.mb, options.repeats).run()
    finally:
        shutil.rmtree(folder)


class Benchmark:
    """Times each way in turn, several times, and tells the median of each."""

    def __init__(self, server: SftpServer, folder: Path, mb: int, repeats: int) -> None:
        self._server, self._folder, self._repeats = server, folder, repeats
        self._place = Path(server.path)
        self._mb = mb
        self._failed = False

    def run(self) -> None:
        """Measure all, print it, and end with an error if a promise is not kept."""
        large = os.urandom(self._mb * 1_000_000)
        (self._folder / "local").write_bytes(large)
        self._large(self._server, large, "loopback", self._mb, needed=0.9)
        with line_to(self._server.port) as (port, set_latency):
            set_latency(LATENCY_S)
            known = self._folder / "known_far"
            line = Path(self._server.known_hosts).read_text()
            known.write_text(line.replace(f":{self._server.port} ", f":{port} "))
            far = replace(self._server, port=port, known_hosts=str(known))
            part = large[:40_000_000]
            (self._folder / "local").write_bytes(part)
            self._large(far, part, "20 ms away", 40, needed=2.0)
        self._small()
        self._data()
        if self._failed:
            raise SystemExit("a promise was not kept")

    def _large(
        self, server: SftpServer, data: bytes, where: str, mb: int, *, needed: float
    ) -> None:
        backend = backend_on(server, self._place)
        local, other = self._folder / "local", self._folder / "got"
        self._save(backend, data)
        backend.write("large", [data])
        with session(server) as sftp, client(server) as plain:
            ours_put, sftp_put, their_put = self._medians(
                lambda: self._save(backend, data),
                lambda: sftp(f"put {local} {self._place / 'put'}"),
                lambda: plain.putfo(BytesIO(data), str(self._place / "put")),
            )
            ours_get, sftp_get, their_get = self._medians(
                lambda: self._load(backend),
                lambda: sftp(f"get {self._place / 'large'} {other}"),
                lambda: plain.getfo(str(self._place / "large"), BytesIO()),
            )
            if where == "loopback":
                self._tell_cpu("save", lambda: self._save(backend, data))
                self._tell_cpu("sftp put", lambda: sftp(f"put {local} {self._place / 'put'}"))
                self._tell_cpu("load", lambda: self._load(backend))
                self._tell_cpu("sftp get", lambda: sftp(f"get {self._place / 'large'} {other}"))
        if backend.read("large") != data:
            raise SystemExit("what came back is not what was sent")
        for what, ours, sftps, theirs in (
            ("save", ours_put, sftp_put, their_put),
            ("load", ours_get, sftp_get, their_get),
        ):
            print(
                f"{where}, {what} {mb} MB: strax_ssh {mb / ours:.0f} MB/s, sftp {mb / sftps:.0f}, "
                f"paramiko {mb / theirs:.0f}"
            )
            self._promise(f"{what} against sftp, {where}", sftps / ours, needed)
        if where == "loopback":
            self._promise("load against paramiko's getfo", their_get / ours_get, 2.0)
        backend.close()

    def _save(self, backend: SshBackend, data: bytes) -> None:
        """Write in chunks, in as many threads as a saver has."""
        size = len(data) // N_CHUNKS
        parts = [memoryview(data)[i * size : (i + 1) * size] for i in range(N_CHUNKS)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda i: backend.write(f"chunk{i}", [parts[i]]), range(N_CHUNKS)))

    def _load(self, backend: SshBackend) -> None:
        """Read these chunks in as many threads as a loader has, which knows how large they are."""
        size = (self._place / "chunk0").stat().st_size

        def read(i: int) -> None:
            backend.read_ranges(f"chunk{i}", [(0, size)], file_bytes=size)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(read, range(N_CHUNKS)))

    def _small(self) -> None:
        """Read files of the size of small chunks, as a loader does: in a few threads."""
        many = self._place / "many"
        many.mkdir()
        for i in range(N_SMALL):
            (many / f"{i:04d}").write_bytes(os.urandom(SMALL_BYTES))
        backend = backend_on(self._server, self._place)
        names = [f"many/{i:04d}" for i in range(N_SMALL)]
        to = self._folder / "many"
        to.mkdir()

        def read(name: str) -> bytes:
            (content,) = backend.read_ranges(name, [(0, SMALL_BYTES)], file_bytes=SMALL_BYTES)
            return content

        def load() -> None:
            with ThreadPoolExecutor(4) as threads:
                for content in threads.map(read, names):
                    if len(content) != SMALL_BYTES:
                        raise SystemExit("a short read")

        backend.read(names[0])
        with session(self._server) as sftp:
            ours, sftps = self._medians(load, lambda: sftp(f"get {many}/* {to}/"))
        print(
            f"loopback, load {N_SMALL} files of {SMALL_BYTES // 1000} kB: "
            f"strax_ssh {N_SMALL / ours:.0f} files/s, sftp {N_SMALL / sftps:.0f}"
        )
        self._promise("small files against sftp get *", sftps / ours, 2.0)
        backend.close()

    def _data(self) -> None:
        """Save and load data through savers and loaders, with all that they do."""
        key = sample_key()
        dtype = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("wave", "u1", (200_000,))])
        chunks = sample_chunks(key, sizes=(100,) * 5, dtype=dtype)
        mb = sum(chunk.data.nbytes for chunk in chunks) / 1e6
        backend = backend_on(self._server, self._place)
        save, load = self._medians(
            lambda: save_sample(backend, key, chunks, overwrite="always"),
            lambda: backend.loader(key.name).read_all(),
        )
        print(
            f"loopback, data of {mb:.0f} MB in zstd: saved at {mb / save:.0f} MB/s of rows, "
            f"loaded at {mb / load:.0f}"
        )
        backend.close()

    def _medians(self, *ways: Callable[[], object]) -> list[float]:
        """Return how many seconds each way takes."""
        seconds: list[list[float]] = [[] for _ in ways]
        for _ in range(self._repeats):
            for way, taken in zip(ways, seconds, strict=True):
                began = time.perf_counter()
                way()
                taken.append(time.perf_counter() - began)
        return [median(taken) for taken in seconds]

    def _tell_cpu(self, what: str, way: Callable[[], object]) -> None:
        """Print how much of the processors a way takes, of which on the servers' side."""
        of_all, of_this = busy_s(), time.process_time()
        for _ in range(self._repeats):
            way()
        all_ms = 1000 * (busy_s() - of_all) / self._repeats
        own_ms = 1000 * (time.process_time() - of_this) / self._repeats
        print(f"  CPU, {what}: {own_ms:.0f} ms in this process, {all_ms - own_ms:.0f} ms in others")

    def _promise(self, what: str, ratio: float, needed: float) -> None:
        is_kept = ratio >= needed
        self._failed |= not is_kept
        print(f"  {what}: {ratio:.2f} x (promised {needed} x){'' if is_kept else '  NOT KEPT'}")


def busy_s() -> float:
    """Return for how many seconds the processors of this machine have worked."""
    user, nice, system, _, _, irq, soft_irq, *_ = map(int, CPU_TIMES.read_text().split()[1:9])
    return (user + nice + system + irq + soft_irq) / os.sysconf("SC_CLK_TCK")


@contextmanager
def session(server: SftpServer) -> Iterator[Callable[[str], None]]:
    """Keep one `sftp` of OpenSSH open; each command returns when it is done."""
    words = ["sftp", "-q", f"-oPort={server.port}", f"-oCiphers={CIPHER}", "-i", server.key_file]
    words += [f"-oUserKnownHostsFile={server.known_hosts}", "-b", "-", f"{server.user}@127.0.0.1"]
    with subprocess.Popen(  # noqa: S603 - our own words
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("pipes were asked for")
        stdin, stdout = process.stdin, process.stdout

        def do(command: str) -> None:
            stdin.write(f"{command}\n!echo done\n")
            stdin.flush()
            while (line := stdout.readline()) != "done\n":
                if not line:
                    raise SystemExit(f"sftp failed: {command}")

        do("pwd")
        yield do
        stdin.close()


@contextmanager
def client(server: SftpServer) -> Iterator[paramiko.SFTPClient]:
    """Connect with paramiko alone; only the delay of Nagle is switched off, as for us."""
    with paramiko.SSHClient() as ssh:
        ssh.load_host_keys(server.known_hosts)
        ssh.connect(
            "127.0.0.1",
            server.port,
            server.user,
            key_filename=server.key_file,
            allow_agent=False,
            look_for_keys=False,
        )
        ssh.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with ssh.open_sftp() as sftp:
            yield sftp


if __name__ == "__main__":
    main()
