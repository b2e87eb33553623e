"""Programs that tests start on this machine and end by their process id."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import SystemRandom

import pytest

START_S = 600.0

# None that the system hands out by itself; each worker of xdist has a thousand of its own, so that
# none takes what another found free, before a server listens there.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20
_FIRST_PORT = 12_000 + 1000 * _WORKER
_PORTS = cycle(SystemRandom().sample(range(_FIRST_PORT, _FIRST_PORT + 1000), 1000))


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody used a moment ago."""
    while True:
        port = next(_PORTS)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def program(name: str, install: str) -> str:
    """Return the path of a program, from the environment of this interpreter or the system.

    A test that needs a server and has none fails: what was not run is not known to work.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: {install}", pytrace=False)
    return found


class Running:
    """A program in the background; its output goes to a file.

    A shell beside it ends it should this process die, however that happens.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        end_with_us = "(cat <&3 >/dev/null; kill $program 2>/dev/null) & "
        at_once = "trap 'kill -KILL $program' TERM; "
        watch = f'exec 3<&0; "$@" </dev/null 3<&- & program=$!; {at_once} {end_with_us}'
        watch += "wait $program; wait $program"  # again, as a signal ends the first one
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", watch, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_for(self, port: int) -> None:
        """Wait until it listens on a port; fail with what it wrote if it ends instead."""
        give_up = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < give_up:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)  # nobody tells when a program listens
        self.kill()
        pytest.fail(f"a server did not start:\n{self.log.read_text()[-3000:]}", pytrace=False)

    def end(self) -> None:
        """Ask it to end, and see that it does."""
        self._close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once; its ports are free, and its files as it left them, when this returns."""
        self._process.terminate()  # the shell, which kills it and waits until it is gone
        self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it started
        self._close()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def descendants(process: int) -> list[int]:
    """Return the ids of the processes that a process has started, and of theirs."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def kill_all(processes: Sequence[int]) -> None:
    """End these at once, and see that they do; those that have ended are passed over."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    while any(is_alive(process) for process in processes):
        time.sleep(0.01)  # nobody tells when a process that is not our child has ended


def is_alive(process: int) -> bool:
    """Say whether a process runs; one that has ended, and of which nobody took note, does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
