"""A block of rows to frames: one for each field, its planes compressed one by one."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strax_core.codecs.codec import Rows, bytes_of
from strax_core.codecs.columns import index as ix
from strax_core.codecs.columns.kernels import plan as k
from strax_core.codecs.columns.leaves import Leaf
from strax_core.codecs.columns.scratch import SCRATCH, address_of
from strax_core.medium import Buffer

FRAME_HEADER = struct.Struct("<qII")
"""Base, values, planes; then come the bytes of the mask, if there is one, and of each plane."""
LEAST_GAIN = 50
"""A plane that gets smaller by less than one part in this many is stored as it is."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Filters of one field, as it is stored."""

    width: int
    """Bytes of a value; 1: the field's bytes as they are."""
    filters: int = 0
    reference: int = ix.NO_REFERENCE
    """Number of the field that is subtracted."""
    raw_planes: int = 0
    """Planes that did not get smaller in the sample: where they look random, nothing is tried."""

    @property
    def record(self) -> tuple[int, int, int, int]:
        """Its entry in the index."""
        return self.width, self.filters, 0, self.reference

    def flags(self, leaf: Leaf) -> int:
        """Return what the kernels are told."""
        flags = self.filters
        if leaf.is_integer and self.width > 1 and not self.filters & (ix.DELTA | ix.ZIGZAG):
            flags |= k.OFFSET
        if leaf.is_swapped and self.width > 1:
            flags |= k.SWAPPED
        return flags | (k.SIGNED if leaf.is_signed else 0)


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """The frames of a block, one for each field, and what the index says of them."""

    frames: list[Buffer]
    records: ix.Records


def _block(frames: list[Buffer]) -> EncodedBlock:
    records = np.array([(len(frame), ix.checksum_of(frame)) for frame in frames], ix.FRAME)
    return EncodedBlock(frames, records)


def encode_rows(rows: Rows, level: int) -> EncodedBlock:
    """Compress rows as they are."""
    data = bytes_of(rows)
    stored = _compressed(data, level)
    header = FRAME_HEADER.pack(0, len(data), 1) + struct.pack("<I", len(stored))
    return _block([b"".join((header, stored))])


def _compressed(data: Buffer, level: int) -> Buffer:
    """Compress, unless that gains next to nothing."""
    frame = SCRATCH.compressor(level).compress(data)
    return data if len(frame) >= len(data) - len(data) // LEAST_GAIN else frame


def does_not_shrink(plane: memoryview, level: int) -> bool:
    """Say whether a plane is stored as it is."""
    return _compressed(plane, level) is plane


def encode_block(
    rows: Rows, leaves: tuple[Leaf, ...], filters: Sequence[Filter | None], level: int
) -> EncodedBlock:
    """Compress a block; a field without a filter is left out."""
    filtered = FilteredBlock(rows, leaves, filters)
    return _block(
        [
            b"" if one is None else filtered.frame(i, leaf, one, level)
            for i, (leaf, one) in enumerate(zip(leaves, filters, strict=True))
        ]
    )


class FilteredBlock:
    """The planes and masks of a block, in this thread's memory until it makes the next."""

    def __init__(
        self, rows: Rows, leaves: tuple[Leaf, ...], filters: Sequence[Filter | None]
    ) -> None:
        from strax_core.codecs.columns.kernels.encoding import encode_block as filter_block

        self._n_rows = len(rows)
        self._planes = SCRATCH.words("planes", rows.nbytes).view(np.uint8).data
        mask_bytes = sum(self._mask_bytes(leaf) + 7 for leaf in leaves)
        self._masks = SCRATCH.words("masks", mask_bytes).view(np.uint8).data
        self._first_plane = [leaf.offset * len(rows) for leaf in leaves]
        self._first_mask = [0, *np.cumsum([self._mask_bytes(leaf) + 7 for leaf in leaves]).tolist()]
        plan = np.zeros((len(leaves), k.PLAN_COLUMNS), np.int64)
        at_rows, at_planes = address_of(rows), address_of(self._planes)
        at_masks = address_of(self._masks)
        for i, (leaf, one) in enumerate(zip(leaves, filters, strict=True)):
            filter_ = one or Filter(leaf.width)
            plan[i, : k.N_VALUES] = (
                at_rows + leaf.offset,
                rows.dtype.itemsize,
                leaf.count * leaf.width // filter_.width,
                filter_.width,
                filter_.flags(leaf) | (k.SKIPPED if one is None else 0),
                filter_.reference,
                at_masks + self._first_mask[i],
            )
            plan[i, k.PLANES] = at_planes + self._first_plane[i]
        most = max([k.AT_ONCE, *(leaf.count for leaf in leaves if leaf.width > 1)])
        filter_block(plan, len(rows), SCRATCH.words("values", 8 * most))
        self._most_values = [len(rows) * count for count in plan[:, k.COUNT].tolist()]
        self._told: npt.NDArray[np.int64] = plan[:, k.N_VALUES : k.RANDOM + 1]

    def _mask_bytes(self, leaf: Leaf) -> int:
        return (self._n_rows * leaf.count + 7) // 8

    def planes(self, i: int) -> list[memoryview]:
        """Return the planes of a field."""
        n_values, n_planes, _, _ = self._told[i].tolist()
        firsts = (self._first_plane[i] + j * self._most_values[i] for j in range(n_planes))
        return [self._planes[first : first + n_values] for first in firsts]

    def frame(self, i: int, leaf: Leaf, one: Filter, level: int) -> bytes:
        """Compress a field."""
        n_values, n_planes, base, random = self._told[i].tolist()
        raw_planes = random & one.raw_planes
        parts: list[Buffer] = []
        if one.filters & ix.MASKED:
            first = self._first_mask[i]
            parts.append(_compressed(self._masks[first : first + self._mask_bytes(leaf)], level))
        for j, plane in enumerate(self.planes(i)):
            parts.append(plane if raw_planes >> j & 1 else _compressed(plane, level))
        header = FRAME_HEADER.pack(base, n_values, n_planes)
        return b"".join((header, struct.pack(f"<{len(parts)}I", *map(len, parts)), *parts))
