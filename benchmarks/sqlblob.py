"""How fast are files in a database, beside many others that end some day?

`--postgresql` starts a server of its own; left out, a file of SQLite.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from own_postgres import PASSWORD, own_postgres
from sqlalchemy import insert

from strax_core import SecretReference
from strax_sql.blobs.backend import SqlBlobBackend
from strax_sql.blobs.options import SqlBlobOptions
from strax_sql.blobs.schema import FILES

MIB = 1 << 20
BODY = random.Random(1).randbytes(16 * MIB)  # noqa: S311 - as good as what a codec gives
SMALL = BODY[:1000]
N_SMALL = 300
N_ROUNDS = 7
N_FOLDERS, N_FILES = 3000, 20  # of others, beside what is listed


def seconds(action: Callable[[], object], rounds: int = N_ROUNDS) -> float:
    """Return the median of several times."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def fill(backend: SqlBlobBackend, *, expires_ns: int) -> None:
    """Enter files of many folders, without contents."""
    rows = [
        {
            "folder": f"run_{i // N_FILES:06d}-monitors-aaaaaaaaaa/",
            "name": f"monitors-aaaaaaaaaa-{i % N_FILES:06d}",
            "size_bytes": 0,
            "modified_ns": 0,
            "expires_ns": expires_ns,
        }
        for i in range(N_FOLDERS * N_FILES)
    ]
    backend._database.write(lambda link: link.execute(insert(FILES), rows))  # noqa: SLF001
    if not backend._options.is_sqlite:  # noqa: SLF001
        backend._database.write(lambda link: link.exec_driver_sql("ANALYZE"))  # noqa: SLF001


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        reach: dict[str, Any] = {"url": f"sqlite:///{work}/blobs.db"}
        if options.postgresql:
            reach["url"] = stack.enter_context(own_postgres())()
            reach["password"] = SecretReference(env=PASSWORD)
        backend = SqlBlobBackend(SqlBlobOptions(**reach, ttl_s=3600.0))
        backend.write("warm", [SMALL])
        size = len(BODY) / 1e6
        took = seconds(lambda: backend.write("large/file", [BODY]))
        print(f"write {size:.0f} MB: {size / took:6.0f} MB/s")
        took = seconds(lambda: backend.read("large/file"))
        print(f"read {size:.0f} MB:  {size / took:6.0f} MB/s")
        ranges = [(i * MIB + 17, 1000) for i in range(len(BODY) // MIB)]
        took = seconds(lambda: backend.read_ranges("large/file", ranges))
        print(f"a part of each MiB of it: {took * 1e3:.1f} ms")
        names = [f"small/{i}" for i in range(N_SMALL)]
        took = seconds(lambda: [backend.write(name, [SMALL]) for name in names], 3)
        print(f"write 1 kB: {took / N_SMALL * 1e3:.2f} ms")
        took = seconds(lambda: [backend.read(name) for name in names], 3)
        print(f"read 1 kB:  {took / N_SMALL * 1e3:.2f} ms")
        fill(backend, expires_ns=time.time_ns() + 10**12)
        some = "run_001500-monitors-aaaaaaaaaa"
        took = seconds(lambda: list(backend.list(some)), 50)
        print(f"list {N_FILES} files beside {N_FOLDERS * N_FILES}: {took * 1e3:.2f} ms")
        backend._database.write(  # noqa: SLF001
            lambda link: link.execute(
                FILES.update().where(FILES.c.folder == f"{some}/").values(expires_ns=1)
            )
        )
        took = seconds(lambda: list(backend.list(some)), 50)
        print(f"the same, over their time: {took * 1e3:.2f} ms")
        took = seconds(lambda: list(backend.list("")), 3)
        print(f"list {N_FOLDERS} folders: {took * 1e3:.0f} ms")
        backend._database.close()  # noqa: SLF001


if __name__ == "__main__":
    main()
