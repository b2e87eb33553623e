"""Hurts files of the codec columns, at random, and loads them: never may wrong rows come back.

    PYTHONPATH=tests python tests/damage.py [--n 10000] [--seed 0]

For each of the data sets of `golden/make_columns.py`, made larger: bytes of a chunk's file are
flipped, taken out, moved, repeated or added, files of two chunks are swapped, or an entry of the
metadata is changed. The load must end in `DataCorrupted` that names run, data type and chunk, and,
where a frame is hurt, field and block; or give the right rows. It may not allocate more than
`PEAK_BYTES`. Prints what happened; ends with 1 if anything else did.
"""

import argparse
import copy
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "golden"))
from make_columns import filtered_rows, odd_rows

from strax_core.chunks import Chunk
from strax_core.codecs.columns import ColumnsCodec
from strax_core.errors import ConfigError, DataCorrupted
from strax_core.loader import Loader
from strax_core.memory import MemoryBackend
from strax_core.metadata import Metadata
from strax_core.testing.samples import sample_key, sample_metadata

PEAK_BYTES = 30 << 20
Random = np.random.Generator
SETS: dict[str, tuple[Callable[[int], Any], int]] = {
    "filtered": (filtered_rows, 2000),
    "odd": (odd_rows, 2000),
    "small": (filtered_rows, 40),
}
SIZES = {"segment_bytes": 100_000, "block_bytes": 30_000, "small_bytes": 10_000}


class Victim:
    """Three chunks in memory, and the files and metadata as they were."""

    def __init__(self, name: str) -> None:
        make, n = SETS[name]
        self.place = MemoryBackend()
        self.key = sample_key("run_7", name).name
        chunks = []
        start = 0
        for _ in range(3):
            rows = make(n)
            rows["time"] += start - rows["time"][0]
            rows["endtime"] = rows["time"] + 10
            end = int(rows["endtime"].max()) + 1
            chunks.append(Chunk(start, end, rows, "run_7", name))
            start = end
        metadata = sample_metadata(
            sample_key("run_7", name), dtype=chunks[0].dtype, compressor="columns"
        )
        self.metadata = self.place.saver(self.key, metadata).save_from(chunks)
        self.files = {
            info.chunk_i: self.place.read(f"{self.key}/{info.filename}")
            for info in self.metadata.chunks
        }
        self.expected = self.place.loader(self.key).read_all().tobytes()

    def load(self, files: dict[int, bytes], document: dict[str, Any]) -> bytes:
        """Load all rows of these files."""
        place = MemoryBackend()
        for info in self.metadata.chunks:
            place.write(f"{self.key}/{info.filename}", [files[info.chunk_i]])
        metadata = Metadata(document, place=self.metadata.place)
        rows: bytes = Loader(place, self.key, metadata).read_all().tobytes()
        return rows


def flip(data: bytes, random: Random) -> bytes:
    hurt = bytearray(data)
    for _ in range(random.integers(1, 4)):
        hurt[random.integers(len(hurt))] ^= 1 << random.integers(8)
    return bytes(hurt)


def _stretch(data: bytes, random: Random) -> tuple[int, int]:
    first = int(random.integers(len(data)))
    return first, min(len(data), first + int(random.integers(1, 200)))


def cut(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:first] + data[end:]


def repeat(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:end] + data[first:]


def noise(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:first] + random.bytes(end - first) + data[end:]


def zero(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:first] + bytes(end - first) + data[end:]


