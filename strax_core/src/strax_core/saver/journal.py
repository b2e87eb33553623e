"""A writer's ticket: who writes what, its heartbeat, and the receipts so far.

The ticket is a file in the writer's own staging folder; beside it lie journal segments, each with
the chunk infos since the last. The newest of these files is the last beat. A writer that was silent
for half
the grace time is fenced for good, so that whoever cleans after the whole grace time hurts nobody.
"""

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from strax_core.concurrency import DelayedCalls
from strax_core.errors import DataCorrupted, ObjectMissing, StorageUnavailable
from strax_core.format import ChunkInfo, Staging
from strax_core.medium import Medium

SEGMENT_INTERVAL_S = 1.0
"""Segments are written at most this often, so n chunks cost O(n) bytes and few files."""

_LOG = logging.getLogger("strax_core")

_BEATS = DelayedCalls(delay_s=SEGMENT_INTERVAL_S)
"""Many a writing is over before its first beat: a thread is started for those that last."""


class Journal:
    """The ticket of one writing; a copy in another process only adds receipts."""

    def __init__(self, medium: Medium, staging: Staging, *, grace_time_s: float) -> None:
        self._medium = medium
        self._staging = staging
        self._grace_time_s = grace_time_s
        self._as_owner()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "_medium": self._medium,
            "_staging": self._staging,
            "_grace_time_s": self._grace_time_s,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._as_owner()
        self._owner_pid = -1

    def _as_owner(self) -> None:
        self._owner_pid = os.getpid()
        self._begin()

    def _mind_fork(self) -> None:
        if self._pid != os.getpid():
            self._begin()  # after a fork: a new writer id and a fresh lock

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._writer = secrets.token_hex(4)
        self._segments = 0
        self._pending: list[ChunkInfo] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_beat: tuple[float, ...] | None = None

    @property
    def is_owner(self) -> bool:
        """True if this process opened the ticket, and is neither a fork nor a pickled copy."""
        return self._owner_pid == os.getpid()

    @property
    def is_fenced(self) -> bool:
        """True if this writer was silent for so long that it may never go on."""
        return self._silence_s() > self._grace_time_s / 2

    def open(self, ticket: Mapping[str, Any]) -> None:
        """Write the ticket and start to beat."""
        self._beat(self._staging.ticket, ticket)
        if self._tick_s < _BEATS.delay_s:
            self._start_beating()
        else:
            _BEATS.schedule(self._start_beating)

    def record(self, info: ChunkInfo) -> None:
        """Note a receipt: soon in the owner, before this returns in any other process."""
        self._mind_fork()
        with self._lock:
            self._pending.append(info)
        if not self.is_owner:
            self._write_segment()

    def resume(self) -> None:
        """In a copy that was silent for a while: begin anew, if the owner's ticket is still there.

        Raises:
            StorageUnavailable: the writing has ended.
        """
        self._mind_fork()
        is_due = self._last_beat is None or self._silence_s() > self._grace_time_s / 4
        if is_due and not self.is_owner:
            self._check_ticket()

    def check_alive(self) -> None:
        """Raise if this writer was silent too long: its files may be gone, or someone else's.

        Raises:
            StorageUnavailable: fenced, for good.
        """
        self._mind_fork()
        if not self.is_owner and self._last_beat is None:
            self._check_ticket()
        if self.is_fenced:
            raise StorageUnavailable(
                f"{self._medium.place}: this writer of {self._staging.backend_key} was silent for "
                f"more than half of the grace time of {self._grace_time_s:g} s and may not go on; "
                "make the data again"
            )

    def close(self) -> None:
        """Stop beating; the ticket stays until someone deletes its folder."""
        self._stop.set()
        if self.is_owner:
            _BEATS.cancel(self._start_beating)
            if self._thread is not None:
                self._thread.join()
                self._thread = None

    def receipts_of_others(self) -> Iterator[ChunkInfo]:
        """Read what other processes noted."""
        for entry in self._medium.list(self._staging.folder, starts_with="journal-"):
            if entry.is_folder or entry.name.startswith(f"journal-{self._writer}-"):
                continue
            path = f"{self._staging.folder}/{entry.name}"
            where = f"{self._medium.place}/{path}"
            try:
                infos = json.loads(self._medium.read(path))["chunks"]
            except (ValueError, TypeError, KeyError) as error:
                raise DataCorrupted(f"{where}: not a journal segment") from error
            for info in infos:
                yield ChunkInfo.from_json(info, place=where)

    def _silence_s(self) -> float:
        if self._last_beat is None:
            return 0.0
        return max(now - then for now, then in zip(_clocks(), self._last_beat, strict=True))

    def _check_ticket(self) -> None:
        now = _clocks()
        try:
            self._medium.read(self._staging.ticket)
        except ObjectMissing as error:
            raise StorageUnavailable(
                f"{self._medium.place}: the writing {self._staging.write_id} of "
                f"{self._staging.backend_key} has ended; its other processes may not go on"
            ) from error
        self._last_beat = now

    @property
    def _tick_s(self) -> float:
        return min(SEGMENT_INTERVAL_S, self._grace_time_s / 8)

    def _start_beating(self) -> None:
        self._thread = threading.Thread(
            target=self._keep_beating, name=f"strax-beat-{self._staging.write_id}", daemon=True
        )
        self._thread.start()

    def _keep_beating(self) -> None:
        tick_s = self._tick_s
        while not self._stop.is_set():
            if self._pending or self._silence_s() > self._grace_time_s / 4 - tick_s:
                try:
                    self.check_alive()
                    self._write_segment()
                except Exception as error:  # noqa: BLE001 - this thread must not end silently
                    # Not lost: the receipts wait for the next beat, and silence fences this writer.
                    _LOG.warning("%s: a heartbeat failed: %s", self._medium.place, error)
            self._stop.wait(tick_s)

    def _write_segment(self) -> None:
        with self._lock:
            infos, self._pending = self._pending, []
            number, self._segments = self._segments, self._segments + 1
        segment = {"chunks": [info.as_json() for info in infos]}
        try:
            self._beat(self._staging.journal(self._writer, number), segment)
        except BaseException:
            with self._lock:
                self._pending = infos + self._pending
            raise

    def _beat(self, path: str, document: Mapping[str, Any]) -> None:
        # The time before the request: by the place's clock the file is never older than we think.
        now = _clocks()
        self._medium.write(path, [json.dumps(document).encode()])
        self._last_beat = now


def _clocks() -> tuple[float, ...]:
    """Clocks of which the one that goes fastest tells how long a writer was silent.

    Linux has one that also counts the time a machine is suspended, and cannot be set. Elsewhere:
    one that may stand still, and one that may be set.
    """
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is not None:
        return (time.clock_gettime(boottime),)
    return time.monotonic(), time.time()
