"""Hurts stored data of the codec `columns`, at random, and loads them: never may wrong rows come.

    python tests/format/damage.py [--n 10000] [--seed 0] [--sets scalars waveforms …]

Each data set lies as real files in a temporary folder, a good copy of it in a second one. One
damage after the other is done to the first (see `damaging.py`), and what lies there is loaded by a
`Context`: whole, some columns, a range of time. Each load must give the right rows, or end in
`DataCorrupted` that names run, data type and chunk, and, where only frames are hurt, field and
block. With the second place at hand it must give the right rows. No load may allocate more than
`PEAK_BYTES`, which is some times what the rows take; one damage in ten is measured. Prints what
came of it; ends with 1 if anything else did.

The chunk's file is protected by checksums throughout. The chunk's entry in the metadata has no
checksum of its own: what contradicts the rest is noticed, what does not is not:

- Sizes, numbers of rows, names, checksums of stored bytes: any change is noticed.
- Times that say which segments a time range needs (`start`, `end`, `min_time`, `max_endtime`, times
  of segments): noticed if they contradict one another, or rows that are read. If they still fit, a
  load of a time range may pass over a segment; a load of all gives all rows. These are counted as
  ``missed: times that fit``; for each of them, `verify` must say `DataCorrupted`.
- `checksum_rows`, `first_endtime`, `last_time` and the like, which no load uses: only `verify`
  compares them.
"""

import argparse
import itertools
import json
import logging
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import damaging
import numpy as np
from damaging import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))
from make_columns import filtered_rows, odd_rows

import strax_core as sc
from strax_core.chunks.chunk import Chunk
from strax_core.codecs.columns import ColumnsCodec, decoding
from strax_core.data_plugins.plugin import Plugin
from strax_core.errors import NewerFormat

PEAK_BYTES = 8 << 20
N_CHUNKS = 3
RUN = "run_7"
Rows = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class DataSet:
    """How rows are made, and how they are cut."""

    make: Callable[[int], Any]
    n_rows: int
    sizes: dict[str, int]


SETS = {
    "scalars": DataSet(odd_rows, 1500, {"block_bytes": 30_000, "small_bytes": 0}),
    "waveforms": DataSet(filtered_rows, 1000, {"block_bytes": 30_000, "small_bytes": 0}),
    "segments": DataSet(
        filtered_rows, 1000, {"segment_bytes": 40_000, "block_bytes": 10_000, "small_bytes": 0}
    ),
    "small": DataSet(filtered_rows, 40, {"small_bytes": 10_000}),
}
LIMITS = {"WHOLE_BYTES": 0, "GAP_BYTES": 200}
"""Of the codec: else files as small as these would always be read as a whole."""


def source_of(name: str) -> type[Plugin]:
    """Return a data plugin that makes a data set; another `mark` makes other rows."""
    data_set = SETS[name]

    class Source(Plugin):
        provides = name
        dtype = data_set.make(1).dtype
        rechunk_on_save = False
        mark = 0

        def chunks(self) -> Iterator[Chunk]:
            start = 0
            for _ in range(N_CHUNKS):
                rows = data_set.make(data_set.n_rows)
                rows["time"] += start - rows["time"][0]
                rows["endtime"] = rows["time"] + 10
                last = rows.dtype.names[-1]
                rows[last] = rows[last] + self.mark
                end = int(rows["endtime"].max()) + 1
                yield self.chunk(start=start, end=end, data=rows)
                start = end

    return Source


@dataclass
class Victim:
    """A data set in two folders, and all that a damage may need."""

    name: str
    folder: Path

    def __post_init__(self) -> None:
        made = source_of(self.name)
        older = type("Older", (made,), {"mark": 1})
        places = [self._made(made, "hurt"), self._made(made, "good"), self._made(older, "older")]
        options: dict[str, Any] = {"plugins": [made], "forbid_creation_of": "*"}
        self.alone = sc.Context(str(places[0].parent), **options)
        self.both = sc.Context([str(place.parent) for place in places[:2]], **options)
        self.hurt = places[0]
        self.files, self.older = (damaging.files_of(place) for place in (places[0], places[2]))
        self.metadata = damaging.metadata_of(self.hurt)
        self._metadata_bytes = self.metadata.read_bytes()
        self.document = json.loads(self._metadata_bytes)
        self.rows = self.alone.get_array(RUN, self.name, progress_bar=False)
        self._hurt: set[str] = set()
        self._is_metadata_hurt = False

    def _made(self, plugin: type[Plugin], name: str) -> Path:
        """Store the data set in a folder of this name; return the folder of the piece of data."""
        place = self.folder / name
        place.mkdir()
        ctx = sc.Context(
            {"frontend": "local", "path": str(place), "fsync": False}, plugins=[plugin]
        )
        ctx.make(RUN, self.name)
        (found,) = (path for path in place.iterdir() if path.name.startswith(f"{RUN}-{self.name}"))
        return found

    def put(self, damage: damaging.Damage) -> None:
        """Do a damage to the files; what other damages did is gone."""
        for name in self._hurt - damage.files.keys():
            (self.hurt / name).write_bytes(self.files[name])
        for name, stored in damage.files.items():
            path = self.hurt / name
            if stored is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(stored)
        self._hurt = set(damage.files)
        if damage.document is not None:
            self.metadata.write_text(json.dumps(damage.document))
        elif self._is_metadata_hurt:
            self.metadata.write_bytes(self._metadata_bytes)
        self._is_metadata_hurt = damage.document is not None

    def questions(self, random: Random) -> dict[str, tuple[dict[str, Any], bytes]]:
        """Return what is asked for, and the bytes of the rows that this should give."""
        names = self.rows.dtype.names or ()
        columns = tuple(sorted({str(name) for name in random.choice(names, 2)}))
        first, last = np.sort(random.integers(0, len(self.rows), 2))
        start, end = int(self.rows["time"][first]), int(self.rows["time"][last]) + 5
        within = (self.rows["time"] >= start) & (self.rows["endtime"] <= end)
        of_columns = np.empty(len(self.rows), [(n, self.rows.dtype[n]) for n in columns])
        for name in columns:
            of_columns[name] = self.rows[name]
        return {
            "whole": ({}, self.rows.tobytes()),
            "columns": ({"columns": columns}, of_columns.tobytes()),
            "time": ({"time_range": (start, end)}, self.rows[within].tobytes()),
        }


