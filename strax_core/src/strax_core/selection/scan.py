"""A scan: the part of each chunk that a loader reads, by time and columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """``[start, end)`` in ns; rows belong to it that lie in it, or that touch it.

    Attributes:
        start: first ns.
        end: the ns after the last.
        touching: rows belong to it if ``endtime > start and time < end``; else if
            ``start <= time and endtime <= end``.
    """

    start: int
    end: int
    touching: bool

    def mask(self, time: Int64s, endtime: Int64s) -> npt.NDArray[np.bool_]:
        """Say of each row whether it belongs to the range."""
        if self.touching:
            return (endtime > self.start) & (time < self.end)
        return (self.start <= time) & (endtime <= self.end)

    def holds_all(self, earliest: int, latest: int) -> bool:
        """Say whether all rows from this `time` to this end belong to it, whatever they are.

        A row of zero duration on a border does not touch the range.
        """
        if self.touching:
            return self.start < earliest and latest < self.end
        return self.start <= earliest and latest <= self.end

    def may_hold_some(self, earliest: int, latest: int) -> bool:
        """Say whether a row between this `time` and this end may belong to it."""
        if self.touching:
            return latest > self.start and earliest < self.end
        return latest >= self.start and earliest <= self.end

    @property
    def borders(self) -> tuple[int, int]:
        """The widest range touched by a selected row; a codec's pre-filter."""
        if self.touching:
            return self.start, self.end
        return self.start - 1, self.end + 1  # rows of zero duration on the borders, too


@dataclass(frozen=True, slots=True)
class Scan:
    """The part of a piece of data that is read.

    Attributes:
        columns: names of the fields, in the order in which they are given; None: all.
        within: only the rows that belong to this range; None: all.
    """

    columns: tuple[str, ...] | None = None
    within: TimeRange | None = None


WHOLE_ROWS = Scan()
