"""Data plugins, and a backend, that other processes can import."""

import itertools
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from strax_core import Buffer, Chunk, DirectoryFrontend, Option, Plugin, Saver, StorageFull
from strax_core.loader import loader
from strax_core.processing import fused_task as lines
from strax_local import LocalBackend, LocalOptions

Rows = np.ndarray[Any, np.dtype[Any]]
N_CHUNKS, N_ROWS, CHUNK_NS, EMPTY_CHUNK, TROUBLE_CHUNK = 6, 2000, 1_000_000, 2, 3
TIMES = [("time", "<i8"), ("endtime", "<i8")]
RAW = np.dtype([*TIMES, ("adc", "<i4")])
VALUE = np.dtype([*TIMES, ("value", "<f8")])


def raw_rows(chunk_i: int) -> Rows:
    """Return what the instrument gives, the same every time; one chunk is empty."""
    random = np.random.default_rng(chunk_i)
    rows = np.zeros(0 if chunk_i == EMPTY_CHUNK else N_ROWS, RAW)
    rows["time"] = chunk_i * CHUNK_NS + np.sort(random.integers(0, CHUNK_NS - 100, len(rows)))
    rows["endtime"] = rows["time"] + random.integers(0, 100, len(rows))
    rows["adc"] = random.integers(-1000, 1000, len(rows))
    return rows


class Raw(Plugin):
    provides = "raw"
    dtype = RAW
    parallel: bool | str = "process"
    rechunk_on_save = False

    def is_ready(self, chunk_i: int) -> bool:
        return chunk_i < N_CHUNKS

    def source_finished(self) -> bool:
        return True

    def compute(self, chunk_i: int) -> Chunk:
        start = chunk_i * CHUNK_NS
        return self.chunk(start=start, end=start + CHUNK_NS, data=raw_rows(chunk_i))


class Generated(Plugin):
    provides = "raw"
    dtype = RAW
    parallel = "process"
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for chunk_i in range(N_CHUNKS):
            start = chunk_i * CHUNK_NS
            yield self.chunk(start=start, end=start + CHUNK_NS, data=raw_rows(chunk_i))


class Derived(Plugin):
    """What the others have in common."""

    dtype: Any = VALUE
    parallel: bool | str = "process"
    rechunk_on_save = False

    def of(self, rows: Rows, values: Any) -> Rows:
        made = np.zeros(len(rows), VALUE)
        made["time"], made["endtime"], made["value"] = rows["time"], rows["endtime"], values
        return made


class Records(Derived):
    provides = "records"
    depends_on = "raw"

    def compute(self, raw: Rows) -> Rows:
        return self.of(raw, np.sqrt(np.abs(raw["adc"])))


class Peaks(Derived):
    provides = "peaks"
    depends_on = "records"
    data_kind = "peaks"

    def compute(self, raw: Rows) -> Rows:
        return self.of(raw, np.cumsum(raw["value"]))[::3]


class Rechunked(Records):
    provides = "records"
    rechunk_on_save = True


class Halves(Plugin):
    provides = ("low", "high")
    depends_on = "raw"
    data_kind = {"low": "low", "high": "high"}  # noqa: RUF012
    dtype = dict.fromkeys(provides, RAW)
    parallel = "process"
    rechunk_on_save = False

    def compute(self, raw: Rows) -> dict[str, Rows]:
        return {"low": raw[raw["adc"] < 0], "high": raw[raw["adc"] >= 0]}


class Here(Derived):
    provides = "here"
    depends_on = "records"
    parallel = False

    def compute(self, raw: Rows) -> Rows:
        return self.of(raw, raw["value"] + 1)


class Both(Derived):
    """From two inputs of two kinds."""

    provides = "both"
    depends_on = ("raw", "peaks")
    data_kind = "both"

    def compute(self, raw: Rows, peaks: Rows) -> Rows:
        return self.of(raw, raw["adc"] + np.sum(peaks["value"]))


class OfBoth(Derived):
    """Works here; from what is loaded, and from what is made elsewhere of the same."""

    provides = "of_both"
    depends_on = ("raw", "records")
    parallel = False

    def compute(self, raw: Rows) -> Rows:
        return self.of(raw, raw["adc"] + raw["value"])


class Coarse(Derived):
    """Cut otherwise than its input."""

    provides = "coarse"
    depends_on = "raw"
    data_kind = "coarse"
    parallel = False
    rechunk_on_save = True

    def compute(self, raw: Rows) -> Rows:
        return self.of(raw, raw["adc"])[::7]


