"""Calibrations in the documents of runs, with the real strax beside us on one folder."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from twins import TIMES, Rows, made_from, our_context, rows_of, source, their_context

import strax_core

PIECES = [(0, 1000, rows_of(TIMES, [1], seed=0)), (1000, 2000, rows_of(TIMES, [1001], seed=1))]
CALIBRATED = np.dtype([*TIMES.descr, ("x", "<f8")])


def gain_user(package: ModuleType) -> type:
    """Return a data plugin whose rows and key hang on the option `gain`, by default 1."""

    def compute(self: Any, things: Rows) -> Rows:
        rows = np.zeros(len(things), CALIBRATED)
        rows["time"], rows["endtime"] = things["time"], things["endtime"]
        rows["x"] = self.config["gain"]
        return rows

    made = made_from(package, "things", compute, dtype=CALIBRATED)
    return package.takes_config(package.Option("gain", default=1.0))(made)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("config", "gain_of_run_7", "gain_of_run_8"), [({}, 2.5, 1.0), ({"gain": 4.0}, 4.0, 4.0)]
)
def test_a_calibration_in_a_runs_document_changes_that_run_only_and_config_wins(
    upstream: ModuleType,
    tmp_path: Path,
    config: dict[str, float],
    gain_of_run_7: float,
    gain_of_run_8: float,
) -> None:
    ours = our_context(
        tmp_path,
        source(strax_core, PIECES, dtype=TIMES),
        gain_user(strax_core),
        config=config,
        use_per_run_defaults=True,
    )
    before = {run: str(ours.key_for(run, "results")) for run in ("run_7", "run_8")}
    source_before = str(ours.key_for("run_7", "things"))
    ours.write_run_metadata("run_7", {"strax_defaults": {"gain": 2.5, "of_nobody": 1}})
    ours.write_run_metadata("run_8", {"comment": "no calibration"})

    theirs = their_context(
        upstream,
        tmp_path,
        source(upstream, PIECES, dtype=TIMES),
        gain_user(upstream),
        config=config,
        use_per_run_defaults=True,
    )
    for run, gain in (("run_7", gain_of_run_7), ("run_8", gain_of_run_8)):
        assert ours.get_array(run, "results")["x"].tolist() == [gain, gain]
        key = str(ours.key_for(run, "results"))
        assert key == str(theirs.key_for(run, "results"))
        assert (key != before[run]) == (run == "run_7" and not config)
        assert theirs.is_stored(run, "results")
        assert theirs.get_array(run, "results", progress_bar=False)["x"].tolist() == [gain, gain]
    assert str(ours.key_for("run_7", "things")) == source_before


def test_a_calibration_is_not_looked_at_unless_asked_for(tmp_path: Path) -> None:
    ours = our_context(tmp_path, source(strax_core, PIECES, dtype=TIMES), gain_user(strax_core))
    ours.write_run_metadata("run_7", {"strax_defaults": {"gain": 2.5}})

    assert ours.get_array("run_7", "results")["x"].tolist() == [1.0, 1.0]
    assert ours.key_for("run_7", "results").lineage == ours.key_for("run_8", "results").lineage
