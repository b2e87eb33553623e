"""Writes the golden folder of the codec `columns`: once for each version of it, never again.

    PYTHONPATH=tests/upstream python tests/golden/make_columns.py NEW_FOLDER

Three pieces of data: fields of every filter, odd dtypes, and a small chunk, whose rows are stored
as they are. Segments and blocks are small, so that there are several of them.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from strax_core.chunks.chunk import Chunk
from strax_core.codecs.columns import ColumnsCodec
from strax_core.config.open import open_backend
from strax_core.testing.samples import sample_key, sample_metadata

Rows = np.ndarray[Any, np.dtype[Any]]
FILTERED = np.dtype(
    [
        ("time", "<i8"),
        ("endtime", "<i8"),
        ("area", "<f4"),
        ("channel", "<i2"),
        ("data", "<i2", (20,)),
        ("per_channel", "<f4", (12,)),
        ("down", ">i4"),
    ]
)
ODD = np.dtype(
    [
        (("when it begins", "time"), ">i8"),
        ("endtime", "<i8"),
        ("name", "<U3"),
        ("raw", "S3"),
        ("good", "?"),
        ("none", "<f4", (0,)),
        ("at", [("x", ">f4"), ("y", [("z", "<u2", (2,))])]),
        ("pairs", [("a", "i1"), ("b", "<i4")], (2,)),
        ("z", ">c16"),
        ("day", "<M8[D]"),
    ]
)


def filtered_rows(n: int) -> Rows:
    """Return rows that count up, repeat, and have many zeros; no random numbers."""
    k = np.arange(n)
    rows = np.zeros(n, FILTERED)
    rows["time"] = 10**18 + 1000 * k + k * k % 7
    rows["endtime"] = rows["time"] + 100 + k % 13
    rows["area"] = np.sqrt(k)
    rows["channel"] = 300 - k % 50
    wave = 16_000 + (k[:, None] * 7 + np.arange(20) * 3) % 11
    rows["data"] = np.where(np.arange(20) < 5 + k[:, None] % 16, wave, 0)
    rows["per_channel"] = np.where((k[:, None] + np.arange(12)) % 5 == 0, k[:, None] / 3, 0)
    rows["down"] = -(10**6) * (k % 3) - k
    return rows


def odd_rows(n: int) -> Rows:
    """Return rows of the odd dtype."""
    k = np.arange(n)
    rows = np.zeros(n, ODD)
    rows["time"] = 10 * k
    rows["endtime"] = 10 * k + 5
    rows["name"] = np.array(["", "é", "ab", "xyz"])[k % 4]
    rows["raw"] = np.array([b"", b"q", b"raw"])[k % 3]
    rows["good"] = k % 2 == 0
    rows["at"]["x"] = k / 8
    rows["at"]["y"]["z"] = k[:, None] % 1000 + [0, 60_000]
    rows["pairs"]["a"] = -(k[:, None] % 100)
    rows["pairs"]["b"] = k[:, None] * [1, -1]
    rows["z"] = k * (1 - 2j)
    rows["day"] = k.astype("M8[D]")
    return rows


PIECES = {
    "filtered": lambda: [filtered_rows(1500), filtered_rows(0), filtered_rows(400)],
    "odd": lambda: [odd_rows(700)],
    "small": lambda: [filtered_rows(5)],
}


def main(folder: Path) -> None:
    """Write all of them."""
    ColumnsCodec.segment_bytes, ColumnsCodec.block_bytes, ColumnsCodec.small_bytes = (
        60_000,
        20_000,
        1000,
    )
    folder.mkdir(parents=True)
    backend = open_backend({"backend": "local", "path": str(folder)})
    for data_type, make in PIECES.items():
        chunks = []
        start = 0
        for rows in make():
            rows["time"] += start
            rows["endtime"] += start
            end = int(rows["endtime"].max()) + 1 if len(rows) else start + 1
            chunks.append(Chunk(start, end, rows, "run_7", data_type))
            start = end
        key = sample_key("run_7", data_type)
        metadata = sample_metadata(key, dtype=chunks[0].dtype, compressor="columns")
        backend.saver(key.name, metadata).save_from(chunks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
