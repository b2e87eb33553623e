"""The one connection of this process to a machine: made when needed, and again when it was lost."""

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from strax_ssh.options import SshOptions
from strax_ssh.reaching import Client, Program
from strax_ssh.session import LostError, Session, SilentError

RECONNECT_S = 10.0
"""How long to try again when a connection that there was is lost: a server may be restarted."""
TRIES = 4
PAUSE_S = 0.1
Result = TypeVar("Result")


class Connection:
    """What all backends of one process with the same options share."""

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._client: Client | Program | None = None
        self._sessions: list[Session] = []
        self._was_there = False
        self._failed_at = 0.0
        self._failure: LostError | None = None

    def run(
        self,
        action: Callable[[Session], Result],
        *,
        is_repeatable: bool = True,
        is_upload: bool = False,
    ) -> Result:
        """Do something over a session; again, if the connection is lost and doing so is harmless.

        Args:
            action: what to do.
            is_repeatable: whether doing it twice does no harm; if not, a lost answer is an error.
            is_upload: whether it sends much: then it gets a channel of its own, if it can.

        Raises:
            LostError: the server cannot be reached, or was lost too often.
            AccessDenied: it lets nobody in.
        """
        for tries_left in reversed(range(TRIES)):
            with self._session(is_upload=is_upload) as session:
                try:
                    return action(session)
                except SilentError:
                    raise
                except LostError:
                    if not is_repeatable or not tries_left:
                        raise
        raise AssertionError("the last try returns or raises")

    def about(self) -> tuple[Session, str]:
        """Return a session, and how one was let in: for those who examine the place."""
        with self._session(is_upload=False) as session:
            return session, self._client.how if self._client is not None else ""

    def close(self) -> None:
        """End the connection; it comes back when it is needed."""
        with self._lock:
            self._drop_all()

    def abandon(self) -> None:
        """In a forked process: begin anew. Connection and lock are the parent's."""
        if self._client is not None:
            self._client.abandon()
            _of_parents.append((self._client, self._sessions))
        self._begin()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self._drop_all()

    @contextmanager
    def _session(self, *, is_upload: bool) -> Iterator[Session]:
        asked_at = time.monotonic()
        with self._lock:
            if self._failure is not None and self._failed_at > asked_at:
                raise type(self._failure)(*self._failure.args) from self._failure
            session = self._chosen(is_upload=is_upload)
            session.n_users += 1
        try:
            yield session
        except SilentError:
            with self._lock:
                self._drop_all()  # its other channels are as silent
            raise
        finally:
            with self._lock:
                session.n_users -= 1
                self._drop_lost()

    def _chosen(self, *, is_upload: bool) -> Session:
        self._drop_lost()
        free = min(self._sessions, key=lambda each: each.n_users, default=None)
        if self._client is not None:
            is_full = len(self._sessions) >= self._client.sessions_max
            if free is not None and (is_full or not (is_upload and free.n_users)):
                return free
            try:
                self._sessions.append(self._client.open_session())
                return self._sessions[-1]
            except LostError:
                if free is not None and not self._client.is_lost:
                    return free  # this server allows fewer channels
                self._drop_all()
        try:
            return self._connected()
        except LostError as error:
            self._failed_at, self._failure = time.monotonic(), error
            raise

    def _connected(self) -> Session:
        """Connect: patiently if there was a connection; a little, as a busy server needs it."""
        make = Client if self._options.command is None else Program
        give_up = time.monotonic() + (RECONNECT_S if self._was_there else 0.0)
        self._was_there = False
        number = 0
        while True:
            client: Client | Program | None = None
            try:
                client = make(self._options)
                self._sessions = [client.open_session()]
            except BaseException as error:
                if client is not None:
                    client.close()
                number += 1
                is_late = time.monotonic() > give_up and number >= TRIES
                if is_late or isinstance(error, SilentError) or not isinstance(error, LostError):
                    raise
            else:
                self._client = client
                self._was_there = True
                return self._sessions[0]
            # Of many that connect at once, OpenSSH drops some: each waits for another while.
            time.sleep(min(PAUSE_S * 2**number, 1.0) * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    def _drop_lost(self) -> None:
        self._sessions = [each for each in self._sessions if not each.is_lost]
        if self._client is not None and self._client.is_lost:
            self._drop_all()

    def _drop_all(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()  # first, so that its channels need not say goodbye over a silent line
        sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()


_connections: weakref.WeakValueDictionary[SshOptions, Connection] = weakref.WeakValueDictionary()
_of_parents: list[object] = []
"""Kept for ever: to tidy them up could wait for a lock that a thread of the parent held."""
_lock = threading.Lock()


def connection_to(options: SshOptions) -> Connection:
    """Return this process's connection, which need not be there yet."""
    with _lock:
        connection = _connections.get(options)
        if connection is None:
            connection = _connections[options] = Connection(options)
        return connection


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    for connection in list(_connections.values()):
        connection.abandon()


os.register_at_fork(after_in_child=_after_fork)
