"""A catalogue on SQLite with three backends in memory, and what tests look at."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer
from sqlalchemy import select

from strax_core import (
    STRICT,
    DataKey,
    Lineage,
    MemoryBackend,
    Saver,
    SecretReference,
    StorageBackend,
    StorageError,
    StorageUnavailable,
)
from strax_core.testing import Fault, FaultyBackend, sample_chunks, sample_key, sample_metadata
from strax_sql.catalogue.schema import COPIES, PIECES
from strax_sql.frontend import SqlFrontend
from strax_sql.options import SqlOptions

NAMES = ("disk", "hall", "bucket")
KEY = sample_key()
OpenCatalogue = Callable[..., SqlFrontend]


@pytest.fixture
def places() -> dict[str, StorageBackend]:
    return {name: MemoryBackend() for name in NAMES}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.db"


@pytest.fixture
def reach(url: str) -> dict[str, Any]:
    """The options that lead to the database."""
    return {"url": url}


@pytest.fixture(params=("sqlite", pytest.param("postgresql", marks=pytest.mark.servers)))
def reach_of_each(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The same, of one database after the other; `reach` of a module may return it."""
    if request.param == "sqlite":
        return {"url": request.getfixturevalue("url")}
    server: PostgresServer = request.getfixturevalue("postgres_database")
    return reach_of_server(server, tmp_path)


def reach_of_server(server: PostgresServer, folder: Path) -> dict[str, Any]:
    """Return what leads to a database, with the password by reference to a file in `folder`."""
    secret = folder / "password"
    secret.write_text(server.password)
    return {"url": server.url, "password": SecretReference(file=str(secret))}


@pytest.fixture
def open_catalogue(
    reach: dict[str, Any], places: dict[str, StorageBackend]
) -> Iterator[OpenCatalogue]:
    """A function that opens the same catalogue: its own options, then those of frontends."""
    opened: list[SqlFrontend] = []

    def one(options: dict[str, Any] | None = None, **of_frontend: Any) -> SqlFrontend:
        chosen = SqlOptions(**{**reach, "backends": places, **(options or {})})
        opened.append(SqlFrontend(chosen, **{"name": "catalog", **of_frontend}))
        return opened[-1]

    yield one
    for frontend in opened:
        frontend.database.close()


@pytest.fixture
def catalogue(open_catalogue: OpenCatalogue) -> SqlFrontend:
    return open_catalogue()


def save(frontend: SqlFrontend, key: DataKey = KEY, mark: int = 1, **options: Any) -> None:
    frontend.saver(key, sample_metadata(key), **options).save_from(sample_chunks(key, mark=mark))


def save_everywhere(frontend: SqlFrontend, key: DataKey = KEY) -> None:
    """Save three copies with one `data_id`."""
    for name in frontend.backends:
        document = {**sample_metadata(key), "data_id": "made-once"}
        frontend.saver(key, document, backend=name).save_from(sample_chunks(key))


def begin(frontend: SqlFrontend, key: DataKey = KEY) -> Saver:
    """Return a saver that has written its first chunk."""
    saver = frontend.saver(key, sample_metadata(key))
    saver.save(sample_chunks(key)[0], 0)
    return saver


def watch(frontend: SqlFrontend, name: str) -> FaultyBackend:
    """Let a backend tell what it is asked."""
    watched = FaultyBackend(frontend.backends[name])
    frontend.backends[name] = watched
    return watched


def break_down(
    frontend: SqlFrontend, name: str, error: type[StorageError] = StorageUnavailable
) -> None:
    """Let a backend answer nothing but an error, whatever it is asked."""
    fault = Fault(call=0, error=error, times=None)
    frontend.backends[name] = FaultyBackend(frontend.backends[name], fault)


def offered(frontend: SqlFrontend, key: DataKey = KEY) -> list[str]:
    """Return the backends that the catalogue names for a key, in its order."""
    return [location.backend for location in frontend._find(key, STRICT)]


def made_with(gain: float, run_id: str = "run_1") -> DataKey:
    return DataKey(run_id, "peaks", Lineage({"peaks": ("Peaks", "0.1.0", {"gain": gain})}))


def rows(frontend: SqlFrontend) -> list[tuple[str, str, str]]:
    """Return run, backend and state of all copies."""
    query = (
        select(PIECES.c.run_id, COPIES.c.backend, COPIES.c.state)
        .join(COPIES, COPIES.c.piece_id == PIECES.c.id)
        .order_by(PIECES.c.run_id, COPIES.c.backend)
    )
    return frontend.database.read(
        lambda connection: [(a, b, c) for a, b, c in connection.execute(query)]
    )


def states(frontend: SqlFrontend) -> dict[str, str]:
    """Return the state of each copy, by the name of the backend."""
    return {backend: state for _, backend, state in rows(frontend)}
