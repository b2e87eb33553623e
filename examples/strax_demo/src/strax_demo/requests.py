"""Steps 1 to 3: make, load, and make again only what an option changes."""

import time

import numpy as np

from strax_core import Context
from strax_core.cli import megabytes, say, say_table
from strax_demo.simulation import TRUE_ELIFE_US, Rows
from strax_demo.watching import Progress, Watched, expect, watched

RUN = "run_1"
TYPES = ("records", "peaks", "events")


def make_first(context: Context) -> Watched:
    """Step 1: nothing is stored, so everything is made and kept."""
    say('1. get_array("run_1", "events"): nothing is stored yet, so it is made, with all it needs.')
    with watched(context) as seen, Progress(context):
        events = context.get_array(RUN, "events")
    expect("the first request makes all data types", holds=set(seen.made) == set(TYPES))
    expect("and keeps them", holds={piece.data_type for piece in seen.kept} == set(TYPES))
    expect("all events come out", holds=len(events) == len(context.get_array(RUN, "events")))
    rows = [
        [name, seen.made[name], f"{piece.rows:,}", *_sizes(piece.nbytes, piece.stored_bytes)]
        for name in TYPES
        for piece in seen.kept
        if piece.data_type == name
    ]
    say_table(["made", "chunks", "rows", "size", "stored", "smaller by"], rows, indent="   ")
    say(f"   {seen.seconds:.1f} s for {megabytes(seen.nbytes)}: {_rate(seen.nbytes, seen.seconds)}")
    return seen


def load_again(context: Context, first: Watched) -> None:
    """Step 2: the same request loads."""
    say("2. The same request again: all is stored now, so it is loaded.")
    with watched(context) as seen:
        events = context.get_array(RUN, "events")
    expect("the second request makes nothing", holds=not seen.made and not seen.kept)
    ratio = first.seconds / seen.seconds
    say(f"   Made: nothing. {len(events):,} events loaded, {megabytes(events.nbytes)}.")
    say(f"   {seen.seconds:.3f} s instead of {first.seconds:.1f} s: {ratio:,.0f} times as fast")
    started = time.perf_counter()
    nbytes = rows = chunks = 0
    for chunk in context.get_iter(RUN, "records"):
        nbytes, rows, chunks = nbytes + chunk.nbytes, rows + len(chunk), chunks + 1
    seconds = time.perf_counter() - started
    kept = next(piece for piece in first.kept if piece.data_type == "records")
    expect("all records are loaded", holds=(rows, chunks) == (kept.rows, kept.chunks))
    say('   get_iter("run_1", "records") loads the waveforms chunk by chunk, checksums included:')
    say(f"   {seconds:.2f} s for {megabytes(nbytes)}: {_rate(nbytes, seconds)}")


def change_an_option(context: Context) -> None:
    """Step 3: only what depends on the option is made again."""
    say(f"3. The option elife_us of events is set to {TRUE_ELIFE_US:g}: only events depend on it.")
    before = context.get_array(RUN, "events")
    corrected = context.new_context(config={"elife_us": TRUE_ELIFE_US})
    is_found = {name: corrected.is_stored(RUN, name) for name in TYPES}
    with watched(corrected) as seen:
        after = corrected.get_array(RUN, "events")
    expect("only events are made again", holds=seen.made_types == ["events"])
    expect("records and peaks were found", holds=[*is_found.values()] == [True, True, False])
    rows = [
        [
            name,
            context.key_for(RUN, name).lineage_hash,
            corrected.key_for(RUN, name).lineage_hash,
            "found" if is_found[name] else "made",
        ]
        for name in TYPES
    ]
    say_table(["data type", "lineage before", "now", ""], rows, indent="   ")
    say(f"   {seen.seconds:.2f} s. Width of the line: {spread(before)} before, {spread(after)} now")


def spread(events: Rows) -> str:
    """Return the relative width of the energy line."""
    return f"{np.std(events['energy_kev']) / np.mean(events['energy_kev']):.1%}"


def _sizes(nbytes: int | None, stored_bytes: int | None) -> list[str]:
    ratio = (nbytes or 0) / (stored_bytes or 1)
    return [megabytes(nbytes), megabytes(stored_bytes), f"{ratio:.1f}"]


def _rate(nbytes: int, seconds: float) -> str:
    return f"{nbytes / 1e6 / seconds:,.0f} MB/s"
