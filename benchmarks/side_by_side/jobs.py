"""What a worker is asked to do, and what it answers; shared by all peers."""

import gc
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from simulation import RUN_START_NS, Rows, blocks, endtimes, rows_a_block

RUN_ID = "run_0"
WARM_UP_ROWS = 2000
# So that chunks are merged and split; of less than 32 kB, our codec would load no kernels.
WARM_UP_CHUNK_MB = 0.1
TWO_COLUMNS = ("time", "area")
PART_OF_TIME = 0.01


@dataclass(frozen=True, kw_only=True)
class Task:
    """The arguments of a job."""

    data: str = "peak_basics"
    """The data type."""
    place: str = ""
    """The folder where data are stored, or are to be stored."""
    arrays: str = ""
    """The folder of the simulated arrays."""
    compressor: str | None = None
    """None: the peer's default."""
    fsync: bool = False
    number: int = 0
    """Of chunks, pieces, rows or runs, as the job says."""
    keep: bool = False
    """Whether what is saved stays."""
    rows: int = 0
    """Of a small piece or chunk."""
    keep_chunks: bool = False
    """Whether chunks are stored as they come, however small."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was measured."""

    seconds: float
    cpu_seconds: float = 0
    """Of all threads; says more than `seconds` where the machine does other work, too."""
    result_bytes: int = 0
    """Size of the rows saved or loaded."""
    stored_bytes: int = 0
    """Size of all files in the place after it."""
    written_bytes: int = 0
    """What went through write calls."""
    peak_bytes: int = 0
    """Greatest resident memory during the job, less that before it."""
    check: str = ""
    """Says what came out: equal for all peers."""


@dataclass(frozen=True)
class Elsewhere:
    """What another process needed."""

    seconds: float
    cpu_seconds: float


Work = Callable[[], Any]
Job = Callable[[Task], Work]
"""Prepares (imports, compiles, reads arrays) and returns what is to be timed."""


class Source:
    """Blocks of rows in memory, as a digitiser's buffers are, without any work to make them."""

    def __init__(self, rows: Rows, n_a_block: int) -> None:
        self.pieces = list(blocks(rows, n_a_block))
        self.nbytes = rows.nbytes

    def __iter__(self) -> Iterator[tuple[int, int, Rows]]:
        return iter(self.pieces)

    def __len__(self) -> int:
        return len(self.pieces)


def source_of(task: Task) -> Source:
    """Return the simulated rows of a data type in blocks of about 20 MB; or of `number` chunks."""
    rows = np.load(Path(task.arrays) / f"{task.data}.npy")
    if task.keep_chunks:
        return Source(rows[: task.number * task.rows], task.rows)
    return Source(rows, rows_a_block(task.data))


def small_source(task: Task, n: int) -> Source:
    """Return the first rows as one block."""
    rows = np.load(Path(task.arrays) / f"{task.data}.npy", mmap_mode="r")[:n]
    return Source(np.array(rows), n)


def warm_up_source(task: Task) -> tuple[Source, tuple[int, int]]:
    """Return few rows, if there are enough in two blocks, and a time range that cuts into both."""
    rows = np.load(Path(task.arrays) / f"{task.data}.npy", mmap_mode="r")
    n, second = WARM_UP_ROWS, rows_a_block(task.data)
    few = np.concatenate([rows[:n], rows[second : second + n]])
    quarter = len(few) // 4
    return Source(few, n), (int(few["time"][quarter]), int(few["time"][-quarter]))


def part_of_time(task: Task) -> tuple[int, int]:
    """Return 1 % of the time of a run, in its middle."""
    rows = np.load(Path(task.arrays) / f"{task.data}.npy", mmap_mode="r")
    end = int(endtimes(rows[-1000:]).max())
    duration = end - RUN_START_NS
    begin = RUN_START_NS + duration // 2
    return begin, begin + int(duration * PART_OF_TIME)


def summary(rows: Any) -> str:
    """Return a text that is equal only for equal rows, as good as certainly."""
    names = rows.dtype.names
    sums = [float(np.sum(rows[name][:: max(1, len(rows) // 997)], dtype=float)) for name in names]
    return f"{len(rows)} rows, sums {sums}"


def measure(work: Work, task: Task) -> Answer:
    """Do the work once, and measure it; then remove what was saved, unless it is kept."""
    place = Path(task.place) if task.place else None
    read_all(place)  # the page cache is warm
    os.sync()  # and nothing older waits to be written
    gc.collect()
    before = reset_peak()
    written = written_bytes()
    cpu, began = time.process_time(), time.perf_counter()
    result = work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    written = written_bytes() - written
    peak = memory_bytes("VmHWM") - before
    check, result_bytes = "", 0
    if isinstance(result, np.ndarray):
        check, result_bytes = summary(result), result.nbytes
    elif isinstance(result, int):
        result_bytes = result
    elif isinstance(result, str):
        check = result
    elif isinstance(result, Elsewhere):
        seconds, cpu = result.seconds, result.cpu_seconds
    stored = stored_bytes(place)
    if place is not None and not task.keep and place.name.startswith("scratch"):
        shutil.rmtree(place, ignore_errors=True)
    return Answer(
        seconds=seconds,
        cpu_seconds=cpu,
        result_bytes=result_bytes,
        stored_bytes=stored,
        written_bytes=written,
        peak_bytes=peak,
        check=check,
    )


def read_all(place: Path | None) -> None:
    """Read each file once; not of places with ten thousands of files."""
    files = [] if place is None or place.name.startswith("many") else place.rglob("*")
    for path in files:
        if path.is_file():
            path.read_bytes()


def stored_bytes(place: Path | None) -> int:
    """Return the size of all files."""
    if place is None or place.name.startswith("many"):
        return 0
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def reset_peak() -> int:
    """Forget the greatest resident memory so far; return the present one."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return memory_bytes("VmRSS")


def memory_bytes(field: str) -> int:
    """Return a line of this process's memory, as Linux tells it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"this system does not tell {field}")


def written_bytes() -> int:
    """Return how many bytes this process passed to write calls, its own output included."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("wchar:")))


def as_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON keeps it."""
    return asdict(answer)
