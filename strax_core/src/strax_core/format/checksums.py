"""Checksums of stored bytes and of rows, written as ``algorithm:hex digits``."""

from collections.abc import Iterable

import xxhash

from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer

ALGORITHM = "xxh3_64"


def checksum(buffers: Iterable[Buffer]) -> str:
    """Return the checksum of the buffers as if joined, such as ``xxh3_64:2d06800538d394c2``."""
    digest = xxhash.xxh3_64()
    for buffer in buffers:
        digest.update(buffer)
    return f"{ALGORITHM}:{digest.hexdigest()}"


def checksum_matches(expected: str, buffers: Iterable[Buffer]) -> bool:
    """Say whether the buffers have this checksum.

    Raises:
        DataCorrupted: the checksum is of an algorithm that this version does not know.
    """
    algorithm = expected.partition(":")[0]
    if algorithm != ALGORITHM:
        raise DataCorrupted(
            f"checksums of the kind {algorithm!r} are not known here (known: {ALGORITHM}); "
            "a newer strax-core may read this data"
        )
    return checksum(buffers) == expected


class RunningChecksum:
    """The checksum of what is given piece by piece: the same, wherever it is cut."""

    def __init__(self) -> None:
        self._digest = xxhash.xxh3_64()

    def add(self, buffer: Buffer) -> None:
        """Add what comes next."""
        self._digest.update(buffer)

    @property
    def so_far(self) -> str:
        """Of all that was given, as `checksum` writes it."""
        return f"{ALGORITHM}:{self._digest.hexdigest()}"