def outcomes(
    victim: Victim, random: Random, *, is_measured: bool
) -> Iterator[tuple[str, str, str]]:
    """Do one damage; iterate over what was done, what was asked, and what came of it.

    To measure memory takes three times as long as to load.
    """
    if is_measured:
        tracemalloc.start()
    try:
        yield from _outcomes(victim, random)
    finally:
        tracemalloc.stop()


def _outcomes(victim: Victim, random: Random) -> Iterator[tuple[str, str, str]]:
    damage = damaging.damage(victim.files, victim.older, victim.document, random)
    victim.put(damage)
    questions = victim.questions(random)
    mended = str(random.choice(list(questions)))
    for question, (options, expected) in questions.items():
        both = [(victim.both, f"{question}, two places")] * (question == mended)
        for ctx, asked in ((victim.alone, question), *both):
            came = _came(ctx, victim, damage, options, expected)
            if came == "other rows" and question == "time" and damage.may_be_missed:
                came = _verified(victim)
            elif ctx is victim.both and came != "the right rows":
                came = f"WRONG: not mended: {came}"
            elif came == "other rows":
                came = "WRONG rows"
            yield damage.kind, asked, came


def _came(
    ctx: sc.Context,
    victim: Victim,
    damage: damaging.Damage,
    options: dict[str, Any],
    expected: bytes,
) -> str:
    if tracemalloc.is_tracing():
        tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        rows = ctx.get_array(RUN, victim.name, progress_bar=False, max_workers=1, **options)
        came = "the right rows" if rows.tobytes() == expected else "other rows"
    except sc.DataCorrupted as error:
        came = damaging.judged(str(error), damage, f"run {RUN}, {victim.name}, chunk ")
    except NewerFormat as error:
        came = "NewerFormat" if "version" in damage.kind else f"WRONG: {error!r}"
    except sc.DataNotAvailable as error:  # metadata that cannot be read count as not stored
        came = "DataNotAvailable" if damage.document else f"WRONG: {error!r}"
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        came = f"WRONG: {error!r}"
    if tracemalloc.is_tracing() and tracemalloc.get_traced_memory()[1] - before > PEAK_BYTES:
        came = "WRONG: much memory"
    return came


def _verified(victim: Victim) -> str:
    try:
        victim.alone.verify(RUN, victim.name)
    except sc.DataCorrupted:
        return "missed: times that fit (verify says DataCorrupted)"
    return "WRONG rows, and verify sees nothing"


def damaged(
    name: str, n: int, seed: int, set_size: Callable[[Any, str, int], object] = setattr
) -> Counter[tuple[str, str, str]]:
    """Do many damages to a data set; how often each came to what."""
    for size, value in {"segment_bytes": 32 << 20, **SETS[name].sizes}.items():
        set_size(ColumnsCodec, size, value)
    for size, value in LIMITS.items():
        set_size(decoding, size, value)
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        victim = Victim(name, Path(folder))
        each = (outcomes(victim, random, is_measured=i % 10 == 0) for i in range(n))
        return Counter(itertools.chain.from_iterable(each))


def main() -> int:
    """Do it for all; 1 if anything came to what it may not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=SETS)
    arguments = parser.parse_args()
    logging.getLogger("strax_core").setLevel(logging.CRITICAL)  # each damage is told there, too
    wrong = total = 0
    for name in arguments.sets:
        for (done, asked, came), times in sorted(
            damaged(name, arguments.n, arguments.seed).items()
        ):
            print(f"{name:10} {done:22} {asked:20} {times:6} {came}", flush=True)  # noqa: T201
            wrong += times * came.startswith("WRONG")
            total += times
    print(f"{wrong} of {total} loads came to what they may not")  # noqa: T201 - a script
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
