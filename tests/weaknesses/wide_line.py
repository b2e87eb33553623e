"""Two data plugins with many columns, which processes can import."""

from collections.abc import Iterator

import numpy as np

from strax_core import Chunk, Plugin

N_CHUNKS, N_ROWS, N_COLUMNS = 4, 50_000, 20
STEP_NS = 10_000  # from row to row; they last less, so that chunks can be cut anywhere
ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), *((f"x{i}", "<f8") for i in range(N_COLUMNS))])


def rows_of(chunk_i: int) -> np.ndarray:
    """Return the rows of a chunk: each column random, but the same each time."""
    random = np.random.default_rng(chunk_i)
    rows = np.zeros(N_ROWS, ROW)
    rows["time"] = STEP_NS * (chunk_i * N_ROWS + np.arange(N_ROWS))
    rows["endtime"] = rows["time"] + 10
    for i in range(N_COLUMNS):
        rows[f"x{i}"] = random.normal(size=N_ROWS)
    return rows


class Wide(Plugin):
    """A source."""

    dtype = ROW
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for i in range(N_CHUNKS):
            span_ns = N_ROWS * STEP_NS
            yield self.chunk(start=i * span_ns, end=(i + 1) * span_ns, data=rows_of(i))


class Negative(Plugin):
    """Made of it, wherever the executor runs."""

    depends_on = "wide"
    data_kind = "negative"
    dtype = ROW
    rechunk_on_save = False
    parallel = "process"

    def compute(self, wide: np.ndarray) -> np.ndarray:
        rows = wide.copy()
        rows["x0"] *= -1
        return rows
