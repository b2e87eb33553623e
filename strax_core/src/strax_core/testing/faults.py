"""A backend around a backend that fails when it is told to: full disks and lost answers at will."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from strax_core.backend import StorageBackend
from strax_core.errors import StorageError, StorageUnavailable
from strax_core.medium import Buffer, Entry
from strax_core.saver import Saver, SettlingSaver

Result = TypeVar("Result")


class Moment(Enum):
    """The moment at which a call fails."""

    BEFORE = "nothing was done"
    AFTER = "it was done, but the answer was lost"
    SHORT = "half of a write or a read was done, and success claimed"
    TORN = "half of a write was done, and an error raised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault: the call that goes wrong, and how."""

    call: int
    """The first call that fails, counted from 0."""
    moment: Moment = Moment.BEFORE
    error: type[BaseException] = StorageUnavailable
    times: int | None = 1
    """Number of calls in a row that fail; None: all from there on."""

    def hits(self, call: int) -> bool:
        """Say whether this call fails."""
        return call >= self.call and (self.times is None or call < self.call + self.times)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb; `path` is the target of a rename."""

    verb: str
    path: str


class FaultyBackend(StorageBackend):
    """The verbs of `backend`, counted, with one fault.

    - `calls` lists what was asked, in order. Journal segments pass by uncounted: they come by the
      clock, and counting them would make tests depend on it.
    - A saver that settles lost answers does so for `settle_time_s` only, without long pauses.
    """

    def __init__(
        self, backend: StorageBackend, fault: Fault | None = None, *, settle_time_s: float = 5.0
    ) -> None:
        self._backend = backend
        self._fault = fault
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self.saver_class = _quick(backend.saver_class, settle_time_s)  # type: ignore[misc]
        self.default_storage_type = backend.default_storage_type  # type: ignore[misc]

    @property
    def place(self) -> str:
        return self._backend.place

    @property
    def has_failed(self) -> bool:
        """True if there were enough calls for the fault to show."""
        return self._fault is not None and len(self.calls) > self._fault.call

    def read(self, path: str) -> bytes:
        def read_half() -> bytes:
            whole = self._backend.read(path)
            return whole[: len(whole) // 2]

        return self._do(Call("read", path), lambda: self._backend.read(path), short=read_half)

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> Sequence[bytes]:
        def read() -> Sequence[bytes]:
            return self._backend.read_ranges(path, ranges, file_bytes=file_bytes)

        def read_half() -> Sequence[bytes]:
            return [part[: len(part) // 2] for part in read()]

        return self._do(Call("read", path), read, short=read_half)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        def whole_list() -> Sequence[Entry]:
            return tuple(self._backend.list(folder, starts_with=starts_with))

        return iter(self._do(Call("list", folder), whole_list))

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        def write(stored: Sequence[Buffer] = buffers) -> None:
            self._backend.write(path, stored, create_only=create_only)

        if "/journal-" in path:
            write()
            return
        whole = b"".join(buffers)
        self._do(Call("write", path), write, short=lambda: write([whole[: len(whole) // 2]]))

    def delete(self, path: str) -> None:
        self._do(Call("delete", path), lambda: self._backend.delete(path))

    def rename(self, source: str, target: str) -> None:
        self._do(Call("rename", target), lambda: self._backend.rename(source, target))

    def _do(
        self, call: Call, action: Callable[[], Result], short: Callable[[], Result] | None = None
    ) -> Result:
        with self._lock:
            number = len(self.calls)
            self.calls.append(call)
        fault = self._fault
        if fault is None or not fault.hits(number):
            return action()
        if fault.moment is Moment.SHORT:
            return action() if short is None else short()
        if fault.moment is Moment.AFTER:
            _do_unheard(action)
        if fault.moment is Moment.TORN and short is not None:
            _do_unheard(short)
        raise fault.error(f"injected fault: call {number}, {call.verb} {call.path}")


def kill(saver: Saver) -> None:
    """End a writer as a killed process ends: its heart stops, and nothing is tidied up."""
    saver._journal.close()  # noqa: SLF001 - nobody else needs to do that


def _do_unheard(action: Callable[[], object]) -> None:
    """Do it, and lose the answer, be it good or bad."""
    try:
        action()
    except StorageError:
        return


def _quick(saver_class: type[Saver] | None, settle_time_s: float) -> type[Saver] | None:
    if saver_class is None or not issubclass(saver_class, SettlingSaver):
        return saver_class
    limits = {"settle_time_s": settle_time_s, "settle_pause_s": 0.001}
    return type(saver_class.__name__, (saver_class,), limits)
