import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from strax_core.directory import DirectoryFrontend
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageUnavailable,
)
from strax_core.keys import DataKey, Lineage
from strax_core.location import Location
from strax_core.matching import Match
from strax_core.memory import MemoryBackend
from strax_core.places import Places

KEY = DataKey("7", "peaks", Lineage({"peaks": ("Peaks", "1", {})}))
BAD = [TimeoutError("slow"), StorageUnavailable("down"), DataCorrupted("hurt"), OSError()]


class Memory(DirectoryFrontend):
    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(MemoryBackend(), name=name, **options)


class Bad(Memory):
    """Raises what it was given, whatever it is asked."""

    def __init__(self, error: Exception, name: str = "bad", **options: Any) -> None:
        super().__init__(name, **options)
        self.error = error

    def _find(self, key: DataKey, match: Match) -> list[Location]:  # noqa: ARG002
        raise self.error

    def _run_metadata(self, run_id: str) -> Mapping[str, Any]:  # noqa: ARG002
        raise self.error

    def _scan_runs(self) -> Iterator[Mapping[str, Any]]:
        yield {"name": "1"}
        raise self.error


def stored(name: str, **options: Any) -> Memory:
    import numpy as np

    from strax_core.chunks import Chunk

    frontend = Memory(name, **options)
    metadata = {
        "run_id": "7",
        "data_type": "peaks",
        "data_kind": "peaks",
        "dtype": "[('time', '<i8'), ('endtime', '<i8')]",
        "compressor": "none",
        "lineage": KEY.lineage.as_json(),
        "lineage_hash": KEY.lineage_hash,
    }
    with frontend.saver(KEY, metadata) as saver:
        rows = np.zeros(1, [("time", "<i8"), ("endtime", "<i8")])
        saver.save(Chunk(0, 10, rows, "7", "peaks"), 0)
    return frontend


def test_names_of_places_are_unique() -> None:
    with pytest.raises(ConfigError, match="two places are called 'a'"):
        Places([Memory("a"), Memory("b"), Memory("a")])


def test_a_misspelt_place_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no place 'archiv'.*did you mean 'archive'"):
        Places([Memory("archive"), Memory("b")]).place("archiv")


def test_nearer_places_are_asked_first_and_ties_keep_the_users_order() -> None:
    places = Places([Memory("tape", storage_type=10), Memory("b"), Memory("a")])

    assert [frontend.name for frontend in places] == ["b", "a", "tape"]
    assert Places([stored("far", storage_type=4), stored("near")]).find(KEY).place == "near"


@pytest.mark.parametrize("error", BAD, ids=repr)
def test_one_bad_place_is_reported_and_the_next_one_asked(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "strax_core"):
        found = Places([Bad(error), stored("good")]).find(KEY)

    problem = f"bad could not answer: {str(error) or type(error).__name__}"
    assert found.frontend.name == "good"
    assert found.problems == (problem,)
    assert problem in caplog.text


def test_a_place_after_the_first_that_has_it_is_not_asked() -> None:
    copies = Places([stored("good"), Bad(AssertionError("asked"))]).find_all(KEY)

    assert next(copies).place == "good"


def test_all_copies_are_found_in_order() -> None:
    places = Places([stored("a"), Memory("b"), Bad(OSError("gone")), stored("c")])

    assert [found.place for found in places.find_all(KEY)] == ["a", "c"]


def test_what_is_nowhere_is_not_available_and_the_message_says_what_each_answered() -> None:
    places = Places([Bad(DataCorrupted("hurt")), Memory("b"), Memory("c", take_only="events")])

    with pytest.raises(DataNotAvailable, match=r"bad could not answer: hurt; .*c does not take"):
        places.find(KEY)
    assert not places.has(KEY)
    assert not Places([]).has(KEY)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (TimeoutError("slow"), StorageUnavailable),
        (StorageUnavailable("down"), StorageUnavailable),
    ],
)
def test_if_no_place_answers_that_is_not_taken_for_missing_data(
    error: Exception, raised: type[Exception]
) -> None:
    places = Places([Bad(error), Memory("other", exclude="peaks")])

    with pytest.raises(raised, match="no place could say whether it has 7-peaks") as caught:
        places.has(KEY)
    assert caught.value.__cause__ is error


def test_broken_data_may_be_made_again_so_they_count_as_missing() -> None:
    assert not Places([Bad(DataCorrupted("hurt"))]).has(KEY)


def test_the_first_place_with_a_document_wins() -> None:
    first, second = Memory("first"), Memory("second")
    second.write_run_metadata("7", {"gain": 2})
    places = Places([first, second])
    assert places.run_metadata("7", "gain") == {"gain": 2}
    first.write_run_metadata("7", {"gain": 1})

    assert places.run_metadata("7", "gain") == {"gain": 1}
    assert places.run_metadata_or_error("7")["gain"] == 1


def test_a_place_without_documents_is_passed_over_and_none_at_all_is_an_error() -> None:
    places = Places([Memory("a")])

    with pytest.raises(RunMetadataNotAvailable, match=r"no place.*run 7"):
        places.run_metadata("7")
    assert places.run_metadata_or_error("7") == {}


@pytest.mark.parametrize("error", BAD, ids=repr)
def test_a_document_is_read_past_a_bad_place_but_not_where_it_changes_results(
    error: Exception,
) -> None:
    good = Memory("good")
    good.write_run_metadata("7", {"gain": 2})
    places = Places([Bad(error), good])

    assert places.run_metadata("7", "gain") == {"gain": 2}
    with pytest.raises(type(error)):
        places.run_metadata_or_error("7")


def test_if_the_only_document_cannot_be_read_the_error_says_so() -> None:
    with pytest.raises(StorageUnavailable, match="no document about run 7 could be read: slow"):
        Places([Bad(TimeoutError("slow")), Memory("b")]).run_metadata("7")


def test_a_bad_run_id_is_an_error_at_once() -> None:
    with pytest.raises(ConfigError):
        Places([Memory("a")]).run_metadata("../x")


def test_documents_go_to_the_first_place_that_takes_them() -> None:
    taking = Memory("b")
    Places([Memory("a", readonly=True), taking]).write_run_metadata("7", {"x": 1})

    assert taking.run_metadata("7")["x"] == 1
    with pytest.raises(ReadOnlyError, match=r"no place.*run 7"):
        Places([Memory("a", readonly=True)]).write_run_metadata("7", {})


def test_each_run_is_listed_once_and_a_bad_place_does_not_end_the_list() -> None:
    good = Memory("good")
    for run_id in ("1", "2"):
        good.write_run_metadata(run_id, {"from": "good"})
    listed = list(Places([Bad(OSError("gone")), good]).scan_runs())

    assert sorted(document["name"] for document in listed) == ["1", "2"]
    assert [document.get("from") for document in listed if document["name"] == "1"] == [None]
