"""Connections to one database: one engine for each process, transactions that are tried again."""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, exc, make_url

from strax_core import Backoff, ConfigError, PluginError, StorageUnavailable
from strax_sql.errors import translated, was_cut_off, was_undone
from strax_sql.options import SQLITE, DatabaseOptions


class NoTables(StorageUnavailable):
    """There is a database, and in it is nothing of what is looked for."""


FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.5
BEGINS = "strax_begins"  # how a transaction in SQLite begins
AS_BYTES = {"strax_as_bytes": True}
"""Execution options of a statement whose answer is large: PostgreSQL writes it out as text else."""
Answer = TypeVar("Answer")


class Prepare(Protocol):
    """A function, of a module so that it pickles, that makes tables or looks for them."""

    def __call__(self, connection: Connection, *, creates: bool) -> None:
        """Raise `NoTables` if they are not there, and may not be made."""


class Database:
    """Transactions in one database, in any thread and process.

    - `read` and `write` take a function of a connection; `write` calls it in one transaction.
    - A transaction that others came in the way of is done anew, for a while: the function must
      change nothing outside the database.
    - It pickles without connections and without the password; a forked process has connections of
      its own.

    Args:
        options: which database, and how to reach it.
        creates: make the file of SQLite if there is none. A server's database must be there.
        prepare: is called once in each process, before anything else, with a connection and
            `creates`: to make tables, or, without `creates`, to look for them.
    """

    _all: ClassVar[weakref.WeakSet["Database"]] = weakref.WeakSet()

    def __init__(
        self,
        options: DatabaseOptions,
        *,
        creates: bool,
        prepare: Prepare | None = None,
    ) -> None:
        self.options = options
        self.creates = creates
        self._prepare = prepare
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._disposing: weakref.finalize[..., Database] | None = None
        self._prepared: Engine | None = None
        self._all.add(self)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.options, self.creates, self._prepare

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.options, self.creates, self._prepare = state
        self._begin()

    def __repr__(self) -> str:
        return f"<Database {self.place}>"

    @property
    def place(self) -> str:
        """Name of the database in errors; never with a password."""
        return self.options.place

    def read(self, work: Callable[[Connection], Answer]) -> Answer:
        """Return what a function gives that only reads; each statement sees what is committed then.

        Raises:
            StorageError: ours, for any of SQLAlchemy's.
        """
        return self._patiently(lambda: self._once(work, writes=False), may_repeat=True)

    def write(self, work: Callable[[Connection], Answer], *, may_repeat: bool = True) -> Answer:
        """Return what a function gives, done in one transaction: all of it or nothing, durable.

        Of several that get in one another's way, one is done and the others are done anew.

        Args:
            work: what to do.
            may_repeat: whether to do it twice is as good as once. If not, and the connection broke
                in the middle, `StorageUnavailable` says that the outcome is unknown.

        Raises:
            StorageError: ours, for any of SQLAlchemy's.
        """
        return self._patiently(lambda: self._once(work, writes=True), may_repeat=may_repeat)

    def is_there(self) -> bool:
        """Say whether there is such a database, with its tables; nothing is made.

        Raises:
            StorageError: it did not answer.
        """
        if self.options.is_sqlite and not Path(self.options.place.removeprefix(SQLITE)).exists():
            return False
        looking = Database(self.options, creates=False, prepare=self._prepare)
        try:
            looking.read(lambda _: None)
        except NoTables:
            return False
        finally:
            looking.close()
        return True

    def close(self) -> None:
        """Close all connections of this process; the next question opens new ones."""
        with self._lock:
            self._engine = None
            disposing = self._disposing
        if disposing is not None:
            disposing()

    def _once(self, work: Callable[[Connection], Answer], *, writes: bool) -> Answer:
        engine = self._ready()
        with engine.connect() as connection:
            if not writes:
                if not self.options.is_sqlite:
                    connection.execution_options(isolation_level="AUTOCOMMIT")
                return work(connection)
            # At once: one that reads first and then wants to write would fail, not wait.
            connection.execution_options(**{BEGINS: "BEGIN IMMEDIATE"})
            with connection.begin():
                return work(connection)

    def _patiently(self, attempt: Callable[[], Answer], *, may_repeat: bool) -> Answer:
        began, n_cut_off = time.monotonic(), 0
        backoff = Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        while True:
            try:
                return attempt()
            except exc.SQLAlchemyError as error:
                # A pooled connection may have died long ago; a fresh one tells how things are.
                n_cut_off += was_cut_off(error)
                is_stale = may_repeat and was_cut_off(error) and n_cut_off == 1
                is_late = time.monotonic() > began + self.options.retry_for_s
                if not is_stale and (is_late or not was_undone(error)):
                    raise translated(error, self.place) from error
            backoff.pause()

    def _ready(self) -> Engine:
        """Return the engine of this process, with the tables looked at."""
        with self._lock:
            if self._engine is None:
                self._engine = new_engine(self.options, creates=self.creates)
                self._disposing = weakref.finalize(self, self._engine.dispose)
            engine = self._engine
        # Not under the lock: if the server is silent, all threads find out at once.
        if self._prepared is not engine:
            if self._prepare is not None:
                self._look_at_tables(engine, self._prepare)
            self._prepared = engine
        return engine

    def _look_at_tables(self, engine: Engine, prepare: Prepare) -> None:
        with engine.connect() as connection:
            # It mostly only looks, and then holds nobody up.
            connection.execution_options(**{BEGINS: "BEGIN DEFERRED"})
            if not self.options.is_sqlite:
                # Who waited for another to make the tables is to see them then.
                connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                prepare(connection, creates=self.creates)


