"""Checks of a machine by `strax doctor`, beside those of every place."""

import os
import time

from strax_core import STAGING, ConfigError, DataCorrupted, StorageBackend
from strax_ssh.sftp import Session

TRIAL_BYTES = 8 << 20
WANTED = {
    "posix-rename@openssh.com": "to replace a file in one step: here, only new data can be saved",
    "fsync@openssh.com": "to wait for the disk: after a power cut, data just saved may be gone",
    "statvfs@openssh.com": "to tell a full disk from other failures",
}


def distance_text(session: Session) -> str:
    """Say how far away the machine is."""
    return (
        f"an answer takes {session.round_trip_s * 1e3:.1f} ms, "
        f"requests of {session.read_bytes // 1024} KiB"
    )


def extensions_text(session: Session) -> str:
    """Say what the server offers beyond the bare protocol.

    Raises:
        ConfigError: something is missing; it says what that means.
    """
    missing = [f"{name} ({why})" for name, why in WANTED.items() if name not in session.extensions]
    if missing:
        raise ConfigError(f"the server does not offer {'; nor '.join(missing)}")
    return "the server offers all that is of use"


def speed_text(backend: StorageBackend) -> str:
    """Send some bytes there and back."""
    path, data = f"{STAGING}/speed-{os.urandom(8).hex()}", os.urandom(TRIAL_BYTES)
    began = time.perf_counter()
    try:
        backend.write(path, [data])
        written = time.perf_counter()
        if backend.read(path) != data:
            raise DataCorrupted("what was written came back changed")
        read = time.perf_counter()
    finally:
        backend.delete_files([path])
    rates = (TRIAL_BYTES / 1e6 / each for each in (written - began, read - written))
    return "{:.0f} MB/s to there, {:.0f} MB/s from there".format(*rates)
