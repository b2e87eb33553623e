"""What can be measured: a peer, a job and its arguments; and what a bench is."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs import Answer, Task
from targets import TARGETS, Target

DATA_TYPES = ("raw_records", "peak_basics", "peaks")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured, and where."""

    folder: Path
    size_mb: float = 500
    repeat: int = 7
    n_runs: int = 10_000
    n_fuzzy: int = 100
    n_small: int = 200
    n_chunks: tuple[int, ...] = (1000, 3000, 10_000)
    n_chunks_upstream: tuple[int, ...] = (1000, 3000)

    @property
    def arrays(self) -> Path:
        """Where the simulated arrays are."""
        return self.folder / "arrays"

    def task(self, place: str, data: str, **options: object) -> Task:
        """Return a task of this folder."""
        where = str(self.folder / place)
        return Task(place=where, data=data, arrays=str(self.arrays), **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Peer:
    """One way to store data: a package with a codec."""

    name: str
    """As the tables show it."""
    module: str
    """``peer_MODULE.py`` has its jobs."""
    compressor: str | None = None
    fsync: bool = False

    @property
    def environment(self) -> str:
        """Which of the two environments it works in."""
        return "upstream" if self.module == "upstream" else "ours"

    @property
    def folder(self) -> str:
        """Where its data are stored."""
        return "stored-" + self.name.replace(" ", "-").replace(",", "")


OURS = Peer("ours", "ours")
OURS_FSYNC = Peer("ours, fsync", "ours", fsync=True)
UPSTREAM = Peer("upstream", "upstream")
ZSTD = Peer("upstream zstd", "upstream", "zstd")
LZ4 = Peer("upstream lz4", "upstream", "lz4")
BZ2 = Peer("upstream bz2", "upstream", "bz2")
PARQUET = Peer("Parquet", "parquet")
ZARR = Peer("zarr 3", "zarr")
HDF5 = Peer("HDF5", "hdf5")
LIMIT = Peer("limit", "limit")
SHOWN = (LZ4, BZ2, PARQUET, ZARR, HDF5)
"""Peers without targets."""
SHOWN_REPEAT = 3
"""Enough rounds for what has no target, or takes very long."""


@dataclass(frozen=True)
class Case:
    """One job of one peer."""

    peer: Peer
    job: str
    task: Task
    repeat_at_most: int = 1000

    @property
    def name(self) -> str:
        """What the results call it."""
        number = f" {self.task.number}" if self.task.number else ""
        rows = f" of {self.task.rows} rows" if self.task.rows else ""
        return f"{self.peer.name}: {self.job} {self.task.data}{number}{rows}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    against: str
    ours: str
    theirs: str
    value: float
    """The number that the target is about."""
    unit: str
    low: float
    """The spread of `value`."""
    high: float
    target: str | None = None

    @property
    def limit(self) -> Target | None:
        """The target itself."""
        return None if self.target is None else TARGETS[self.target]

    @property
    def is_met(self) -> bool:
        """Whether the target is kept; True without one."""
        return self.limit is None or self.limit.is_met_by(self.value)


Results = Mapping[Case, Sequence[Answer]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Cases that are run in turns, and the rows of the table that they give."""

    cases: Sequence[Case]
    rows: Callable[[Results], list[Row]]
    stores: Sequence[Case] = field(default=())
    """What has to be stored before, once."""


def seconds(answers: Sequence[Answer]) -> float:
    """Return the median."""
    return statistics.median(answer.seconds for answer in answers)


def faster(
    what: str, ours: Case, theirs: Case, results: Results, *, target: str | None = None
) -> Row:
    """Return how many times faster ours is: medians; the spread is that of single rounds."""
    one, other = results[ours], results[theirs]
    check_equal(ours, theirs, results)
    per_round = [b.seconds / a.seconds for a, b in zip(one, other, strict=False)]
    return Row(
        what=what,
        against=theirs.peer.name,
        ours=time_text(seconds(one)),
        theirs=time_text(seconds(other)),
        value=seconds(other) / seconds(one),
        unit="x faster",
        low=min(per_round),
        high=max(per_round),
        target=target,
    )


def mean_of(what: str, rows: Sequence[Row], *, target: str | None = None) -> Row:
    """Return the geometric mean of rows of the same kind."""

    def mean(values: Sequence[float]) -> float:
        return math.exp(statistics.fmean(map(math.log, values)))

    return Row(
        what=what,
        against=rows[0].against,
        ours="",
        theirs="",
        value=mean([row.value for row in rows]),
        unit=rows[0].unit,
        low=mean([row.low for row in rows]),
        high=mean([row.high for row in rows]),
        target=target,
    )


def as_share(row: Row, unit: str) -> Row:
    """Return a row that says how much ours takes of the other's time."""
    return replace(row, value=1 / row.value, low=1 / row.high, high=1 / row.low, unit=unit)


def single(what: str, value: float, unit: str, **others: object) -> Row:
    """Return a row of one number without spread."""
    given: dict[str, object] = {"against": "", "ours": "", "theirs": "", **others}
    return Row(what=what, value=value, unit=unit, low=value, high=value, **given)  # type: ignore[arg-type]


def check_equal(ours: Case, theirs: Case, results: Results) -> None:
    """See that both peers gave the same rows.

    Raises:
        ValueError: they did not, so their times mean nothing.
    """
    checks = {answer.check for case in (ours, theirs) for answer in results[case] if answer.check}
    if len(checks) > 1:
        raise ValueError(f"{ours.name} and {theirs.name} gave different results: {checks}")


def time_text(value: float) -> str:
    """Return a time as people read it."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"
