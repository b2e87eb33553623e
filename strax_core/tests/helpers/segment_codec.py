"""Codecs that cut small: one of our own, to test loaders without core's, and core's `columns`.

``segments-7-3`` cuts a chunk in segments of 7 rows, each in blocks of 3. Its parts are plain bytes,
each with a checksum. ``columns-100-300`` is `columns` with blocks of 100 bytes, segments of 300.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from strax_core.chunks.chunk import times_of
from strax_core.codecs import Decoder, Encoded, Out, RunJobs, Segment, Selection, run_here
from strax_core.codecs.columns import ColumnsCodec, decoding
from strax_core.errors import DataCorrupted
from strax_core.format.chunk_info import ChunkInfo
from strax_core.storage_plugins.registry import Registry

Rows = np.ndarray[Any, np.dtype[Any]]


class SegmentCodec:
    def __init__(self, n_segment: int, n_block: int) -> None:
        self.name = f"segments-{n_segment}-{n_block}"
        self.n_segment, self.n_block = n_segment, n_block

    def encode(self, rows: Rows, *, run: RunJobs = run_here) -> Encoded:
        buffers: list[bytes] = []
        noted = []
        parts = [rows[at : at + self.n_segment] for at in range(0, len(rows), self.n_segment)]
        for blocks in run([lambda part=part: self._blocks(part) for part in parts]):  # type: ignore[misc]
            noted_blocks = []
            for block in blocks:
                columns = []
                for name in rows.dtype.names or ():
                    data = block[name].tobytes()
                    columns.append([sum(map(len, buffers)), len(data), zlib.crc32(data)])
                    buffers.append(data)
                noted_blocks.append([len(block), *_span(block), columns])
            noted.append(noted_blocks)
        return Encoded(buffers, {"segments": noted})

    def _blocks(self, part: Rows) -> list[Rows]:
        return [part[at : at + self.n_block] for at in range(0, len(part), self.n_block)]

    def segments(self, info: ChunkInfo) -> Sequence[Segment]:
        found, at = [], 0
        for blocks in self._noted(info):
            n = sum(block[0] for block in blocks)
            size = sum(column[1] for block in blocks for column in block[3])
            span = (min(block[1] for block in blocks), max(block[2] for block in blocks))
            found.append(Segment(at, n, size, span))
            at += n
        return found

    def decode(
        self,
        info: ChunkInfo,
        segment: Segment,
        selection: Selection,
        out: Out,
        *,
        dtype: np.dtype[Any],
    ) -> Decoder:
        names = dtype.names or ()
        columns = names if selection.columns is None else selection.columns
        wanted = [
            block
            for block in self._noted(info)[segment.first_row // self.n_segment]
            if selection.time_range is None
            or (block[2] > selection.time_range[0] and block[1] < selection.time_range[1])
        ]
        asked = [block[3][names.index(column)] for block in wanted for column in columns]
        if not asked:
            return 0
        answers = iter((yield [(at, size) for at, size, _ in asked]))
        n = 0
        for block_i, block in enumerate(wanted):
            for column in columns:
                data, checksum = next(answers), block[3][names.index(column)][2]
                if zlib.crc32(data) != checksum:
                    raise DataCorrupted(f"field {column}, block {block_i}: the checksum is wrong")
                of = dtype[column]
                values = np.ndarray((block[0], *of.shape), of.base, data)
                out[column][n : n + block[0]] = values
            n += block[0]
        return n

    def _noted(self, info: ChunkInfo) -> Any:
        return (info.codec or {})["segments"]


def _span(block: Rows) -> tuple[int, int]:
    time, endtime = times_of(block)
    return int(time.min()), int(endtime.max())


class SmallColumns(ColumnsCodec):
    small_bytes = 0

    def __init__(self, block_bytes: int, segment_bytes: int) -> None:
        self.name = f"columns-{block_bytes}-{segment_bytes}"
        self.block_bytes, self.segment_bytes = block_bytes, segment_bytes


CODECS = {"segments": SegmentCodec, "columns": SmallColumns}


@contextmanager
def installed() -> Iterator[None]:
    """Have codecs with such names found, as if a storage plugin brought them.

    Of `columns`, parts of the smallest segment are read by themselves.
    """
    honest = Registry.codec

    def codec(self: Registry, name: str) -> Any:
        kind, *numbers = name.split("-")
        if not numbers:
            return honest(self, name)
        return SimpleNamespace(load_target=lambda: lambda: CODECS[kind](*map(int, numbers)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "codec", codec)
        patch.setattr(decoding, "WHOLE_BYTES", 0)
        patch.setattr(decoding, "GAP_BYTES", 10)
        yield
