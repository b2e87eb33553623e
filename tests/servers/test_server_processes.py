import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import Running, free_port, program

SERVE = """
import socket, sys, time
sock = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True: sock.accept()[0].close()
"""
START_AND_DIE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from processes import Running
running = Running([sys.executable, "-c", sys.argv[2], sys.argv[3]], Path(sys.argv[4]))
running.wait_for(int(sys.argv[3]))
os.kill(os.getpid(), 9)
"""


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("way", ["end", "kill"])
def test_a_server_runs_until_it_is_ended(tmp_path: Path, way: str) -> None:
    port = free_port()
    running = Running([sys.executable, "-c", SERVE, str(port)], tmp_path / "log")
    running.wait_for(port)
    assert not is_free(port)
    getattr(running, way)()

    assert is_free(port)


def test_a_server_does_not_outlive_the_tests(tmp_path: Path) -> None:
    port = free_port()
    folder = str(Path(__file__).parent)
    code = [sys.executable, "-c", START_AND_DIE, folder, SERVE, str(port), str(tmp_path / "log")]
    assert subprocess.run(code, check=False).returncode == -signal.SIGKILL
    while not is_free(port):  # it ends at once, but nobody says when
        pass


def test_a_server_that_does_not_start_tells_why(tmp_path: Path) -> None:
    running = Running([sys.executable, "-c", "raise SystemExit('no such disk')"], tmp_path / "log")
    with pytest.raises(pytest.fail.Exception, match="no such disk"):
        running.wait_for(free_port())


def test_a_missing_server_is_a_failure_that_says_what_to_install() -> None:
    with pytest.raises(pytest.fail.Exception, match="no-such-server is not installed: run this"):
        program("no-such-server", "run this")
