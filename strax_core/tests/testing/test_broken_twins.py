"""The kit itself is tested: an honest backend passes, and each broken one fails where it should."""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from strax_core.testing.levels import LEVEL

pytestmark = pytest.mark.long
HERE = Path(__file__).parents[1] / "helpers"
HONEST = {
    "TestHonest": "broken_backends.py",
    "TestHonestFrontend": "broken_frontends.py",
    "TestHonestCodec": "broken_frontends.py",
}
BROKEN = {
    # What the twin does wrong: the checks that are about it, and those that rely on the same.
    "TestWritesInPlace": ({"test_a_reader_sees_the_old_bytes_or_the_new"}, set[str]()),
    "TestMetadataFirst": (
        {
            "test_the_metadata_come_last",
            "test_whichever_call_fails_the_data_are_whole_or_absent",
        },
        {
            "test_a_writer_that_stops_at_any_call_leaves_whole_data_or_none",
            "test_an_answer_lost_for_good_is_called_unknown_and_nothing_is_discarded",
        },
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
    "TestTakesAnySize": (
        {"test_ranges_are_of_a_file_of_the_size_that_is_told"},
        # With bytes added, in a codec read by ranges; memory is filled by ranges, too.
        {"test_a_damaged_chunk_is_refused", "test_memory_is_filled_with_a_file_of_its_size"},
    ),
    "TestFillsAnySize": ({"test_memory_is_filled_with_a_file_of_its_size"}, set()),
    "TestDeletesSiblings": (
        {
            "test_a_name_is_not_mistaken_for_one_it_begins",
            "test_deleting_a_folder_takes_all_in_it_and_nothing_else",
        },
        {"test_any_order_of_verbs_does_what_a_dictionary_does"},
    ),
    "TestDeletesFolders": (
        {"test_deleting_several_files_leaves_a_folder_of_that_name"},
        {"test_a_folder_in_the_place_of_a_chunk_stays"},
    ),
    "TestDropsFull": (
        {
            "test_only_an_empty_folder_is_dropped",
            "test_removing_leaves_what_no_writer_made_and_says_so",
        },
        {
            "test_a_folder_in_the_place_of_a_chunk_stays",
            "test_metadata_that_name_a_file_of_others_do_not_make_it_ours",
        },
    ),
    "TestRenameReplaces": (
        {"test_renaming_never_replaces", "test_of_many_who_rename_exactly_one_succeeds"},
        # A saver commits by renaming: its promise that the first writer wins falls with it.
        {
            "test_a_folder_in_the_place_of_a_chunk_stays",
            "test_a_folder_without_metadata_is_in_nobodys_way",
            "test_a_lost_answer_does_not_turn_a_loser_into_a_winner",
            "test_any_order_of_saving_removing_and_cleaning_does_what_a_model_does",
            "test_any_order_of_verbs_does_what_a_dictionary_does",
            "test_good_data_are_not_replaced",
            "test_metadata_that_name_a_file_of_others_do_not_make_it_ours",
            "test_of_many_who_commit_at_once_exactly_one_wins",
            "test_the_first_of_two_writers_wins",
            "test_unreadable_data_are_replaced_unless_never",
            "test_whichever_call_fails_the_data_are_whole_or_absent",
        },
    ),
    "TestSwallowsAWorkersError": ({"test_an_error_in_a_worker_ends_the_save"}, set()),
    "TestShowsItsSecret": ({"test_what_shows_a_backend_shows_no_secret"}, set()),
}
BROKEN_OTHERS = {
    "TestRemembers": (
        {
            "test_data_are_found_from_the_commit_until_they_are_removed",
            "test_what_was_put_there_is_found_and_loaded",
        },
        # Whatever is asked before data are there and again when they are.
        {
            "test_no_question_raises_but_to_say_that_there_is_nothing",
            "test_removing_touches_no_other_data",
            "test_the_first_of_two_writers_wins",
        },
    ),
    "TestMixesUpMany": (
        {"test_a_request_for_many_answers_as_one_for_each"},
        {
            "test_many_keys_cost_few_requests",
            "test_no_question_raises_but_to_say_that_there_is_nothing",
        },
    ),
    "TestTakesLettersForFields": ({"test_fields_are_asked_by_their_whole_names"}, set[str]()),
    "TestLosesMicroseconds": ({"test_a_document_comes_back_as_it_was"}, set()),
    "TestAllocatesWhatAHeaderSays": (
        {"test_bytes_that_expand_to_much_more_than_the_rows_take_no_memory"},
        set(),
    ),
    "TestNotesEveryRow": ({"test_what_it_wants_to_know_again_is_small_json"}, set()),
    "TestSortsColumns": (
        {"test_columns_are_those_of_the_whole_rows"},
        {
            "test_a_time_range_gives_the_rows_that_touch_it",
            "test_an_array_for_each_column_gets_what_rows_get",
        },
    ),
    "TestSharesItsBuffer": ({"test_many_threads_work_at_once"}, set()),
}
SLOW = (
    "test_any_order_of",
    "test_a_writer_that_stops_at_any_call",
    "test_whichever_call_of_a_replacement",
    "test_copies_in_other_processes",
)
"""What only honest twins run, unless STRAX_CONTRACT=full: these take longer than all others."""
ASSERTIONS = ("AssertionError: ", "Failed: DID NOT RAISE ", "Failed: DID NOT WARN")
"""How an error begins if a check found something, and did not fall over it."""


@pytest.fixture(scope="module")
def scorecards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the kit says of each twin; in two processes, to take less time."""
    nodes = [f"{HERE / file}::{name}" for name, file in HONEST.items()]
    nodes += [f"{HERE / 'broken_backends.py'}::{name}" for name in BROKEN]
    nodes += [f"{HERE / 'broken_frontends.py'}::{name}" for name in BROKEN_OTHERS]
    folder = tmp_path_factory.mktemp("twins")
    runs = [run_kit(nodes[i::2], folder / f"{i}.json") for i in range(2)]
    for run in runs:
        output, _ = run.communicate()
        assert run.returncode == pytest.ExitCode.TESTS_FAILED, output
    cards = [json.loads((folder / f"{i}.json").read_text()) for i in range(2)]
    assert {card["level"] for card in cards} == {"quick"}
    return {
        entry["test"].rpartition("::")[2]: entry for card in cards for entry in card["contracts"]
    }


def run_kit(nodes: Collection[str], scorecard: Path) -> subprocess.Popen[str]:
    environment = {
        # Not as one of several workers, if this runs in one: then no scorecard would be written.
        **{name: value for name, value in os.environ.items() if "XDIST" not in name},
        "STRAX_CONTRACT": "quick",  # at full, to make a failing sequence short takes minutes
        "STRAX_CONTRACT_SCORECARD": str(scorecard),
    }
    options = ["-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider"]
    if LEVEL == "quick":
        options += ["-k", f"TestHonest or not ({' or '.join(SLOW)})"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *nodes],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("twin", HONEST)
def test_an_honest_twin_passes_every_check(scorecards: dict[str, Any], twin: str) -> None:
    card = scorecards[twin]

    assert card["failed"] == []
    assert card["skipped"] == []
    assert len(card["passed"]) > 30
    assert card["contract"].endswith("Contract")
    assert card["subject"] in {"Honest", "DirectoryFrontend", "ZstdCodec"}


@pytest.mark.parametrize("twin", [*BROKEN, *BROKEN_OTHERS])
def test_a_broken_twin_fails_in_the_check_that_is_about_it_and_in_no_other(
    scorecards: dict[str, Any], twin: str
) -> None:
    about, related = (BROKEN | BROKEN_OTHERS)[twin]
    card = scorecards[twin]
    failed = {entry["check"].partition("[")[0] for entry in card["failed"]}
    crashed = [entry for entry in card["failed"] if not entry["error"].startswith(ASSERTIONS)]
    honest = next(
        scorecards[name] for name in HONEST if scorecards[name]["contract"] == card["contract"]
    )

    assert failed >= about
    assert failed - about <= related
    assert crashed == []
    run = {*card["passed"], *(entry["check"] for entry in card["failed"])}
    left_out = {check for check in honest["passed"] if check.startswith(SLOW)}
    assert run >= {*honest["passed"]} - (left_out if LEVEL == "quick" else set())


@pytest.mark.parametrize(
    ("environment", "told"),
    [({"STRAX_CONTRACT": "ful"}, "did you mean 'full'"), ({"STRAX_CONTRACT": "full"}, "64 full")],
)
def test_the_level_comes_from_the_environment(environment: dict[str, str], told: str) -> None:
    code = "from strax_core.testing.levels import *; print(at_level(quick=1, full=64), LEVEL)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told in done.stdout + done.stderr


@pytest.mark.parametrize(("module", "what"), [("hypothesis", "machines"), ("pytest", "testing")])
def test_what_the_kit_needs_is_told_if_it_is_missing(module: str, what: str) -> None:
    code = f"""
import sys
sys.modules[{module!r}] = None
from strax_core.testing import machines
machines.need_hypothesis()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert what in done.stderr.splitlines()[-1]
    assert "pip install 'strax-core[testing]'" in done.stderr.splitlines()[-1]


def test_importing_the_kit_imports_no_hypothesis() -> None:
    code = "import sys, strax_core.testing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "hypothesis" not in done.stdout.split()


def test_what_is_skipped_or_expected_to_fail_does_not_count_as_passed(tmp_path: Path) -> None:
    (tmp_path / "test_lazy.py").write_text(
        """
import pytest
from strax_core.testing import CodecContract

class TestLazy(CodecContract):
    @pytest.fixture
    def codec(self):
        return "none"

    def test_it_has_a_name(self):
        pytest.skip("another day")

    @pytest.mark.xfail
    def test_many_threads_work_at_once(self):
        assert False

    @pytest.mark.skip
    def test_bytes_of_more_or_fewer_rows_are_refused(self):
        pass
"""
    )
    card = tmp_path / "card.json"
    wanted = "name or at_once or fewer or is_small_json"
    run = run_kit([str(tmp_path / "test_lazy.py"), "-k", wanted], card)
    output, _ = run.communicate()
    assert run.returncode == pytest.ExitCode.OK, output
    (entry,) = json.loads(card.read_text())["contracts"]

    assert entry["passed"] == ["test_what_it_wants_to_know_again_is_small_json"]
    assert entry["failed"] == []
    assert {each["check"] for each in entry["skipped"]} == {
        "test_it_has_a_name",
        "test_many_threads_work_at_once",
        "test_bytes_of_more_or_fewer_rows_are_refused",
    }
