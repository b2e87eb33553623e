"""Logs in to a machine, by paramiko or by the program ssh; raises our errors."""

import logging
import os
import shlex
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import ceil
from typing import Any

import paramiko
from paramiko.ssh_exception import BadHostKeyException, PasswordRequiredException

from strax_core import AccessDenied
from strax_ssh.connection.sockets import PatientSocket, ProgramSocket
from strax_ssh.connection.ssh_config import PORT, Host
from strax_ssh.options import SshOptions
from strax_ssh.sftp import LostError, NobodyError, Session, SilentError, fast

LOG_NAME = "strax_ssh.transport"
CHANNEL_WINDOW_BYTES = 32 << 20
CHANNEL_PACKET_BYTES = 128 << 10
KEEPALIVE_S = 30
SAID_BYTES = 2000
NOBODY = ("connection refused", "could not resolve", "no route to host", "network is unreachable")


class Client:
    """A connection by paramiko, logged in."""

    sessions_max = 4  # below the 10 that OpenSSH allows

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._host = host = Host.of(options)
        self._turn = threading.Lock()
        self.how = ""
        """Whom it reached and how it was let in, for people."""
        logger = logging.getLogger(LOG_NAME)
        if not logger.handlers:
            # Else paramiko's errors, which ours tell too, go to stderr where nobody set up logging.
            logger.addHandler(logging.NullHandler())
        sock = self._sock = _connected(host, options)
        client = paramiko.SSHClient()
        client.set_log_channel(LOG_NAME)
        try:
            with _connect_errors(host, options.connect_timeout_s, client):
                _apart(partial(self._log_in, client, sock))
        except BaseException as error:
            client.close()
            sock.close()
            if error.__cause__ is not None:  # paramiko's, which a frame of its traceback holds
                traceback.clear_frames(error.__cause__.__traceback__)
            raise
        self._client = client

    def _log_in(self, client: paramiko.SSHClient, sock: PatientSocket) -> None:
        host, options = self._host, self._options
        for path in host.known_hosts:
            if os.path.isfile(path):
                client.load_system_host_keys(path)
        client.set_missing_host_key_policy(_Refuse())
        client.connect(
            # With a socket given, these are the name under which the host key is looked up.
            host.key_name,
            PORT,
            sock=sock,
            username=host.user,
            key_filename=[path for path in host.key_files if os.path.isfile(path)],
            look_for_keys=not host.key_files,
            allow_agent=host.uses_agent,
            password=options.password.reveal() if options.password else None,
            passphrase=options.passphrase.reveal() if options.passphrase else None,
            transport_factory=_transport,
            timeout=options.connect_timeout_s,
            banner_timeout=options.connect_timeout_s,
            auth_timeout=options.connect_timeout_s,
            channel_timeout=options.connect_timeout_s,
        )
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(KEEPALIVE_S)
            method = getattr(transport.auth_handler, "auth_method", "its own way")
            self.how = (
                f"{host.user}@{host.name}:{host.port} let us in by {method}; its host key "
                f"{transport.get_remote_server_key().fingerprint} is known; "
                f"{transport.remote_cipher}"
            )

    @property
    def is_lost(self) -> bool:
        """True if the connection has ended."""
        transport = self._client.get_transport()
        return transport is None or not transport.is_active()

    def open_session(self) -> Session:
        """Open one more channel.

        Raises:
            LostError: the connection has ended, or the server allows no more channels.
            SilentError: it does not answer.
        """
        transport = self._client.get_transport()
        timeout_s = self._options.connect_timeout_s
        if transport is None:
            raise LostError("the connection was closed")
        try:
            channel = transport.open_session(
                window_size=CHANNEL_WINDOW_BYTES,
                max_packet_size=CHANNEL_PACKET_BYTES,
                timeout=timeout_s,
            )
            channel.settimeout(timeout_s)
            stream = fast(channel)
            with _ended_after(channel, timeout_s):
                channel.invoke_subsystem("sftp")
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise LostError(
                f"the server opens no channel for SFTP ({error}): "
                "is its subsystem sftp switched on?"
            ) from error
        return Session(stream, timeout_s=self._options.io_timeout_s, turn=self._turn)

    def close(self) -> None:
        """End the connection."""
        with suppress(OSError, EOFError):  # to say goodbye over a broken line fails
            self._client.close()
        self._sock.close()

    def abandon(self) -> None:
        """In a forked process: let go of it without a word; it belongs to the parent."""
        # Not by paramiko's `atfork`, which may wait for a lock that a thread of the parent held.
        if isinstance(self._sock, ProgramSocket):
            self._sock.abandon()
        else:
            self._sock.close()


