"""Segments to rows: two reads at most, and straight into the final array."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from strax_core.codecs.codec import Decoder, Out, Rows, Selection
from strax_core.codecs.columns import index as ix
from strax_core.codecs.columns import plain
from strax_core.codecs.columns.blocks import FRAME_HEADER, Filter
from strax_core.codecs.columns.entry import StoredSegment
from strax_core.codecs.columns.kernels import plan as k
from strax_core.codecs.columns.leaves import Leaf, leaves_of
from strax_core.codecs.columns.scratch import SCRATCH, address_of
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer

GAP_BYTES = 64 << 10
"""Largest gap between two wanted ranges that is read along with them."""
WHOLE_BYTES = 256 << 10
"""A segment that is not larger is read whole, whatever is wanted."""
TILE_BYTES = 64 << 10
MASK_SPARE_BYTES = 8
_ERRORS = (DataCorrupted, zstandard.ZstdError, struct.error)


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
    if not wanted:  # fields without bytes
        return n
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
        self._pieces: list[tuple[int, int, memoryview, int]] = []
        # Lists: single elements of arrays cost more than their use.
        self._offsets: list[list[int]] = index.offsets.tolist()
        self._sizes: list[list[int]] = index.frames["stored_bytes"].tolist()
        self._checksums: list[list[int]] = index.frames["checksum"].tolist()

    def add(self, offset: int, stored: memoryview) -> None:
        """Add bytes that lie at this offset of the segment."""
        self._pieces.append((offset, offset + len(stored), stored, address_of(stored)))

    def frame(self, field: int, block: int) -> tuple[memoryview, int]:
        """Return a frame, after its checksum, and where it lies in memory."""
        at, size = self._offsets[field][block], self._sizes[field][block]
        first, _, piece, address = next(
            one for one in self._pieces if one[0] <= at and at + size <= one[1]
        )
        stored = piece[at - first : at - first + size]
        if ix.checksum_of(stored) != self._checksums[field][block]:
            raise DataCorrupted("its checksum is not the one in the index")
        return stored, address + at - first


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame whose sizes were found to be possible."""

    base: int
    n_values: int
    parts: list[tuple[int, int]]
    """Where the mask lies in it, if there is one, and the planes: begin and end."""


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
    parts: list[tuple[int, int]] = []
    for size in sizes:
        parts.append((at, at + size))
        at += size
    return _Frame(base, n_values, parts)


def _decompress(part: memoryview, out: memoryview) -> None:
    """Fill memory with a part of which the size is known: none is allocated for what it says."""
    size = len(out)
    said = zstandard.frame_content_size(part)
    if said != size:
        raise DataCorrupted(f"the zstd frame holds {said} bytes, not {size}")
    n = SCRATCH.decompressor.stream_reader(part).readinto(out)
    if n != size:
        raise DataCorrupted(f"the zstd frame holds {n} bytes, not {size}")


def _named(what: str, error: Exception) -> DataCorrupted:
    """Name the field and block in whatever is wrong with it."""
    if isinstance(error, DataCorrupted):
        return DataCorrupted(f"{what}: {error}")
    return DataCorrupted(f"{what}: it does not decode: {error}")


