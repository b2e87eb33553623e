"""The kit notices a directory that follows links, or does not tell that something is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

TWINS = Path(__file__).with_name("local_twins.py")
ABOUT = {
    "TestLocal": set[str](),
    "TestFollowsLinks": {
        "test_cleaning_leaves_a_link_in_staging_and_says_so",
        "test_a_staging_folder_that_is_a_link_is_left_and_not_used",
        "test_a_link_in_the_folder_of_a_dead_writer_stays",
        "test_a_folder_at_the_top_may_be_a_link_and_is_read_and_not_changed",
        "test_removing_data_behind_a_link_removes_the_link_and_says_what_stays",
        "test_data_behind_a_link_are_replaced_there_only_if_always",
        "test_nothing_is_written_behind_a_link_to_something_else",
        "test_a_file_or_folder_below_that_is_a_link_is_refused",
        "test_a_link_to_nothing_is_not_called_nothing",
        "test_data_are_removed_but_for_a_link_that_is_called_like_a_chunk",
    },
    "TestHidesLinks": {
        "test_cleaning_leaves_a_link_in_staging_and_says_so",
        "test_a_file_or_folder_below_that_is_a_link_is_refused",
        "test_data_are_removed_but_for_a_link_that_is_called_like_a_chunk",
    },
}


def test_each_twin_fails_in_the_checks_that_are_about_it(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    environment = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", str(TWINS)],
        env={**environment, "STRAX_CONTRACT_SCORECARD": str(card)},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = {
        entry["test"].rpartition("::")[2]: {
            each["check"].partition("[")[0] for each in entry["failed"]
        }
        for entry in json.loads(card.read_text())["contracts"]
    }

    assert failed == ABOUT, done.stdout