def swap(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    other = int(random.integers(len(data)))
    hurt = bytearray(data)
    size = min(end - first, len(data) - other)
    hurt[first : first + size], hurt[other : other + size] = (
        data[other : other + size],
        data[first : first + size],
    )
    return bytes(hurt)


def truncate(data: bytes, random: Random) -> bytes:
    return data[: int(random.integers(len(data)))]


def add(data: bytes, random: Random) -> bytes:
    at = int(random.integers(len(data) + 1))
    return data[:at] + random.bytes(int(random.integers(1, 100))) + data[at:]


OF_BYTES = (flip, cut, repeat, noise, zero, swap, truncate, add)
VALUES: tuple[Any, ...] = (
    None,
    -1,
    0,
    1,
    7,
    10**6,
    2**31,
    2**63,
    2**70,
    0.5,
    "x",
    "",
    [],
    {},
    True,
)


def change_entry(document: dict[str, Any], chunk_i: int, random: Random) -> None:
    """Change a number or a text of a chunk's entry, what the codec noted above all."""
    entry = document["chunks"][chunk_i]
    value = VALUES[random.integers(len(VALUES))]
    segments = entry["codec"]["segments"]
    segment = segments[random.integers(len(segments))]
    ways: tuple[Callable[[], object], ...] = (
        lambda: segment.__setitem__(int(random.integers(4)), value),
        lambda: segments.__setitem__(0, value),
        segments.reverse,
        segments.pop,
        lambda: segments.append(segment),
        lambda: entry["codec"].__setitem__("version", value),
        lambda: entry["codec"].__setitem__("segments", value),
        lambda: entry.__setitem__("codec", value),
        lambda: entry.__setitem__("n", value),
        lambda: entry.__setitem__("filesize", value),
    )
    ways[random.integers(len(ways))]()


def outcome(victim: Victim, random: Random) -> tuple[str, str]:
    """Do one damage; what was done, and what came of it: ``WRONG …`` if that may not be."""
    files = dict(victim.files)
    document = copy.deepcopy(dict(victim.metadata))
    chunk_i = int(random.integers(3))
    way = int(random.integers(len(OF_BYTES) + 2))
    if way < len(OF_BYTES):
        done = OF_BYTES[way].__name__
        files[chunk_i] = OF_BYTES[way](files[chunk_i], random)
    elif way == len(OF_BYTES):
        done = "swap files"
        other = (chunk_i + 1) % 3
        files[chunk_i], files[other] = files[other], files[chunk_i]
    else:
        done = "change the entry"
        change_entry(document, chunk_i, random)
    tracemalloc.reset_peak()
    try:
        rows = victim.load(files, document)
    except DataCorrupted as error:
        came = _judged(str(error), done, victim.metadata.data_type)
    except ConfigError as error:  # a newer version of the codec
        is_right = done == "change the entry" and "newer strax-core" in str(error)
        came = "NewerFormat" if is_right else f"WRONG: {error!r}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        came = f"WRONG: {error!r}"
    else:
        came = "the right rows" if rows == victim.expected else "WRONG rows"
    if tracemalloc.get_traced_memory()[1] > PEAK_BYTES:
        came = "WRONG: much memory"
    return done, came


def _judged(text: str, done: str, data_type: str) -> str:
    """Say whether the message of an error names what it should."""
    if done == "change the entry":
        return "DataCorrupted"
    if f"run run_7, {data_type}, chunk " not in text:
        return f"WRONG: it does not say where: {text}"
    return f"DataCorrupted, names {'field and block' if ', block ' in text else 'chunk'}"


def damaged(name: str, n: int, seed: int) -> Counter[tuple[str, str]]:
    """Do many damages to a data set; how often each came to what."""
    for size, value in SIZES.items():
        setattr(ColumnsCodec, size, value)
    victim = Victim(name)
    random = np.random.default_rng(seed)
    tracemalloc.start()
    try:
        return Counter(outcome(victim, random) for _ in range(n))
    finally:
        tracemalloc.stop()


def main() -> int:
    """Do it for all; 1 if anything came to what it may not."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong = 0
    for name in SETS:
        for (done, came), times in sorted(damaged(name, arguments.n, arguments.seed).items()):
            print(f"{name:10} {done:18} {times:6} {came}")  # noqa: T201 - a script
            wrong += times * came.startswith("WRONG")
    print(f"{wrong} of {arguments.n * len(SETS)} came to what they may not")  # noqa: T201
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
