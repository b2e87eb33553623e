"""Small pieces of data for checks: keys, rows of many dtypes, chunks."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from strax_core.backend import StorageBackend
from strax_core.chunks import Chunk
from strax_core.format import DataKey, Lineage, Metadata, dtype_text, packed

Rows = np.ndarray[Any, np.dtype[Any]]
CHUNK_NS = 1000
SIZES = (3, 0, 2)
"""Rows of the chunks of a sample; the empty one lies in the middle."""

PEAKS = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("area", "<f4")])
DTYPES = {
    "plain": PEAKS,
    "length_and_dt": np.dtype([("time", "<i8"), ("length", "<i4"), ("dt", "<i2")]),
    "sub_arrays": np.dtype([*PEAKS.descr, ("wave", "<i2", (5,)), ("matrix", "<f8", (2, 3))]),
    "titles": np.dtype(
        [(("start of it, ns", "time"), "<i8"), (("end of it", "endtime"), "<i8"), ("n", "u1")]
    ),
    "big_endian": np.dtype([("time", ">i8"), ("endtime", ">i8"), ("area", ">f4")]),
    "texts": np.dtype([*PEAKS.descr, ("name", "<U5"), ("raw", "S3"), ("good", "?")]),
    "nested": np.dtype([*PEAKS.descr, ("at", [("x", "<f4"), ("y", [("z", "<i2", (2,))])])]),
    "complex": np.dtype([*PEAKS.descr, ("z", "<c8"), ("zz", ">c16"), ("half", "<f2")]),
    "dates": np.dtype([*PEAKS.descr, ("at", "<M8[ns]"), ("took", "<m8[us]")]),
    "zero_length": np.dtype(
        [*PEAKS.descr, ("s", "S0"), ("v", "V0"), ("u", "U0"), ("none", "<f4", (0, 3)), ("n", "i1")]
    ),
    "padded": np.dtype([("flag", "i1"), ("time", "<i8"), ("endtime", "<i8")], align=True),
    "odd": np.dtype(
        [
            ("flag", "i1"),
            *PEAKS.descr,  # at odd addresses
            (("whether it is good", "good"), "?", (3,)),
            ("none", "V0"),
            ("pairs", [(("first of two", "a"), "i1"), ("b", ">i4"), ("c", "<U2")], (2,)),
            ("z", ">c8", (2,)),
            ("at", ">M8[D]"),
            ("nested", [("x", [("y", "<f2", (0,)), ("z", "<m8[s]")], (2, 2))]),
        ]
    ),
}


def sample_key(run_id: str = "run_1", data_type: str = "peaks") -> DataKey:
    """Return the key of a sample."""
    return DataKey(run_id, data_type, Lineage({data_type: ("Peaks", "0.1.0", {"gain": 2.0})}))


def sample_metadata(
    key: DataKey, *, dtype: np.dtype[Any] = PEAKS, compressor: str = "zstd"
) -> dict[str, Any]:
    """Return what is known before the first chunk."""
    return {
        "run_id": key.run_id,
        "data_type": key.data_type,
        "data_kind": key.data_type,
        "dtype": dtype_text(packed(dtype)),
        "compressor": compressor,
        "lineage": key.lineage.as_json(),
        "lineage_hash": key.lineage_hash,
    }


def sample_rows(n: int, *, start: int = 0, dtype: np.dtype[Any] = PEAKS, mark: int = 1) -> Rows:
    """Return rows that keep the invariants of chunks; other fields are pseudo-random, by `mark`."""
    noise = np.random.default_rng(mark).integers(1, 100, n * dtype.itemsize, dtype=np.uint8)
    rows = np.frombuffer(noise.tobytes(), dtype).copy()
    for name in dtype.names or ():
        if dtype[name].kind == "U":  # random bytes are no letters
            rows[name] = "Ünï"
    rows["time"] = start + np.arange(n) * 10
    if "endtime" in (dtype.names or ()):
        rows["endtime"] = rows["time"] + 5
    else:
        rows["length"], rows["dt"] = 5, 1
    return rows


def sample_chunks(
    key: DataKey,
    *,
    sizes: Sequence[int] = SIZES,
    dtype: np.dtype[Any] = PEAKS,
    mark: int = 1,
) -> list[Chunk]:
    """Return chunks of these numbers of rows; another `mark` gives other rows."""
    return [
        Chunk(
            i * CHUNK_NS,
            (i + 1) * CHUNK_NS,
            sample_rows(n, start=i * CHUNK_NS, dtype=dtype, mark=mark),
            key.run_id,
            key.data_type,
        )
        for i, n in enumerate(sizes)
    ]


def save_sample(
    backend: StorageBackend,
    key: DataKey,
    chunks: Iterable[Chunk] | None = None,
    **options: Any,
) -> Metadata:
    """Save a sample, or these chunks, under this key."""
    chunks = sample_chunks(key) if chunks is None else list(chunks)
    dtype = next((chunk.dtype for chunk in chunks), PEAKS)
    saver = backend.saver(key.name, sample_metadata(key, dtype=dtype), **options)
    return saver.save_from(chunks)


def bytes_of_chunks(chunks: Iterable[Chunk]) -> bytes:
    """Return the bytes of all rows, as they should come back."""
    return b"".join(np.ascontiguousarray(c.data, packed(c.dtype)).tobytes() for c in chunks)
