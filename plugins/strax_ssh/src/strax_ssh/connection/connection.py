"""The one connection of this process to a machine: opened when needed, and again when lost."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from strax_core import AccessDenied, Backoff
from strax_ssh.connection.login import Client, Program
from strax_ssh.options import SshOptions
from strax_ssh.sftp import LostError, NobodyError, Session, SilentError, Small, Together

RECONNECT_S = 10.0
"""Time to try again when a connection that there was is lost: a server may be restarted."""
BUSY_S = 5.0
"""Time to try a server that hangs up, as OpenSSH does while many log in at once."""
TRIES = 4
FIRST_PAUSE_S = 0.2
Result = TypeVar("Result")


class Connection:
    """The connection that all backends of one process with the same options share.

    Each thread has a channel for itself while it does something; who finds none free waits.
    """

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._client: Client | Program | None = None
        self._free: list[Session] = []
        self._busy: set[Session] = set()
        self._was_there = False
        self._failed_at = 0.0
        self._failure: LostError | AccessDenied | None = None
        self._together = Together()

    def run(self, action: Callable[[Session], Result]) -> Result:
        """Do something over a channel; again, if the connection is lost.

        What may not be done twice must not let a `LostError` out.

        Raises:
            LostError: the server cannot be reached, is silent, or was lost too often.
            AccessDenied: it lets nobody in.
        """
        for tries_left in reversed(range(TRIES)):
            session = self._waited_for()  # if it fails, it has tried often enough
            try:
                return action(session)
            except SilentError:
                raise
            except LostError:
                if not tries_left:
                    raise
            finally:
                self._return(session)
        raise AssertionError("the last try returns or raises")

    def read_small(self, small: Small) -> list[bytes] | None:
        """Return what is wanted of a small file; None: it has to be read alone.

        Raises:
            LostError, AccessDenied: as `run`.
        """
        return self._together.read(small, self.run)

    @property
    def how(self) -> str:
        """Whom it reached and how it was let in, for people."""
        return "" if self._client is None else self._client.how

    def close(self) -> None:
        """End the connection; it comes back when it is needed."""
        with self._changed:
            self._drop()

    def abandon(self) -> None:
        """In a forked process: begin anew. Connection and lock are the parent's."""
        if self._client is not None:
            self._client.abandon()
            _of_parents.append((self._client, self._free, self._busy))
        self._begin()

    def __del__(self) -> None:
        if hasattr(self, "_client"):
            self._drop()

    def _waited_for(self) -> Session:
        """Return a channel for the calling thread alone."""
        asked_at = time.monotonic()
        with self._changed:
            try:
                while (session := self._taken(asked_at)) is None:
                    self._changed.wait()
            except BaseException:
                self._changed.notify_all()  # it was this one's turn: now it is that of another
                raise
            self._busy.add(session)
            return session

    def _return(self, session: Session) -> None:
        try:
            with suppress(LostError):
                session.flush()  # so that what was closed is closed there too
        finally:
            with self._changed:
                self._give_back(session)
                self._changed.notify_all()  # if it was lost, one channel is not all there is

    def _taken(self, asked_at: float) -> Session | None:
        """Return a free channel, or a new one; None if there are as many as there may be."""
        if self._client is not None and self._client.is_lost:
            self._drop()
        if self._client is None:
            if self._failure is not None and self._failed_at > asked_at:
                raise type(self._failure)(*self._failure.args)
            try:
                return self._connected()
            except (LostError, AccessDenied) as error:
                # Anew: the frames in the traceback of this one would keep the connection alive.
                self._failed_at, self._failure = time.monotonic(), type(error)(*error.args)
                raise
        if self._free:
            return self._free.pop()
        if len(self._busy) >= self._client.sessions_max:
            return None
        try:
            return self._client.open_session()
        except SilentError as error:
            self._drop()  # its other channels are as silent
            self._failed_at, self._failure = time.monotonic(), SilentError(*error.args)
            raise
        except LostError:
            if self._busy and not self._client.is_lost:
                self._client.sessions_max = len(self._busy)  # this server allows fewer
            else:
                self._drop()
        return self._taken(asked_at)

    def _give_back(self, session: Session) -> None:
        if session not in self._busy:
            session.close()  # the connection was dropped meanwhile
            return
        self._busy.remove(session)
        if session.error is None:
            self._free.append(session)
        elif isinstance(session.error, SilentError):
            self._drop()  # its other channels are as silent

    def _connected(self) -> Session:
        """Connect: patiently if there was a connection; a little, as a busy server needs it."""
        make = Client if self._options.command is None else Program
        was_there, self._was_there = self._was_there, False
        give_up = time.monotonic() + (RECONNECT_S if was_there else BUSY_S)
        backoff = Backoff(first_s=FIRST_PAUSE_S, longest_s=1.0)
        while True:
            client: Client | Program | None = None
            try:
                client = make(self._options)
                session = client.open_session()
            except BaseException as error:
                if client is not None:
                    client.close()
                is_in_vain = isinstance(error, NobodyError) and not was_there
                is_lost = isinstance(error, LostError) and not isinstance(error, SilentError)
                if not is_lost or is_in_vain or time.monotonic() > give_up:
                    raise
            else:
                self._client, self._was_there = client, True
                return session
            # Of many that connect at once, OpenSSH drops some: each waits for another while.
            backoff.pause()

    def _drop(self) -> None:
        client, self._client = self._client, None
        free, self._free, self._busy = self._free, [], set()
        if client is not None:
            client.close()  # first, so that its channels need not say goodbye over a silent line
        for session in free:
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
