"""A line with latency, or narrow, in front of a server."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE = """
import sys
from strax_core.testing import Proxy
with Proxy(("127.0.0.1", int(sys.argv[1]))) as proxy:
    proxy.rate_bytes_s = float(sys.argv[2]) or None
    print(proxy.port, flush=True)
    for latency_s in sys.stdin:
        proxy.latency_s = float(latency_s)
        print("set", flush=True)
"""


@contextmanager
def line_to(port: int, rate_bytes_s: float = 0) -> Iterator[tuple[int, Callable[[float], None]]]:
    """Put a line in front of the server, in a process of its own.

    Args:
        port: of the server.
        rate_bytes_s: how much it lets through; 0: all.

    Returns:
        Its port, and what sets its latency: seconds, one way; none at first.
    """
    words = [sys.executable, "-c", LINE, str(port), str(rate_bytes_s)]
    with subprocess.Popen(  # noqa: S603 - our own words
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("pipes were asked for")
        stdin, stdout = process.stdin, process.stdout

        def set_latency(one_way_s: float) -> None:
            stdin.write(f"{one_way_s}\n")
            stdout.readline()

        yield int(stdout.readline()), set_latency
        stdin.close()