class Program:
    """A connection by the program ssh, which logs in as it does in a terminal."""

    sessions_max = 1  # each is a connection of its own, for which somebody may have to type

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._sock: ProgramSocket | None = None
        self.how = f"the program {options.command} was let in"

    @property
    def is_lost(self) -> bool:
        """True if the program has ended."""
        return self._sock is not None and self._sock.has_ended

    def open_session(self) -> Session:
        """Start the program.

        Raises:
            LostError: it ended, or does not speak SFTP.
            AccessDenied: it was not let in.
        """
        self.close()
        with tempfile.TemporaryFile() as said:
            sock = self._sock = ProgramSocket.start(_words(self._options), said)
            try:
                return Session(sock, timeout_s=self._options.io_timeout_s)
            except LostError as error:
                self.close()
                said.seek(0)
                told = " ".join(said.read(SAID_BYTES).decode(errors="replace").split())
                _raise_as_told(told, self._options)
                nobody = any(words in told.lower() for words in NOBODY)
                raise (NobodyError if nobody else type(error))(
                    f"{error}; {self._options.command} says: {told}"
                ) from error

    def close(self) -> None:
        """End the program."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def abandon(self) -> None:
        """In a forked process: let go of it; it belongs to the parent."""
        if self._sock is not None:
            self._sock.abandon()


class _Refuse(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # paramiko has no types
    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        raise UnknownHostKeyError(key)


class UnknownHostKeyError(Exception):
    """A server whose key stands in no file of known hosts."""

    def __init__(self, key: paramiko.PKey) -> None:
        super().__init__(f"{key.get_name()} {key.fingerprint}")


def _apart(action: Callable[[], None]) -> None:
    """Do something in a thread of its own, and wait for it.

    If a key was of no use and something else let us in, paramiko leaves that error in a frame that
    its traceback holds: both stay until the garbage collector comes, and with them all frames that
    called, and what these use. In a thread of its own none of ours called.
    """
    failures: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=act, name="strax_ssh login", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures.pop()


@contextmanager
def _ended_after(channel: paramiko.Channel, timeout_s: float) -> Iterator[None]:
    """End a channel if the block takes longer: paramiko waits there without an end.

    Raises:
        SilentError: it took longer.
    """
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        with suppress(paramiko.SSHException, OSError, EOFError):  # it may have ended just now
            channel.close()

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except paramiko.SSHException as error:
        if not is_late.is_set():
            raise
        text = f"the server was silent for {timeout_s:g} s when SFTP was asked for"
        raise SilentError(text) from error
    finally:
        timer.cancel()


def _connected(host: Host, options: SshOptions) -> PatientSocket:
    if host.proxy_command is not None:
        return ProgramSocket.start(["/bin/sh", "-c", f"exec {host.proxy_command}"])
    try:
        sock = PatientSocket.to((host.name, host.port), options.connect_timeout_s)
    except OSError as error:
        kind = SilentError if isinstance(error, TimeoutError) else NobodyError
        raise kind(_unreachable_text(host, error)) from error
    sock.patience_s = options.io_timeout_s
    return sock


def _transport(sock: Any, **options: Any) -> paramiko.Transport:
    transport = paramiko.Transport(sock, **options)
    security = transport.get_security_options()
    # Twice as fast as the others here; paramiko would offer them last.
    security.ciphers = sorted(security.ciphers, key=lambda name: "gcm" not in name)
    return transport


@contextmanager
def _connect_errors(host: Host, timeout_s: float, client: paramiko.SSHClient) -> Iterator[None]:
    """Raise our errors for those of paramiko while it connects.

    Raises:
        AccessDenied: with the way out; trying again would not help.
        LostError: anything else.
    """
    began = time.monotonic()
    who = f"{host.user}@{host.name}:{host.port}"
    file = host.known_hosts[0]
    try:
        yield
    except BadHostKeyException as error:
        raise AccessDenied(
            f"{who} has another host key than the one in {file}: it may be another machine. "
            "If its key was changed on purpose, and whoever runs it confirms the new one: "
            f"ssh-keygen -R '{host.key_name}' -f {file}, then {host.scan_command}"
        ) from error
    except UnknownHostKeyError as error:
        raise AccessDenied(
            f"the host key of {who} is not known: {error}. If that is its key: {host.scan_command}"
        ) from error
    except PasswordRequiredException as error:
        raise AccessDenied(
            f"{who}: the private key needs a passphrase: load it with ssh-add, or give "
            '`passphrase = { env = "NAME" }`'
        ) from error
    except paramiko.AuthenticationException as error:
        transport = client.get_transport()
        is_silent = "timeout" in str(error)
        if is_silent or transport is None or not transport.is_active():
            # Not refused: paramiko says the same when the line is cut. Or the server has ended it.
            text = f"{error}; if you have many keys, `key_file` tells which one to offer"
            raise _unreachable(host, text, is_silent=is_silent) from error
        raise AccessDenied(
            f"{who} does not let you in ({error}): does "
            f"`ssh -p {host.port} {host.user}@{host.name}` "
            'work? Give `user`, `key_file`, or, for a site with two factors, `command = "ssh"`'
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        # For some of the times that run out, paramiko has words that do not tell; and it rounds.
        is_late = time.monotonic() - began >= 0.8 * timeout_s
        is_silent = is_late or isinstance(error, TimeoutError)
        raise _unreachable(host, error, is_silent=is_silent) from error


def _unreachable(host: Host, why: Exception | str, *, is_silent: bool) -> LostError:
    return (SilentError if is_silent else LostError)(_unreachable_text(host, why))


def _unreachable_text(host: Host, why: Exception | str) -> str:
    return f"{host.name}:{host.port} cannot be reached ({str(why) or type(why).__name__})"


def _words(options: SshOptions) -> list[str]:
    """Return the command line of the program ssh; ~/.ssh/config says what is not given."""
    words = shlex.split(str(options.command))
    words += ["-oStrictHostKeyChecking=yes", f"-oConnectTimeout={ceil(options.connect_timeout_s)}"]
    words += ["-oServerAliveInterval=15", "-oClearAllForwardings=yes", "-x", "-a", "-T"]
    given = {
        "User": options.user,
        "Port": options.port,
        "IdentityFile": options.key_file,
        "UserKnownHostsFile": options.known_hosts,
    }
    words += [f"-o{name}={value}" for name, value in given.items() if value is not None]
    return [*words, "-s", "--", options.host, "sftp"]


def _raise_as_told(told: str, options: SshOptions) -> None:
    """Raise AccessDenied if the program says that it was not let in."""
    denied = ("host key verification failed", "permission denied", "too many authentication")
    if any(words in told.lower() for words in denied):
        raise AccessDenied(f"{options.place}: {options.command} says: {told}")
