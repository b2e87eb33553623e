"""Chooses the filters of each field, by trying them on a sample of the rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from strax_core.chunks import as_plain
from strax_core.codecs.codec import Rows
from strax_core.codecs.columns import index as ix
from strax_core.codecs.columns.blocks import Filter, FilteredBlock, does_not_shrink, encode_block
from strax_core.codecs.columns.leaves import Leaf

SAMPLE_ROWS, SAMPLE_BYTES, STRETCHES = 4096, 1 << 18, 4
SAMPLE_SHARE, LEAST_SAMPLE_BYTES = 64, 1 << 16
"""Of a small chunk one part in this many is tried, but so many bytes at least: the trials compress
the sample about ten times, and would cost more than the chunk."""
LEAST_GAIN, LEAST_GAIN_OF_REFERENCE = 50, 10
"""A filter must save one part in this many; one that needs another field, more."""
LEAST_SHARE_OF_ROWS = 100
"""Of a field that takes less than one part in this many, no other field is subtracted."""
CANDIDATES = (
    Filter(1),
    Filter(0, ix.DELTA),
    Filter(0, ix.DELTA | ix.ZIGZAG),
    Filter(0, ix.MASKED),
    Filter(0, ix.MASKED | ix.DELTA | ix.ZIGZAG),
)
"""Beside planes of the values as they are. A width of 0 stands for that of the field's values."""


def chosen(rows: Rows, leaves: tuple[Leaf, ...], level: int) -> Sequence[Filter]:
    """Return the filter of each field: the one that made the sample smallest."""
    trial = Trial(_sample(rows), leaves, level)
    best = [Filter(leaf.width) for leaf in leaves]
    sizes = trial.sizes(best)
    for one in CANDIDATES:
        _improve(best, sizes, [_if_possible(one, leaf) for leaf in leaves], trial)
    _subtract_others(best, sizes, leaves, trial)
    return trial.with_raw_planes(best)


def _if_possible(one: Filter, leaf: Leaf) -> Filter | None:
    """Return a candidate for a field of this kind, if it is one."""
    if leaf.width == 1 or (one.filters & ix.DELTA and not leaf.is_integer):
        return None
    if one.filters & ix.MASKED and leaf.count == 1:
        return None
    return one if one.width == 1 else replace(one, width=leaf.width)


def _improve(
    best: list[Filter], sizes: list[int], proposed: Sequence[Filter | None], trial: "Trial"
) -> None:
    for i, (one, size) in enumerate(zip(proposed, trial.sizes(proposed), strict=True)):
        if one is not None and size < sizes[i] - sizes[i] // LEAST_GAIN:
            best[i], sizes[i] = one, size


def _subtract_others(
    best: list[Filter], sizes: list[int], leaves: tuple[Leaf, ...], trial: "Trial"
) -> None:
    """Try each integer that takes much space less an earlier one, which is not less another."""
    least = sum(sizes) // LEAST_SHARE_OF_ROWS
    gains: list[tuple[int, int, int]] = []
    for reference, told_from in enumerate(leaves):
        proposed = [
            Filter(leaf.width, ix.ZIGZAG, reference)
            if leaf.is_integer and i > reference and sizes[i] > least
            else None
            for i, leaf in enumerate(leaves)
        ]
        if told_from.is_scalar_integer:
            for i, size in enumerate(trial.sizes(proposed)):
                if proposed[i] and size < sizes[i] - sizes[i] // LEAST_GAIN_OF_REFERENCE:
                    gains.append((size - sizes[i], i, reference))
    subtracted: set[int] = set()
    for _, i, reference in sorted(gains):
        is_free = best[i].reference == best[reference].reference == ix.NO_REFERENCE
        if is_free and i not in subtracted and best[reference].width > 1:
            best[i] = Filter(leaves[i].width, ix.ZIGZAG, reference)
            subtracted.add(reference)


def _sample(rows: Rows) -> Rows:
    """Return some stretches of rows, as one array."""
    row_bytes = rows.dtype.itemsize
    share = max(len(rows) // SAMPLE_SHARE, LEAST_SAMPLE_BYTES // row_bytes)
    n = max(64, min(SAMPLE_ROWS, SAMPLE_BYTES // row_bytes, share))
    if n >= len(rows):
        return rows
    each = -(-n // STRETCHES)
    step = (len(rows) - each) // (STRETCHES - 1)
    plain = as_plain(rows)  # joining structured rows may change their byte order
    joined = np.concatenate([plain[i * step : i * step + each] for i in range(STRETCHES)])
    sample: Rows = joined.view(rows.dtype)
    return sample


class Trial:
    """Tells how large fields of a sample get."""

    def __init__(self, rows: Rows, leaves: tuple[Leaf, ...], level: int) -> None:
        self.n_rows = len(rows)
        self._rows = rows
        self._leaves = leaves
        self._level = level

    def sizes(self, filters: Sequence[Filter | None]) -> list[int]:
        """Return the bytes of each field; zero where no filter is given."""
        if not any(filters):
            return [0] * len(filters)
        block = encode_block(self._rows, self._leaves, filters, self._level)
        sizes: list[int] = block.records["stored_bytes"].tolist()
        return sizes

    def with_raw_planes(self, filters: Sequence[Filter]) -> list[Filter]:
        """Note the planes that do not get smaller."""
        filtered = FilteredBlock(self._rows, self._leaves, filters)
        return [
            replace(
                one,
                raw_planes=sum(
                    1 << j
                    for j, plane in enumerate(filtered.planes(i))
                    if does_not_shrink(plane, self._level)
                ),
            )
            for i, one in enumerate(filters)
        ]
