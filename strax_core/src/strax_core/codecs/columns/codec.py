"""The codec `columns`, as savers and loaders see it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from strax_core.codecs.codec import (
    Decoder,
    Encoded,
    Out,
    Rows,
    RunJobs,
    Segment,
    Selection,
    run_here,
)
from strax_core.codecs.columns import decoding, encoding, entry
from strax_core.format import ChunkInfo


class ColumnsCodec:
    """Compresses each field by itself, filtered so that it gets small; checksums everywhere."""

    name = "columns"
    level = 1
    segment_bytes = 32 << 20
    block_bytes = 2 << 20
    small_bytes = 32 << 10
    segments_max = 64
    """In an entry of the metadata, a segment takes 90 bytes at most."""

    def encode(self, rows: Rows, *, run: RunJobs = run_here) -> Encoded:
        """Compress rows; the same bytes whatever `run` does."""
        sizes = encoding.Sizes(
            self.segment_bytes, self.block_bytes, self.small_bytes, self.segments_max
        )
        return encoding.encode(rows, sizes, level=self.level, run=run)

    def segments(self, info: ChunkInfo) -> Sequence[Segment]:
        """Return the segments; nothing is read."""
        return [one.segment for one in entry.from_info(info)]

    def decode(
        self,
        info: ChunkInfo,
        segment: Segment,
        selection: Selection,
        out: Out,
        *,
        dtype: np.dtype[Any],
    ) -> Decoder:
        """Fill the beginning of `out`; at most two reads."""
        return decoding.decode(entry.found(info, segment), selection, out, dtype)
