"""Which filter each field gets: those that help are tried on a sample of the rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from strax_core.codecs.base import Rows
from strax_core.codecs.columns import index as ix
from strax_core.codecs.columns.blocks import Filter, FilteredBlock, does_not_shrink, encode_block
from strax_core.codecs.columns.leaves import Leaf

SAMPLE_ROWS, SAMPLE_BYTES, STRETCHES = 4096, 1 << 20, 4
LEAST_GAIN, LEAST_GAIN_OF_REFERENCE = 50, 10
"""A filter must save one part in this many; one that needs another field, more."""


def chosen(rows: Rows, leaves: tuple[Leaf, ...], level: int) -> Sequence[Filter]:
    """Return the filter of each field: the one that made the sample smallest."""
    trial = Trial(_sample(rows), leaves, level)
    best = [Filter(leaf.width) for leaf in leaves]
    sizes = trial.sizes(best)
    trials = [
        lambda leaf: Filter(1),
        lambda leaf: Filter(leaf.width, ix.DELTA | ix.ZIGZAG) if leaf.is_integer else None,
        lambda leaf: Filter(leaf.width, ix.DELTA) if leaf.is_integer else None,
        lambda leaf: Filter(leaf.width, ix.MASKED) if leaf.count > 1 else None,
        lambda leaf: (
            Filter(leaf.width, ix.MASKED | ix.DELTA | ix.ZIGZAG)
            if leaf.is_integer and leaf.count > 1
            else None
        ),
    ]
    for propose in trials:
        proposed = [propose(leaf) if leaf.width > 1 else None for leaf in leaves]
        _improve(best, sizes, proposed, trial.sizes(proposed))
    _subtract_others(best, sizes, leaves, trial)
    return trial.with_raw_planes(best)


def _improve(
    best: list[Filter],
    sizes: list[int],
    proposed: Sequence[Filter | None],
    proposed_sizes: Sequence[int],
) -> None:
    for i, (one, size) in enumerate(zip(proposed, proposed_sizes, strict=True)):
        if one is not None and size < sizes[i] - sizes[i] // LEAST_GAIN:
            best[i], sizes[i] = one, size


def _subtract_others(
    best: list[Filter], sizes: list[int], leaves: tuple[Leaf, ...], trial: "Trial"
) -> None:
    """Try each integer less an earlier one, which is itself not less another."""
    gains: list[tuple[int, int, int, Filter]] = []
    for reference, told_from in enumerate(leaves):
        if not told_from.is_scalar_integer:
            continue
        for extra in (ix.ZIGZAG, ix.ZIGZAG | ix.MASKED):
            proposed = [
                Filter(leaf.width, extra, reference)
                if i > reference
                and leaf.is_integer
                and sizes[i] > trial.n_rows // 8
                and (leaf.count > 1 or not extra & ix.MASKED)
                else None
                for i, leaf in enumerate(leaves)
            ]
            for i, size in enumerate(trial.sizes(proposed)):
                one = proposed[i]
                if one is not None and size < sizes[i] - sizes[i] // LEAST_GAIN_OF_REFERENCE:
                    gains.append((size - sizes[i], i, reference, one))
    subtracted: set[int] = set()
    for gain, i, reference, one in sorted(gains, key=lambda gain: gain[:3]):
        is_free = best[i].reference == best[reference].reference == ix.NO_REFERENCE
        if is_free and i not in subtracted and best[reference].width > 1:
            best[i] = one
            sizes[i] += gain
            subtracted.add(reference)


def _sample(rows: Rows) -> Rows:
    """Return some stretches of rows, as one array."""
    row_bytes = rows.dtype.itemsize
    n = max(64, min(SAMPLE_ROWS, SAMPLE_BYTES // row_bytes, len(rows) // 8))
    if n >= len(rows):
        return rows
    each = -(-n // STRETCHES)
    step = (len(rows) - each) // (STRETCHES - 1)
    return np.concatenate([rows[i * step : i * step + each] for i in range(STRETCHES)])


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
