"""How fast are files in a database, and what does a time to live cost?

`--url sqlblob+postgresql://… --password-env NAME` for an empty database of a server; left out, a
file of SQLite.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import insert

from strax_core import SecretReference
from strax_sql.blob_backend import SqlBlobBackend
from strax_sql.blob_options import SqlBlobOptions
from strax_sql.blob_schema import FILES

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


def opened(url: str, password: str | None, **options: Any) -> SqlBlobBackend:
    """Open a place."""
    reference = None if password is None else SecretReference(env=password)
    given = SqlBlobOptions.from_url(url)
    return SqlBlobBackend(SqlBlobOptions(**{**given, "password": reference, **options}))


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
    parser.add_argument("--url", help="of an empty database; left out: a file of SQLite")
    parser.add_argument("--password-env", metavar="NAME", help="variable that holds the password")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        url = options.url or f"sqlblob+sqlite:///{work}/blobs.db"
        backend = opened(url, options.password_env, ttl_s=3600.0)
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
