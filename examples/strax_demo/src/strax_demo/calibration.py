"""Step 4: a calibration in the document about one run changes that run only."""

from pathlib import Path

import numpy as np

from strax_core import Context
from strax_core.cli import say, say_table
from strax_demo.simulation import COUNTS_PER_ELECTRON
from strax_demo.watching import expect, watched

RUNS = ("run_7", "run_8")
GAIN = 1.25 * COUNTS_PER_ELECTRON


def calibrate_one_run(config: Path) -> None:
    """Make two short runs, calibrate one, ask again."""
    say(f"4. The document about run_7 gets a calibration, gain = {GAIN:g}; run_8 has none.")
    context = Context.from_config("calibrated", path=config)
    keys = {run: context.key_for(run, "events") for run in RUNS}
    before = {run: context.get_array(run, "events") for run in RUNS}
    context.write_run_metadata(
        "run_7", {"comment": "short, for the demo", "strax_defaults": {"gain": GAIN}}
    )
    rows = []
    for run in RUNS:
        with watched(context) as seen:
            after = context.get_array(run, "events")
        key = context.key_for(run, "events")
        is_new = run == "run_7"
        expect(
            f"the key of {run} is {'new' if is_new else 'as before'}",
            holds=(key != keys[run]) == is_new,
        )
        same_rows = after.tobytes() == before[run].tobytes()
        expect(
            f"the rows of {run} are {'new' if is_new else 'as before'}", holds=same_rows != is_new
        )
        expect(
            "only what needs the gain is made",
            holds=seen.made_types == ["peaks", "events"] * is_new,
        )
        means = [f"{np.mean(events['energy_kev']):.1f} keV" for events in (before[run], after)]
        did = "made " + " and ".join(seen.made_types) if seen.made else "made nothing"
        rows.append([run, keys[run].lineage_hash, key.lineage_hash, *means, did])
    say_table(["run", "key before", "now", "energy before", "now", ""], rows, indent="   ")
