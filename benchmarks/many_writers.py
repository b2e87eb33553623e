"""Many processes save one piece of data at once, a third is killed: is what is left always whole?

`tests/benchmarks/test_many_writers.py` plays a few rounds of the same.
"""

import argparse
import json
import logging
import os
import random
import signal
import statistics
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from strax_core import Chunk, Context, Plugin
from strax_core.format.checksums import checksum
from strax_core.format.metadata import Metadata

N_WRITERS = 16
N_KILLED = round(N_WRITERS / 3)
ALL_KILLED_EVERY = 10  # rounds: else nearly every one would end with a piece
RUN_ID, DATA_TYPE = "run_0", "records"
ROWS_A_CHUNK, CHUNKS, CHUNK_NS = 250, 8, 1_000_000
GIVE_UP_S = 600.0  # a busy machine is slow
BROKEN = ("junk", "empty folder", "failed metadata", "unreadable metadata")
DTYPE = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("waveform", "<i2", 100)])


class Ending(IntEnum):
    """How a writer that was not killed ended; its exit code."""

    SAVED = 0
    LOST_TO_ANOTHER = 1
    FOUND_IT_STORED = 2
    FAILED = 3


def rows_of(chunk_i: int) -> np.ndarray[Any, Any]:
    """Return the rows of a chunk: the same in every process, and hard to compress."""
    rows = np.zeros(ROWS_A_CHUNK, DTYPE)
    rows["time"] = chunk_i * CHUNK_NS + np.arange(ROWS_A_CHUNK) * (CHUNK_NS // ROWS_A_CHUNK)
    rows["endtime"] = rows["time"] + 100
    rows["waveform"] = np.random.default_rng(chunk_i).integers(-2000, 2000, (ROWS_A_CHUNK, 100))
    return rows


EXPECTED = np.concatenate([rows_of(chunk_i) for chunk_i in range(CHUNKS)])


class Records(Plugin):
    """A source of a few hundred kB, stored in about as many chunks as it gives."""

    provides = DATA_TYPE
    dtype = DTYPE
    chunk_target_size_mb = 0.06
    times_run = 0

    def chunks(self) -> Iterator[Chunk]:
        """Give the chunks one by one."""
        type(self).times_run += 1
        for chunk_i in range(CHUNKS):
            yield self.chunk(
                start=chunk_i * CHUNK_NS, end=(chunk_i + 1) * CHUNK_NS, data=rows_of(chunk_i)
            )


@dataclass
class Tally:
    """What happened, over all rounds."""

    counts: Counter[str] = field(default_factory=Counter)
    leftovers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    save_s: float = 0.05
    """How long a save takes among the others: kills fall within that."""


def context_of(folder: Path) -> Context:
    """Return a context that keeps data in this folder.

    Without fsync, which guards against power cuts only and leaves the same steps; they come closer
    together, so more writers meet.
    """
    # Some of what is found broken looks as if strax wrote it; without this that brings a warning.
    place = {"frontend": "local", "path": str(folder), "fsync": False, "for_upstream": True}
    return Context([place], plugins=[Records])


def play(rounds: int, *, seed: int, folder: Path, broken: float = 0.5) -> Tally:
    """Play rounds, each in its own folder below `folder`; AssertionError when one goes wrong.

    Args:
        rounds: how many.
        seed: of the schedule; what the system makes of it differs each time.
        folder: an empty one.
        broken: which part of the rounds begins with something in the place that nobody can read.
    """
    tally = Tally()
    randomness = random.Random(seed)  # noqa: S311 - a schedule, no secret
    warm_up = folder / "warm_up"
    warm_up.mkdir()
    context_of(warm_up).make(RUN_ID, DATA_TYPE)  # compiles, so that the children need not
    measure_a_save(folder / "measure", tally)
    for number in range(rounds):
        is_for_all = number % ALL_KILLED_EVERY == ALL_KILLED_EVERY - 1
        n_killed = N_WRITERS if is_for_all else N_KILLED
        kind = randomness.choice(BROKEN) if randomness.random() < broken else None
        try:
            play_round(folder / f"{number:05d}", kind, randomness, tally, n_killed=n_killed)
        except AssertionError as error:
            error.add_note(f"in round {number} of seed {seed}; its folder is {folder}/{number:05d}")
            raise
        tally.counts["rounds"] += 1
    return tally


def measure_a_save(folder: Path, tally: Tally) -> None:
    """Let all writers loose and kill none, to know how long that takes."""
    folder.mkdir()
    context = context_of(folder)
    codes = race(context, {}, tally)
    if set(codes) & {Ending.FAILED}:
        raise AssertionError("a writer failed; its error is printed above")
    check_rows(context)
    tally.save_s = tally.seconds.pop()


def play_round(
    folder: Path, kind: str | None, randomness: random.Random, tally: Tally, *, n_killed: int
) -> None:
    """Let all writers loose on one key, kill some, and check what is left in four steps."""
    folder.mkdir()
    context = context_of(folder)
    key = context.key_for(RUN_ID, DATA_TYPE).name
    stays: set[str] = set()
    if kind is not None:
        tally.counts[f"began with {kind}"] += 1
        stays = plant(kind, folder / key)
    doomed = randomness.sample(range(N_WRITERS), n_killed)
    codes = race(context, {each: randomness.uniform(0, tally.save_s) for each in doomed}, tally)
    for code in codes:
        name = "killed" if code == -signal.SIGKILL else Ending(code).name.lower()
        tally.counts[name.replace("_", " ")] += 1
    if Ending.FAILED in codes:
        raise AssertionError("a writer failed; its error is printed above")

    is_there = context.is_stored(RUN_ID, DATA_TYPE)
    tally.counts["ended with one piece" if is_there else "ended with none"] += 1
    if is_there:
        check_rows(context)
    check_only_the_key_looks_like_data(folder, key)

    context.make(RUN_ID, DATA_TYPE)
    check_rows(context)

    place = context.storage[0]
    tally.leftovers.update(leftover.reason for leftover in context.clean(place, grace_s=0))
    context.clean(place, grace_s=0, dry_run=False)
    left = context.clean(place, grace_s=0)
    # What lies beside metadata that could not be read may be good: it is only told.
    if any(not each.stays for each in left) or (left and kind != "unreadable metadata"):
        raise AssertionError(f"clean found more the second time: {left}")
    for each in left:
        below = [path for path in (folder / each.path).rglob("*") if path.is_file()]
        stays |= {str(path.relative_to(folder)) for path in below} | {each.path}
    check_nothing_but_data(folder, context.get_metadata(RUN_ID, DATA_TYPE), key, stays)
    check_rows(context)


def race(context: Context, kill_after_s: Mapping[int, float], tally: Tally) -> list[int]:
    """Start all writers at once, kill some, by number, at these moments; return the exit codes."""
    gate_out, gate_in = os.pipe()
    writers = [start_writer(context, gate_out, gate_in) for _ in range(N_WRITERS)]
    os.close(gate_out)
    began = time.monotonic()
    os.close(gate_in)  # the gate opens
    for number, moment in sorted(kill_after_s.items(), key=lambda item: item[1]):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        os.kill(writers[number], signal.SIGKILL)
    codes = [wait_for(writer, until=began + GIVE_UP_S) for writer in writers]
    tally.seconds.append(time.monotonic() - began)
    if 0 < len(kill_after_s) < N_WRITERS:
        tally.save_s += (tally.seconds[-1] - tally.save_s) / 10
    return codes


def start_writer(context: Context, gate_out: int, gate_in: int) -> int:
    """Fork a writer that waits at the gate; return its process id."""
    writer = os.fork()
    if writer:
        return writer
    ending = Ending.FAILED
    try:
        os.close(gate_in)
        os.read(gate_out, 1)
        ending = write(context)
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(ending)


def write(context: Context) -> Ending:
    """Ask for the data, as any user would."""
    Records.times_run = 0
    context.make(RUN_ID, DATA_TYPE)
    if not Records.times_run:
        return Ending.FOUND_IT_STORED
    writer = context.get_metadata(RUN_ID, DATA_TYPE)["writer"]
    return Ending.SAVED if writer["pid"] == os.getpid() else Ending.LOST_TO_ANOTHER


def wait_for(writer: int, *, until: float) -> int:
    """Return how a writer ended: its exit code, or minus the signal that ended it."""
    while time.monotonic() < until:
        found, status = os.waitpid(writer, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    raise AssertionError(f"a writer did not end within {GIVE_UP_S:g} s")


def plant(kind: str, folder: Path) -> set[str]:
    """Make a final folder that nobody can read; return those of its files that are to stay."""
    folder.mkdir()
    if kind == "empty folder":
        return set()
    prefix = folder.name.partition("-")[2]
    chunk = folder / f"{prefix}-000000"
    chunk.write_bytes(b"a chunk")
    metadata = folder / f"{prefix}-metadata.json"
    if kind == "unreadable metadata":
        raw = b'{"chunks": ['
        metadata.write_bytes(raw)
        kept = f"unreadable-{checksum([raw]).partition(':')[2]}.json"
        return {f"{folder.name}/{name}" for name in (chunk.name, kept)}  # for a person to look at
    if kind == "failed metadata":  # as strax leaves it, under the final name
        info = {"chunk_i": 0, "n": 1, "start": 0, "end": 1, "run_id": RUN_ID, "nbytes": 216}
        info |= {"filename": chunk.name, "filesize": 7, "subruns": None}
        document: dict[str, Any] = {"run_id": RUN_ID, "lineage": {}, "compressor": "zstd"}
        document |= dict.fromkeys(("data_type", "data_kind"), DATA_TYPE)
        document |= {"dtype": str(DTYPE.descr), "chunks": [info]}
        document |= {"exception": "Killed", "writing_ended": 1.0}
        metadata.write_text(json.dumps(document))
        return set()  # what they name goes with them
    return {f"{folder.name}/{chunk.name}"}


def check_rows(context: Context) -> None:
    """Check that what is stored is what was to be made."""
    rows = context.find(RUN_ID, DATA_TYPE).loader().read_all()
    if rows.tobytes() != EXPECTED.tobytes():
        raise AssertionError("other rows are stored than were made")


def check_only_the_key_looks_like_data(folder: Path, key: str) -> None:
    """Check what strax would take for data: folders with three dash-separated parts."""
    like_data = {path.name for path in folder.iterdir() if len(path.name.split("-")) == 3}  # noqa: PLR2004
    if not like_data <= {key}:
        raise AssertionError(f"leftovers that look like data: {like_data - {key}}")


def check_nothing_but_data(folder: Path, metadata: Metadata, key: str, stays: set[str]) -> None:
    """Walk the folder: only what the metadata name may be there, and no empty folder."""
    named = {f"{key}/{info.filename}" for info in metadata.chunks if info.filename}
    named |= stays | {f"{key}/{key.partition('-')[2]}-metadata.json"}
    expected = named | {str(parent) for path in named for parent in Path(path).parents}
    there = {str(path.relative_to(folder)) for path in (folder, *folder.rglob("*"))}
    if there != expected:
        raise AssertionError(f"too much: {there - expected}; missing: {expected - there}")


def main() -> None:
    """Play the rounds and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; left out: a temporary folder")
    arguments = parser.parse_args()
    # Of places that begin with something broken: that they could not answer is no news here.
    logging.getLogger("strax_core").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        tally = play(arguments.rounds, seed=arguments.seed, folder=Path(folder))
    print(f"{N_WRITERS} writers a round, seed {arguments.seed}; every check passed")
    for name, count in sorted((tally.counts + tally.leftovers).items()):
        print(f"{count:7d}  {name}")
    print(f"{statistics.median(tally.seconds):7.3f}  s a round (median)")


if __name__ == "__main__":
    main()