_inherited: list[Engine | None] = []
"""Engines of the process that forked this one: closing their connections would disturb it."""


def _renew_all() -> None:
    for database in list(Database._all):  # noqa: SLF001 - our own
        if database._disposing is not None:  # noqa: SLF001
            database._disposing.detach()  # noqa: SLF001
        _inherited.append(database._engine)  # noqa: SLF001
        database._begin()  # noqa: SLF001


os.register_at_fork(after_in_child=_renew_all)


def new_engine(options: DatabaseOptions, *, creates: bool) -> Engine:
    """Return an engine; nothing is connected yet.

    Raises:
        PluginError: the driver of PostgreSQL is not installed.
        ConfigError: the URL cannot be used.
    """
    if options.is_sqlite:
        return _sqlite_engine(options, creates=creates)
    try:
        return _postgresql_engine(options)
    except ImportError as error:
        raise PluginError(
            "PostgreSQL needs a driver: pip install 'strax-sql[postgresql]'"
        ) from error
    except exc.ArgumentError as error:
        raise ConfigError(f"{options.place} has a url that cannot be used") from error


def _sqlite_engine(options: DatabaseOptions, *, creates: bool) -> Engine:
    mode = "rwc" if creates else "rw"
    address = f"file:{quote(options.place.removeprefix(SQLITE))}?mode={mode}"

    def connect() -> Any:
        return sqlite3.connect(
            address, uri=True, timeout=options.timeout_s, check_same_thread=False
        )

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=options.pool_size,
        pool_timeout=options.timeout_s,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # From now on only "BEGIN" begins a transaction: a read is none, and holds nobody up.
        connection.isolation_level = None
        for (mode,) in connection.execute("PRAGMA journal_mode").fetchall():
            if mode != "wal" and creates:
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get(BEGINS)
        if statement is not None:
            connection.exec_driver_sql(statement)

    return engine


def _postgresql_engine(options: DatabaseOptions) -> Engine:
    from psycopg.pq import Format

    from strax_sql.database.watched_connection import WatchedConnection

    class OurConnection(WatchedConnection):
        # Longer than a lock is waited for: then it is the server that says so.
        silence_s = 1.5 * options.timeout_s

    url = make_url(options.url).set(drivername="postgresql+psycopg")
    ours = {
        "connect_timeout": max(1, round(options.timeout_s)),
        "application_name": "strax-sql",
        # A server that vanished is noticed, also in the middle of an answer.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": round(options.timeout_s * 1000),
    }
    # What is asked takes milliseconds, and PostgreSQL may compile for longer than that.
    settings = f"-c lock_timeout={round(options.timeout_s * 1000)} -c jit=off"
    engine = create_engine(
        url,
        connect_args={
            **{name: value for name, value in ours.items() if name not in url.query},
            "options": " ".join((settings, *url.normalized_query.get("options", ()))),
        },
        pool_size=options.pool_size,
        max_overflow=0,
        pool_timeout=options.timeout_s,
        isolation_level="SERIALIZABLE",
        hide_parameters=True,
    )

    @event.listens_for(engine, "do_connect")
    def log_in(_: object, __: object, ___: object, parameters: dict[str, Any]) -> Any:
        # Not in the URL: so the secret stands in no attribute, and is looked up when it is needed.
        if options.password is not None:
            parameters["password"] = options.password.reveal()
        return OurConnection.connect(**parameters)

    @event.listens_for(engine, "before_cursor_execute")
    def choose_format(
        _: object, cursor: Any, __: object, ___: object, context: Any, ____: object
    ) -> None:
        if context is not None and AS_BYTES.items() <= context.execution_options.items():
            cursor.format = Format.BINARY

    return engine