def _decode_rows(
    source: _Source, out: Out, names: Sequence[str], dtype: np.dtype[Any], n: int
) -> None:
    size = n * dtype.itemsize
    try:
        stored, _ = source.frame(0, 0)
        frame = _opened(stored, width=1, most=size, is_masked=False)
        if len(frame.parts) != 1:
            raise DataCorrupted("it has no rows")
        data: Buffer = stored[slice(*frame.parts[0])]
        if len(data) != size:
            data = memoryview(bytearray(size))
            _decompress(stored[slice(*frame.parts[0])], data)
    except _ERRORS as error:
        raise _named("rows, block 0", error) from error
    rows: Rows = np.frombuffer(data, dtype)
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
        views, later = self._views(out, columns)
        block_rows = min(index.block_rows, self.n_rows)
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
        tile_rows = max(1, min(1024, TILE_BYTES // value_bytes, block_rows))
        words = SCRATCH.words("tile", 24 * k.AT_ONCE)
        decode_block = _block_decoder(self.n_rows * value_bytes)
        moving = np.array([i in views for i in self.wanted])
        memory = _Memory(block_rows, plan)
        for block in range(
            self.first_block, self.first_block + -(-self.n_rows // index.block_rows)
        ):
            n = min(index.block_rows, self.n_rows - (block - self.first_block) * index.block_rows)
            memory.used = 0
            for row, i in enumerate(self.wanted):
                self._tell(plan[row], i, block, n, memory)
            bad = decode_block(plan, n, tile_rows, words)
            if bad != k.FINE:
                name = self.leaves[self.wanted[bad]].name
                raise DataCorrupted(f"field '{name}', block {block}: its mask does not fit")
            plan[moving, k.ADDRESS] += n * plan[moving, k.STRIDE]
        for view, beside in later:
            view[...] = beside

    def _views(
        self, out: Out, columns: set[str]
    ) -> tuple[dict[int, npt.NDArray[Any]], list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]]:
        """Return the array that each field is decoded to; which ones are to be copied later."""
        views: dict[int, npt.NDArray[Any]] = {}
        later: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
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
        return views, later

    def _tell(
        self,
        row: npt.NDArray[np.int64],
        field: int,
        block: int,
        n_rows: int,
        memory: "_Memory",
    ) -> None:
        """Tell the plan where a frame's planes are, decompressed to the memory or as stored."""
        _, _, count, width, flags = row[: k.REFERENCE].tolist()
        most = n_rows * count
        is_masked = flags & k.MASKED
        try:
            stored, address = self.source.frame(field, block)
            frame = _opened(stored, width=width, most=most, is_masked=bool(is_masked))
            planes = [
                address + first
                if end - first == frame.n_values
                else memory.filled(stored[first:end], frame.n_values)
                for first, end in frame.parts[is_masked:]
            ]
            if is_masked:
                first, end = frame.parts[0]
                row[k.MASK] = memory.filled(stored[first:end], (most + 7) // 8)
        except _ERRORS as error:
            what = f"field '{self.leaves[field].name}', block {block}"
            raise _named(what, error) from error
        row[k.N_VALUES : k.RANDOM] = frame.n_values, len(planes), frame.base
        row[k.PLANES : k.PLANES + len(planes)] = planes


class _Memory:
    """This thread's memory for the planes and masks of a block."""

    def __init__(self, n_rows: int, plan: npt.NDArray[np.int64]) -> None:
        counts = plan[:, k.COUNT]
        values, masks = n_rows * plan[:, k.WIDTH] * counts, (n_rows * counts + 7) // 8
        words = SCRATCH.words("planes", int((values + masks + 9 * MASK_SPARE_BYTES).sum()))
        self._bytes = words.view(np.uint8).data
        self._address = address_of(words)
        self.used = 0
        """How many bytes hold something."""

    def filled(self, part: memoryview, size: int) -> int:
        """Decompress a part behind what is there; return its address. Some bytes stay free."""
        first = self.used
        out = self._bytes[first : first + size]
        if len(part) == size:
            out[:] = part
        else:
            _decompress(part, out)
        self.used = first + size + MASK_SPARE_BYTES
        return self._address + first


def _block_decoder(n_bytes: int) -> Callable[[plain.Int64s, int, int, plain.Words], int]:
    """Return what decodes blocks with this many bytes of rows in all."""
    if plain.ALLOWANCE.covers(n_bytes):
        return plain.decode_block
    from strax_core.codecs.columns.kernels.decoding import decode_block

    return decode_block


def _can_be_filled(view: npt.NDArray[Any], leaf: Leaf) -> bool:
    """Say whether values can be written there as they are stored."""
    # Of one row: numpy may give arrays without rows the strides 0.
    inner = np.empty(1, (leaf.dtype.base, leaf.dtype.shape) if leaf.dtype.shape else leaf.dtype)
    return (
        view.dtype == leaf.dtype.base
        and view.shape[1:] == leaf.dtype.shape
        and view.strides[1:] == inner.strides[1:]
    )
