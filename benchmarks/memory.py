"""How much memory a long run needs: records through `make` to peaks, and back by `get_iter`."""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from strax_core import Chunk, Context, Option, Plugin, takes_config

RUN_ID = "run_0"
SAMPLES = 100
LIMIT_GB = 1.5
SAMPLE_S = 0.005
ROW_NS = 10 * SAMPLES
RECORDS = np.dtype(
    [
        ("time", "<i8"),
        ("length", "<i4"),
        ("dt", "<i2"),
        ("channel", "<i2"),
        ("data", "<i2", (SAMPLES,)),
    ]
)
PEAKS = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("area", "<f4"), ("channel", "<i2")])


@takes_config(
    Option("size_gb", default=4.0, help="how many GB of records"),
    Option("chunk_mb", default=50.0, help="how many MB of them come at once"),
)
class Records(Plugin):
    """A simulated digitiser: noise, a pulse, a gap after each row."""

    provides = "records"
    dtype = RECORDS

    def chunks(self) -> Iterator[Chunk]:
        """Simulate one chunk after the other; each is made anew, as a reader's buffers are."""
        rows_a_chunk = int(self.config["chunk_mb"] * 1e6 / RECORDS.itemsize)
        n_chunks = max(1, round(self.config["size_gb"] * 1e3 / self.config["chunk_mb"]))
        step_ns = ROW_NS + 2000
        randomness = np.random.default_rng(7)
        noise = randomness.normal(0, 4, (4096, SAMPLES)).astype("<i2")
        noise[:, 30:50] += (500 * np.exp(-np.arange(20) / 6)).astype("<i2")
        for chunk_i in range(n_chunks):
            start = chunk_i * rows_a_chunk * step_ns
            rows = np.zeros(rows_a_chunk, RECORDS)
            rows["time"] = start + 1000 + np.arange(rows_a_chunk) * step_ns
            rows["length"], rows["dt"] = SAMPLES, 10
            rows["channel"] = np.arange(rows_a_chunk) % 500
            for at in range(0, rows_a_chunk, len(noise)):
                part = rows["data"][at : at + len(noise)]
                part[:] = noise[: len(part)]
                part += randomness.integers(-3, 3, (len(part), 1), dtype="<i2")
            yield self.chunk(start=start, end=start + rows_a_chunk * step_ns, data=rows)


class Peaks(Plugin):
    """One row a pulse."""

    provides = "peaks"
    depends_on = "records"
    dtype = PEAKS

    def compute(self, records: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Sum up each waveform."""
        peaks = np.zeros(len(records), PEAKS)
        peaks["time"] = records["time"]
        peaks["endtime"] = records["time"] + records["dt"] * records["length"].astype("<i8")
        peaks["area"] = records["data"].sum(axis=1)
        peaks["channel"] = records["channel"]
        return peaks


class PeakMemory:
    """Samples the resident memory of this process and all below it while a block runs."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, resident_bytes("self"))


def resident_bytes(process: str) -> int:
    """Return the resident memory of a process and of its children."""
    folder = Path("/proc", process)
    try:
        lines = (folder / "status").read_text().splitlines()
        sizes_kb = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
        children = [
            child
            for listed in folder.glob("task/*/children")
            for child in listed.read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended meanwhile
    return sum(sizes_kb) * 1024 + sum(resident_bytes(child) for child in children)


def measured(name: str, work: Callable[[], int]) -> float:
    """Do the work, print its line of the table, and return its peak in GB."""
    began = time.monotonic()
    with PeakMemory() as memory:
        n_bytes = work()
    seconds = time.monotonic() - began
    peak_gb = memory.peak_bytes / 1e9
    print(
        f"{name:<28} {peak_gb:8.2f} GB {n_bytes / 1e9:8.2f} GB {seconds:8.1f} s "
        f"{n_bytes / 1e6 / seconds:8.0f} MB/s",
        flush=True,
    )
    return peak_gb


def main() -> None:
    """Make, load, and say whether the memory stayed below the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-gb", type=float, default=4.0)
    parser.add_argument("--chunk-mb", type=float, default=50.0)
    parser.add_argument("--folder", type=Path, help="where to work; left out: a temporary folder")
    arguments = parser.parse_args()
    config = {"size_gb": arguments.size_gb, "chunk_mb": arguments.chunk_mb}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        context = Context(folder, [Records, Peaks], config)

        def make() -> int:
            context.make(RUN_ID, "peaks")
            return sum(info.nbytes for info in context.get_metadata(RUN_ID, "records").chunks)

        def load(data_type: str) -> int:
            return sum(chunk.nbytes for chunk in context.get_iter(RUN_ID, data_type))

        print(f"{'':<28} {'peak':>11} {'rows':>11} {'time':>10} {'speed':>13}")
        peaks_gb = [
            measured("numba alone", warmed_up),
            measured("make records, peaks", make),
            measured("get_iter records", lambda: load("records")),
            measured("get_iter peaks", lambda: load("peaks")),
        ]
    print(f"limit {LIMIT_GB} GB: {'kept' if max(peaks_gb) < LIMIT_GB else 'EXCEEDED'}")
    raise SystemExit(max(peaks_gb) >= LIMIT_GB)


def warmed_up() -> int:
    """Import what is compiled, so that its share of the memory is known."""
    from strax_core.chunks import invariants

    return len(invariants.__name__)


if __name__ == "__main__":
    main()
