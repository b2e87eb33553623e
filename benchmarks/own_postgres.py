"""A PostgreSQL of a benchmark's own, which ends with it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "BENCHMARK_PASSWORD"  # noqa: S105 - the name of a variable


@contextmanager
def own_postgres() -> Iterator[Callable[[], str]]:
    """Start a server; give what makes an empty database and returns its URL.

    The password is in the environment, under `PASSWORD`.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "servers"))
    from postgres_server import postgres

    with postgres() as server:
        # By reference only: no password stands in a URL or an option.
        os.environ[PASSWORD] = server.server.password
        yield lambda: server.new_database().url
