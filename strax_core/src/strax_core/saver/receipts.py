"""Receipts of saved chunks: put in order, and found to be all there."""

from collections.abc import Iterable
from itertools import pairwise

from strax_core.errors import ChunkError, DataCorrupted
from strax_core.format import ChunkInfo


def ordered_receipts(receipts: Iterable[ChunkInfo], *, where: str) -> list[ChunkInfo]:
    """Return one receipt a chunk, 0 to n - 1, found to abut.

    A chunk that was saved twice (a task that was tried again) counts once, if the rows were the
    same.

    Raises:
        DataCorrupted: a chunk is missing, or was saved with different rows.
        ChunkError: there are none, or successive ones do not abut.
    """
    by_number: dict[int, ChunkInfo] = {}
    for info in receipts:
        first = by_number.setdefault(info.chunk_i, info)
        if (first.checksum_rows, first.start, first.end) != (
            info.checksum_rows,
            info.start,
            info.end,
        ):
            raise DataCorrupted(
                f"{where}: chunk {info.chunk_i} was saved twice, with different rows"
            )
    if not by_number:
        raise ChunkError(
            f"{where}: no chunk was saved; data without rows are one chunk without rows"
        )
    if missing := sorted(set(range(max(by_number) + 1)) - set(by_number)):
        raise DataCorrupted(f"{where}: chunks {missing[:10]} were never saved")
    infos = [by_number[chunk_i] for chunk_i in sorted(by_number)]
    for before, after in pairwise(infos):
        if before.end != after.start:
            raise ChunkError(
                f"{where}: chunk {after.chunk_i} starts at {after.start}, "
                f"the one before ends at {before.end}"
            )
    return infos
