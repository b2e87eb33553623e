"""The contract of parts: wanted columns and times are those of the whole rows, in any codec."""

import numpy as np
import pytest

from strax_core.backend import StorageBackend
from strax_core.chunks import Chunk
from strax_core.format import packed
from strax_core.loader import ReadOptions
from strax_core.selection import Scan, TimeRange
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import KEY
from strax_core.testing.samples import DTYPES, sample_chunks, sample_metadata

CODECS = ("columns", "zstd", "none")
"""Read in part, or as a whole file that is compressed or not."""
COLUMNS = (None, ("area",), ("wave", "time"))
CUTS = (None, (205, 2010), (2000, 2001), (0, 5), (1500, 1600), (95, 96))
"""Across chunks and within one, at the first row, where no rows are, between two rows."""


def rows_of_many_fields() -> list[Chunk]:
    """Return chunks of 90, 0 and 40 rows, each of 5 ns and 10 ns after the one before."""
    return sample_chunks(KEY, sizes=(90, 0, 40), dtype=DTYPES["sub_arrays"])


def check_parts(backend: StorageBackend, chunks: list[Chunk]) -> None:
    """Whatever part of the stored sample is wanted is the same part of all rows."""
    rows = np.concatenate([chunk.data for chunk in chunks])
    loader = backend.loader(KEY.name)
    for columns in COLUMNS:
        of_columns = rows if columns is None else rows[[*columns]]
        expected = np.ascontiguousarray(of_columns, packed(of_columns.dtype))
        for cut in CUTS:
            start, end = cut or (0, 10**6)
            touched = (rows["endtime"] > start) & (rows["time"] < end)
            scan = Scan(columns, cut and TimeRange(start, end, touching=True))
            infos = [i for i in loader.metadata.chunks if i.end > start and i.start < end]
            given = loader.read(infos, scan, ReadOptions())
            by_column = loader.read(infos, scan, ReadOptions(), as_columns=True)

            assert isinstance(given, np.ndarray)
            assert given.dtype == expected.dtype
            assert given.tobytes() == expected[touched].tobytes(), (columns, cut)
            for name in expected.dtype.names or ():
                assert by_column[name].tobytes() == expected[name][touched].tobytes(), (name, cut)


class PartChecks(BackendBase):
    """Parts that are read of a piece of data are those that were wanted."""

    @pytest.mark.parametrize("compressor", CODECS)
    def test_a_part_is_that_of_the_whole(self, backend: StorageBackend, compressor: str) -> None:
        chunks = rows_of_many_fields()
        metadata = sample_metadata(KEY, dtype=chunks[0].dtype, compressor=compressor)
        backend.saver(KEY.name, metadata).save_from(chunks)

        check_parts(backend, chunks)
