"""Fixtures: PostgreSQL, started once, when the first test asks for it."""

from collections.abc import Iterator

import pytest
from postgres_server import Postgres, PostgresServer, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server with nothing in it."""
    with postgres() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: Postgres) -> Iterator[PostgresServer]:
    """An empty database of this test's own."""
    database = postgres_server.new_database()
    yield database
    postgres_server.give_back(database)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of this test's own, to kill and to start again."""
    with postgres() as server:
        yield server
