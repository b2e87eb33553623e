"""The kit itself is tested: an honest backend passes, and each broken one fails where it should."""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

TWINS = Path(__file__).parent / "twins.py"
BROKEN = {
    # What the twin does wrong: the checks that are about it, and those that rely on the same.
    "TestWritesInPlace": ({"test_a_reader_sees_the_old_bytes_or_the_new"}, set[str]()),
    "TestMetadataFirst": (
        {
            "test_the_metadata_come_last",
            "test_a_writer_that_stops_at_any_call_leaves_whole_data_or_none",
            "test_whichever_call_fails_the_data_are_whole_or_absent",
        },
        {"test_an_answer_lost_for_good_is_called_unknown_and_nothing_is_discarded"},
    ),
    "TestChecksThenCreates": ({"test_of_many_who_create_exactly_one_succeeds"}, set()),
    "TestMissingIsEmpty": (
        {"test_reading_what_is_missing_says_so"},
        {"test_any_order_of_verbs_does_what_a_dictionary_does"},
    ),
    "TestListsWhatBeginsAlike": ({"test_a_name_is_not_mistaken_for_one_it_begins"}, set()),
    "TestReadsRangesShort": (
        {"test_a_range_beyond_the_end_is_never_short"},
        {"test_any_order_of_verbs_does_what_a_dictionary_does"},
    ),
    "TestDeletesSiblings": (
        {
            "test_a_name_is_not_mistaken_for_one_it_begins",
            "test_deleting_a_folder_takes_all_in_it_and_nothing_else",
        },
        {"test_any_order_of_verbs_does_what_a_dictionary_does"},
    ),
    "TestRenameReplaces": (
        {"test_renaming_never_replaces", "test_of_many_who_rename_exactly_one_succeeds"},
        # A saver commits by renaming: its promise that the first writer wins falls with it.
        {
            "test_a_folder_without_metadata_is_in_nobodys_way",
            "test_a_lost_answer_does_not_turn_a_loser_into_a_winner",
            "test_any_order_of_saving_removing_and_cleaning_does_what_a_model_does",
            "test_any_order_of_verbs_does_what_a_dictionary_does",
            "test_good_data_are_not_replaced",
            "test_of_many_who_commit_at_once_exactly_one_wins",
            "test_the_first_of_two_writers_wins",
            "test_unreadable_data_are_replaced_unless_never",
            "test_whichever_call_fails_the_data_are_whole_or_absent",
        },
    ),
    "TestSwallowsAWorkersError": ({"test_an_error_in_a_worker_ends_the_save"}, set()),
    "TestShowsItsSecret": ({"test_what_shows_a_backend_shows_no_secret"}, set()),
}
ASSERTIONS = ("AssertionError: ", "Failed: DID NOT RAISE ")
"""How an error begins if a check found something, and did not fall over it."""


@pytest.fixture(scope="module")
def scorecards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the kit says of each twin, at the level quick; in two processes, for it takes a while."""
    names = ["TestHonest", *BROKEN]
    folder = tmp_path_factory.mktemp("twins")
    runs = [run_kit(names[i::2], folder / f"{i}.json") for i in range(2)]
    for run in runs:
        output, _ = run.communicate()
        assert run.returncode == pytest.ExitCode.TESTS_FAILED, output
    cards = [json.loads((folder / f"{i}.json").read_text()) for i in range(2)]
    assert {card["level"] for card in cards} == {"quick"}
    return {
        entry["test"].rpartition("::")[2]: entry for card in cards for entry in card["contracts"]
    }


def run_kit(names: Collection[str], scorecard: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "STRAX_CONTRACT": "quick",
        "STRAX_CONTRACT_SCORECARD": str(scorecard),
    }
    options = ("-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *(f"{TWINS}::{name}" for name in names)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_honest_twin_passes_every_check(scorecards: dict[str, Any]) -> None:
    honest = scorecards["TestHonest"]

    assert honest["failed"] == []
    assert len(honest["passed"]) > 200
    assert (honest["contract"], honest["subject"]) == ("BackendContract", "Honest")


@pytest.mark.parametrize("twin", BROKEN)
def test_a_broken_twin_fails_in_the_check_that_is_about_it_and_in_no_other(
    scorecards: dict[str, Any], twin: str
) -> None:
    about, related = BROKEN[twin]
    card = scorecards[twin]
    failed = {entry["check"].partition("[")[0] for entry in card["failed"]}
    crashed = [entry for entry in card["failed"] if not entry["error"].startswith(ASSERTIONS)]

    assert failed >= about
    assert failed - about <= related
    assert crashed == []
    assert len(card["failed"]) + len(card["passed"]) == len(scorecards["TestHonest"]["passed"])
