"""The codec `none`: rows as they lie in memory."""

import numpy as np

from strax_core.codecs.base import WholeFileCodec
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer


class NoneCodec(WholeFileCodec):
    """The bytes of the rows, unchanged."""

    name = "none"

    def compress(self, rows: memoryview) -> Buffer:
        """Return the bytes themselves."""
        return rows

    def decompress_into(self, stored: Buffer, out: memoryview) -> None:
        """Copy the bytes."""
        if len(stored) != len(out):
            raise DataCorrupted(f"the file has {len(stored)} bytes, the rows need {len(out)}")
        # Not by the buffers themselves: that would keep all other threads waiting.
        np.frombuffer(out, np.uint8)[:] = np.frombuffer(stored, np.uint8)
