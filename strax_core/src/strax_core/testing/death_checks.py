"""The contract of sudden death: a writer killed at any call leaves whole data or none."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NoReturn

import pytest

from strax_core.backend import MemoryBackend, StorageBackend, clean
from strax_core.saver import Saver
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import (
    KEY,
    named_paths,
    sample_bytes,
    stored_bytes,
    whole_bytes,
)
from strax_core.testing.fault_checks import watched_save
from strax_core.testing.faults import Fault, FaultyBackend, kill
from strax_core.testing.race_checks import in_a_fork
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import sample_chunks, sample_metadata, save_sample

Dying = Callable[[StorageBackend, int], object]
KILLED = -signal.SIGKILL


class Death(BaseException):
    """A stand-in for a kill where a process cannot be killed: nothing works afterwards."""


class EndOfProcess(BaseException):
    """Ends the process it is made in, at once, as `kill -9` does."""

    def __init__(self, *_: object) -> None:
        end_process()


class DeadlySource(Sequence[bytes]):
    """Buffers of which the second ends the process."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return end_process() if index else b"first buffer"


def end_process() -> NoReturn:
    """End this process as `kill -9` does: nothing is flushed, released or tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def die_in_thought(backend: StorageBackend, call: int) -> None:
    """Begin to save, and stop at this call: whatever is called later is not done."""
    fault = Fault(call=call, error=Death, times=None)
    saver: Saver | None = None
    try:
        saver = _saver(FaultyBackend(backend, fault))
        saver.save_from(sample_chunks(KEY, mark=2))
    except Death:
        return
    finally:
        if saver is not None:
            kill(saver)
    raise AssertionError(f"a save has fewer than {call + 1} calls")


def die_saving(backend: StorageBackend, call: int) -> None:
    """Save in this process, which is killed at this call."""
    faulty = FaultyBackend(backend, Fault(call=call, error=EndOfProcess))
    _saver(faulty).save_from(sample_chunks(KEY, mark=2))


def warm_up() -> None:
    """Import what saving needs, once and not in each fork."""
    save_sample(MemoryBackend(), KEY)


def die_writing(backend: StorageBackend) -> None:
    """Write a file in this process, which is killed in the middle of it."""
    backend.write("folder/file", DeadlySource())


def _saver(backend: StorageBackend) -> Saver:
    return backend.saver(KEY.name, sample_metadata(KEY), overwrite="always")


def check_what_is_left(backend: StorageBackend, raw: RawAccess, *, replacing: bool) -> None:
    """Old or new data are there, or none if there were none; `clean` tidies up; then all goes."""
    whole = whole_bytes(backend)
    assert whole in {sample_bytes(1) if replacing else None, sample_bytes(2)}
    clean(backend, grace_s=0, dry_run=False)
    assert everything(raw) == (set() if whole is None else named_paths(raw))
    if whole is not None:
        assert stored_bytes(backend) == whole
    save_sample(backend, KEY, overwrite="always")
    assert stored_bytes(backend) == sample_bytes(1)
    backend.remove(KEY.name)
    assert everything(raw) == set()


class DeathChecks(BackendBase):
    """A writer dies at each call of a save, in thought and in earnest."""

    @pytest.mark.parametrize("replacing", [False, True])
    def test_a_writer_that_stops_at_any_call_leaves_whole_data_or_none(
        self, backend: StorageBackend, raw: RawAccess, *, replacing: bool
    ) -> None:
        self._die_everywhere(backend, raw, die_in_thought, replacing=replacing)

    def test_a_process_killed_at_any_call_leaves_whole_data_or_none(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if not self.pickles:
            return

        def die(backend: StorageBackend, call: int) -> None:
            assert pool.submit(in_a_fork, die_saving, backend, call).result() == KILLED

        # One that forks for each death: to start an interpreter for each would take minutes.
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn, initializer=warm_up) as pool:
            self._die_everywhere(backend, raw, die, replacing=False)

    def test_a_process_killed_in_the_middle_of_a_write_leaves_the_old_file(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if not self.pickles:
            return
        raw.write("folder/file", b"old")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            assert pool.submit(in_a_fork, die_writing, backend).result() == KILLED

        assert backend.read("folder/file") == b"old"
        assert {entry.name for entry in backend.list("folder")} == {"file"}
        clean(backend, grace_s=0, dry_run=False)
        assert everything(raw) == {"folder/file"}

    def _die_everywhere(
        self,
        backend: StorageBackend,
        raw: RawAccess,
        die: Dying,
        *,
        replacing: bool,
    ) -> None:
        if replacing:
            save_sample(backend, KEY)
        n_calls = len(watched_save(backend, replacing=replacing))
        for call in range(n_calls):
            if replacing:
                save_sample(backend, KEY, overwrite="always")
            die(backend, call)
            check_what_is_left(backend, raw, replacing=replacing)