class OfCoarse(Derived):
    provides = "of_coarse"
    depends_on = ("raw", "coarse")
    data_kind = "of_coarse"

    def compute(self, raw: Rows, coarse: Rows) -> Rows:
        return self.of(raw, raw["adc"] + np.sum(coarse["value"]))


class TwoPartError(ValueError):
    """An error that pickles, and cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class OwnError(ValueError):
    """An error of a user's own."""


def die(how: str) -> None:
    """End this process as a crash, or a lack of memory, does."""
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


class Troubled(Records):
    """Has the trouble that an option names, with one chunk; the option is no part of the key."""

    provides = "records"
    trouble = Option(default="", track=False)
    folder = Option(default="", track=False)

    def setup(self) -> None:
        kind, _, where = self.trouble.partition(" in ")
        if kind == "fail" and where == "setup":
            raise OwnError("no calibration")
        if kind == "kill" and where == "another process":
            self._write_slowly()
        if kind in ("exit", "kill") and where in FUNCTIONS:
            module, name = FUNCTIONS[where]
            calls = itertools.count()
            original = getattr(module, name)

            def last(*arguments: Any, **options: Any) -> Any:
                is_last = next(calls) >= 1
                if is_last and where != "the end":
                    die(kind)
                result = original(*arguments, **options)
                if is_last:
                    die(kind)
                return result

            setattr(module, name, last)

    def _write_slowly(self) -> None:
        """Have the chunk after the one in trouble written late, whatever asks this to end."""
        begun, save = Path(self.folder, "begun"), Saver.save_encoded

        def save_late(saver: Saver, encoded: Any, chunk_i: int, chunk: Chunk) -> Any:
            if chunk_i == TROUBLE_CHUNK + 1:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                begun.touch()
                threading.Event().wait(1)  # longer than the parent needs to hear of the death
            return save(saver, encoded, chunk_i, chunk)

        Saver.save_encoded = save_late  # type: ignore[method-assign]

    def compute(self, raw: Rows, chunk_i: int) -> Rows:
        rows = super().compute(raw)
        if chunk_i != TROUBLE_CHUNK:
            return rows
        self._fail()
        if self.trouble == "another dtype":
            return rows.astype(np.dtype([*TIMES, ("value", "<f4")]))
        return rows[::-1] if self.trouble == "unsorted" else rows

    def _fail(self) -> None:
        if self.trouble in ("exit in compute", "kill in compute"):
            die(self.trouble[:4])
        if self.trouble == "kill in another process":
            while not Path(self.folder, "begun").exists():
                threading.Event().wait(0.01)
            die("kill")
        if self.trouble == "raise":
            raise OwnError("no such gain")
        if self.trouble == "raise what does not travel":
            raise TwoPartError("this", "that")
        if self.trouble == "raise a lambda":
            raise OwnError(lambda: None)
        if self.trouble == "leave":
            raise SystemExit("leaving")
        if self.trouble == "wait":
            Path(self.folder, "reached").touch()
            threading.Event().wait()


class TroubledRaw(Raw):
    """A source whose process dies."""

    provides = "raw"

    def compute(self, chunk_i: int) -> Chunk:
        if chunk_i == TROUBLE_CHUNK:
            die("kill")
        return super().compute(chunk_i)


FUNCTIONS: dict[str, tuple[Any, str]] = {
    "read": (loader, "read_segment"),
    "encode": (lines, "encode_chunk"),
    "write": (os, "replace"),
    "the end": (lines, "_done"),
}


class FullAt(LocalBackend):
    """A disk that takes some chunks and no others, in whichever process."""

    def __init__(self, folder: Path, *, chunks: range) -> None:
        super().__init__(LocalOptions(path=str(folder), fsync=False))
        self.chunks = chunks

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        number = path.rsplit("/", 1)[-1].split("-")[2:3]
        if number and number[0].isdigit() and int(number[0]) in self.chunks:
            raise StorageFull(f"{self.place}: no space left") from OSError(28, "ENOSPC")
        super().write(path, buffers, create_only=create_only)


def full_at(folder: Path, *, chunks: range) -> DirectoryFrontend:
    """Return a place on that disk."""
    folder.mkdir(exist_ok=True)
    return DirectoryFrontend(FullAt(folder, chunks=chunks), name=folder.name)
