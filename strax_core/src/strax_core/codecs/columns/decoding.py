"""Segments to rows: two reads at most, and straight into the final array."""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from strax_core.codecs.base import Decoder, Out, Rows, Selection
from strax_core.codecs.columns import index as ix
from strax_core.codecs.columns import kernels as k
from strax_core.codecs.columns import plain
from strax_core.codecs.columns.blocks import FRAME_HEADER, Filter
from strax_core.codecs.columns.entry import StoredSegment
from strax_core.codecs.columns.leaves import Leaf, leaves_of
from strax_core.codecs.columns.scratch import SCRATCH, address_of
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer

GAP_BYTES = 64 << 10
"""What lies between two wanted ranges is read too, if it is less."""
WHOLE_BYTES = 256 << 10
"""A segment that is not larger is read whole, whatever is wanted."""
TILE_BYTES = 64 << 10
MASK_SPARE_BYTES = 8


def decode(at: StoredSegment, selection: Selection, out: Out, dtype: np.dtype[Any]) -> Decoder:
    """Decode a segment, as `Codec.decode`."""
    if selection.time_range is not None and not _overlaps(at.extrema, selection.time_range):
        return 0
    leaves = leaves_of(dtype)
    frames_bytes = at.stored_bytes - at.index_bytes
    is_whole = selection.is_all or at.stored_bytes <= WHOLE_BYTES
    stored: memoryview | None = None
    if is_whole:
        (answer,) = yield [(at.offset, at.stored_bytes)]
        stored = _sized(answer, at.stored_bytes)
        index_part = stored[frames_bytes:]
    else:
        (answer,) = yield [(at.offset + frames_bytes, at.index_bytes)]
        index_part = _sized(answer, at.index_bytes)
    if ix.checksum_of(index_part) != at.index_checksum:
        raise DataCorrupted("the checksum of its index is not the one in the metadata")
    index = ix.parsed(index_part, leaves, n_rows=at.n, frames_bytes=frames_bytes)
    first, end = _blocks(index, selection)
    if first == end:
        return 0
    names = dtype.names or () if selection.columns is None else selection.columns
    wanted = _wanted(index, leaves, names)
    n = min(end * index.block_rows, at.n) - first * index.block_rows
    if not wanted:
        return n  # columns without bytes
    source = _Source(index)
    if stored is not None:
        source.add(0, stored)
    else:
        ranges = _merged((int(index.offsets[i, first]), _end(index, i, end - 1)) for i in wanted)
        answers = yield [(at.offset + start, stop - start) for start, stop in ranges]
        for (start, stop), answer in zip(ranges, answers, strict=True):
            source.add(start, _sized(answer, stop - start))
    if index.layout == ix.ROWS:
        _decode_rows(source, out, names, dtype, n)
    else:
        part = _Part(source, leaves, wanted, first, n)
        part.decode(out, names)
    return n


def _overlaps(extrema: tuple[int, int] | None, time_range: tuple[int, int]) -> bool:
    """Say whether rows may be touched; those of zero duration on a border too."""
    return extrema is None or (extrema[0] <= time_range[1] and extrema[1] >= time_range[0])


def _blocks(index: ix.Index, selection: Selection) -> tuple[int, int]:
    """Return the first block wanted, and the one after the last."""
    if selection.time_range is None:
        return 0, len(index.blocks)
    start, end = selection.time_range
    blocks = index.blocks
    hit = np.flatnonzero((blocks["max_endtime"] >= start) & (blocks["min_time"] <= end))
    return (int(hit[0]), int(hit[-1]) + 1) if len(hit) else (0, 0)


def _wanted(index: ix.Index, leaves: Sequence[Leaf], names: Sequence[str]) -> list[int]:
    """Return which fields have to be read: those of the columns, and what they are told from."""
    if index.layout == ix.ROWS:
        return [0]
    columns = set(names)
    wanted = {i for i, leaf in enumerate(leaves) if leaf.path[0] in columns}
    references = {int(index.fields["reference"][i]) for i in wanted}
    return sorted(wanted | (references - {ix.NO_REFERENCE}))


def _end(index: ix.Index, field: int, block: int) -> int:
    return int(index.offsets[field, block]) + int(index.frames["stored_bytes"][field, block])


