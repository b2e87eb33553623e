import shutil
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from postgres_server import Postgres, PostgresServer, postgres

pytestmark = pytest.mark.servers


def test_a_killed_server_that_is_started_again_has_kept_what_it_confirmed(
    own_postgres: Postgres,
) -> None:
    own_postgres.sql("CREATE TABLE kept AS SELECT 7 AS number")
    own_postgres.kill()
    with pytest.raises(pytest.fail.Exception, match="refused"):
        own_postgres.sql("SELECT 1")
    own_postgres.start()

    assert own_postgres.sql("SELECT number FROM kept") == "7"


def test_it_runs_as_an_ordinary_user_and_asks_for_the_password(postgres_server: Postgres) -> None:
    data = Path(postgres_server.sql("SHOW data_directory"))
    assert data.stat().st_uid != 0
    assert int(postgres_server.sql("SHOW server_version_num")) >= 150_000

    stranger = Postgres(data.parent)
    stranger.server = replace(postgres_server.server, password="wrong")
    with pytest.raises(pytest.fail.Exception, match="password authentication failed"):
        stranger.sql("SELECT 1")


def test_texts_are_sorted_as_in_a_language(
    postgres_server: Postgres, postgres_database: PostgresServer
) -> None:
    order = "SELECT string_agg(name, '' ORDER BY name) FROM unnest(ARRAY['B', 'a', 'C']) AS name"

    assert postgres_server.sql(order, database=postgres_database.database) == "aBC"


def test_without_its_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("postgres_server.Path.glob", lambda *_: iter(()))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(pytest.fail.Exception, match="install-debian"), postgres():
        pass


def test_a_database_that_was_given_back_is_empty_and_nobody_is_in_it(
    postgres_server: Postgres,
) -> None:
    database = postgres_server.new_database()
    inside = ("CREATE SCHEMA mine", "CREATE TABLE mine.one (x int)", "CREATE TABLE two (x int)")
    for statement in inside:
        postgres_server.sql(statement, database=database.database)
    host, port = database.address
    login = {"user": database.user, "password": database.password, "dbname": database.database}
    with psycopg.connect(host=host, port=port, **login) as connection:
        connection.execute("LOCK TABLE two")
        postgres_server.give_back(database)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    again = postgres_server.new_database()
    left = "SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text !~ '^(pg_|info)'"

    assert again == database
    assert postgres_server.sql(left, database=again.database) == "0"
    assert postgres_server.sql("SHOW search_path", database=again.database) == '"$user", public'
    postgres_server.sql("CREATE TABLE two (x int)", database=again.database)
    assert postgres_server.sql("SELECT current_schemas(false)", database=again.database) == (
        "{public}"
    )
    postgres_server.give_back(again)
