"""The real strax and we at work in one folder, in random order; see `together.py`."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).with_name("together.py")
SEEDS = (1, 2)  # one process each, of its own because it forks


@pytest.mark.parametrize("n_sequences", [24, pytest.param(200, marks=pytest.mark.nightly)])
def test_random_sequences_by_both_in_one_folder_get_the_same_answers(
    capsys: pytest.CaptureFixture[str], seed: int, n_sequences: int
) -> None:
    each = str(n_sequences // len(SEEDS))
    commands = [
        [sys.executable, str(SCRIPT), "--sequences", each, "--seed", str(seed + number)]
        for number in SEEDS
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    reports: list[dict[str, Any]] = [json.loads(each.communicate()[0]) for each in processes]
    counted: Counter[str] = Counter()
    for report in reports:
        counted.update({f"strict, {name}": n for name, n in report["strict"].items()})
        counted.update({f"fuzzy, {name}": n for name, n in report["fuzzy"].items()})
        counted["died in a save"] += report["n_died"]
    with capsys.disabled():
        sys.stdout.write(f"\n{n_sequences} sequences by strax and us in one folder: {counted}\n")

    assert [wrong for report in reports for wrong in report["wrong"]] == []
    assert sum(report["n_sequences"] for report in reports) == n_sequences
    # All of it happened, and often.
    assert counted["died in a save"] > n_sequences / 2
    for answer in ("strict, yes", "strict, no", "fuzzy, yes", "fuzzy, no"):
        assert counted[answer] > 4 * n_sequences
    assert counted["fuzzy, wrong no of strax"] > 0
    assert counted["fuzzy, DataCorrupted"] > 0  # strax meets broken data before good ones