def _merged(ranges: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that lie near to one another; they come in their order."""
    merged: list[tuple[int, int]] = []
    for start, end in ranges:
        if merged and start - merged[-1][1] <= GAP_BYTES:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    return merged


def _sized(answer: Buffer, size: int) -> memoryview:
    if len(answer) != size:
        raise DataCorrupted(f"{len(answer)} bytes were read, not {size}")
    return memoryview(answer)


class _Source:
    """The bytes that were read of a segment."""

    def __init__(self, index: ix.Index) -> None:
        self.index = index
        self._pieces: list[tuple[int, memoryview]] = []

    def add(self, offset: int, stored: memoryview) -> None:
        """Add bytes that lie at this offset of the segment."""
        self._pieces.append((offset, stored))

    def frame(self, field: int, block: int) -> memoryview:
        """Return a frame, after its checksum."""
        at = int(self.index.offsets[field, block])
        size = int(self.index.frames["stored_bytes"][field, block])
        offset, piece = next(
            (offset, piece)
            for offset, piece in self._pieces
            if offset <= at and at + size <= offset + len(piece)
        )
        stored = piece[at - offset : at - offset + size]
        if ix.checksum_of(stored) != int(self.index.frames["checksum"][field, block]):
            raise DataCorrupted("its checksum is not the one in the index")
        return stored


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame whose sizes were found to be possible."""

    base: int
    n_values: int
    parts: list[memoryview]
    """The mask, if there is one, and the planes, as they are stored."""


def _opened(stored: memoryview, *, width: int, most: int, is_masked: bool) -> _Frame:
    """Take a frame apart."""
    base, n_values, n_planes = FRAME_HEADER.unpack_from(stored)
    if n_planes > width or n_values > most or (n_values < most and not is_masked):
        raise DataCorrupted(f"{n_planes} planes of {n_values} values cannot be")
    n_parts = n_planes + is_masked
    sizes = struct.unpack_from(f"<{n_parts}I", stored, FRAME_HEADER.size)
    at = FRAME_HEADER.size + 4 * n_parts
    if at + sum(sizes) != len(stored):
        raise DataCorrupted(f"its parts are {sum(sizes)} bytes, not {len(stored) - at}")
    parts = []
    for size in sizes:
        parts.append(stored[at : at + size])
        at += size
    return _Frame(base, n_values, parts)


def _decompressed(part: memoryview, size: int) -> Buffer:
    """Decompress a part of which the size is known, before anything is allocated."""
    if len(part) == size:
        return part
    said = zstandard.frame_content_size(part)
    if said != size:
        raise DataCorrupted(f"the zstd frame holds {said} bytes, not {size}")
    data: bytes = SCRATCH.decompressor.decompress(part)
    if len(data) != size:
        raise DataCorrupted(f"the zstd frame holds {len(data)} bytes, not {size}")
    return data


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Name the field and block in whatever is wrong with it."""
    try:
        yield
    except DataCorrupted as error:
        raise DataCorrupted(f"{what}: {error}") from error
    except (zstandard.ZstdError, struct.error) as error:
        raise DataCorrupted(f"{what}: it does not decode: {error}") from error


def _decode_rows(
    source: _Source, out: Out, names: Sequence[str], dtype: np.dtype[Any], n: int
) -> None:
    size = n * dtype.itemsize
    with _named("rows, block 0"):
        frame = _opened(source.frame(0, 0), width=1, most=size, is_masked=False)
        if len(frame.parts) != 1:
            raise DataCorrupted("it has no rows")
        rows: Rows = np.frombuffer(_decompressed(frame.parts[0], size), dtype)
    if isinstance(out, np.ndarray) and out.dtype == dtype:
        out[:n] = rows
    else:
        for name in names:
            out[name][:n] = rows[name]


@dataclass
class _Part:
    """Blocks of some fields."""

    source: _Source
    leaves: tuple[Leaf, ...]
    wanted: list[int]
    first_block: int
    n_rows: int

    def decode(self, out: Out, names: Sequence[str]) -> None:
        """Fill the beginning of `out`."""
        index = self.source.index
        columns = set(names)
        views: dict[int, npt.NDArray[Any]] = {}
        later: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
        block_rows = min(index.block_rows, self.n_rows)
        for i in self.wanted:
            leaf = self.leaves[i]
            if leaf.path[0] in columns:
                views[i] = leaf.view_of(out)[: self.n_rows]
                if len(views[i]) < self.n_rows:
                    raise ValueError(f"there is no room for {self.n_rows} rows")
                if not _can_be_filled(views[i], leaf):
                    beside = np.empty((self.n_rows, *leaf.dtype.shape), leaf.dtype.base)
                    later.append((views[i], beside))
                    views[i] = beside
        plan = np.zeros((len(self.wanted), k.PLAN_COLUMNS), np.int64)
        place = {i: row for row, i in enumerate(self.wanted)}
        beside_rows: list[npt.NDArray[Any]] = []
        for i, row in place.items():
            leaf, field = self.leaves[i], index.fields[i]
            one = Filter(int(field["width"]), int(field["filters"]), int(field["reference"]))
            view = views.get(i)
            if view is None:
                view = np.empty(block_rows, leaf.dtype)
                beside_rows.append(view)
            plan[row, : k.MASK] = (
                address_of(view),
                view.strides[0],
                leaf.count * leaf.width // one.width,
                one.width,
                one.flags(leaf),
                place.get(one.reference, ix.NO_REFERENCE),
            )
        value_bytes = int((plan[:, k.COUNT] * plan[:, k.WIDTH]).sum())
        most = int(plan[:, k.COUNT].max())
        tile_rows = max(1, min(1024, TILE_BYTES // value_bytes, block_rows))
        words = SCRATCH.words("tile", 16 * max(k.AT_ONCE, most))
        decode_block = _block_decoder(self.n_rows * value_bytes)
        moving = np.array([i in views for i in self.wanted])
        for block in range(
            self.first_block, self.first_block + -(-self.n_rows // index.block_rows)
        ):
            n = min(index.block_rows, self.n_rows - (block - self.first_block) * index.block_rows)
            keep = [self._tell(plan[row], i, block, n) for i, row in place.items()]
            bad = decode_block(plan, n, tile_rows, words)
            if bad != k.FINE:
                name = self.leaves[self.wanted[bad]].name
                raise DataCorrupted(f"field '{name}', block {block}: its mask does not fit")
            del keep
            plan[moving, k.ADDRESS] += n * plan[moving, k.STRIDE]
        for view, beside in later:
            view[...] = beside

    def _tell(
        self, row: npt.NDArray[np.int64], field: int, block: int, n_rows: int
    ) -> list[Buffer]:
        """Tell the plan where a frame's planes are; return what must be kept till then."""
        most = n_rows * int(row[k.COUNT])
        is_masked = bool(row[k.FLAGS] & k.MASKED)
        with _named(f"field '{self.leaves[field].name}', block {block}"):
            stored = self.source.frame(field, block)
            frame = _opened(stored, width=int(row[k.WIDTH]), most=most, is_masked=is_masked)
            planes = [_decompressed(part, frame.n_values) for part in frame.parts[is_masked:]]
            if is_masked:
                mask = _decompressed(frame.parts[0], (most + 7) // 8)
        row[k.N_VALUES : k.RANDOM] = frame.n_values, len(planes), frame.base
        if frame.n_values:
            for j, plane in enumerate(planes):
                row[k.PLANES + j] = address_of(plane)
        if is_masked:
            planes.append(b"".join((mask, bytes(MASK_SPARE_BYTES))))
            row[k.MASK] = address_of(planes[-1])
        return planes


def _block_decoder(n_bytes: int) -> Callable[[plain.Int64s, int, int, plain.Words], int]:
    """Return what decodes blocks with this many bytes of rows in all."""
    if plain.ALLOWANCE.covers(n_bytes):
        return plain.decode_block
    from strax_core.codecs.columns.kernels.decoding import decode_block

    return decode_block


def _can_be_filled(view: npt.NDArray[Any], leaf: Leaf) -> bool:
    """Say whether values can be written there as they are stored."""
    inner = np.empty(0, (leaf.dtype.base, leaf.dtype.shape) if leaf.dtype.shape else leaf.dtype)
    return (
        view.dtype == leaf.dtype.base
        and view.shape[1:] == leaf.dtype.shape
        and view.strides[1:] == inner.strides[1:]
    )
