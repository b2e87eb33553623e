import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from strax_core.backend.memory import MemoryBackend
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageUnavailable,
)
from strax_core.format.keys import DataKey, Lineage
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.location import Location
from strax_core.frontend.match import Match
from strax_core.places.places import Places
from strax_core.testing import RawMemory
from strax_core.testing.samples import sample_chunks, save_sample
from strax_core.testing.two_places import TwoPlaceFrontend

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

    from strax_core.chunks.chunk import Chunk

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


# Fuzzy matches, several places


def with_version(version: str) -> DataKey:
    return DataKey("7", "peaks", Lineage({"peaks": ("Peaks", version, {})}))


def holding(name: str, **versions: float) -> Memory:
    """Return a place with data of these versions, which ended at these times."""
    frontend = Memory(name)
    backend = frontend.backends["main"]
    raw = RawMemory(backend)  # type: ignore[arg-type]
    for version, ended in versions.items():
        key = with_version(version)
        metadata = save_sample(backend, key, sample_chunks(key))
        document = {**metadata, "writing_ended": ended, "data_id": f"made as {version}"}
        path = f"{key.name}/peaks-{key.lineage_hash}-metadata.json"
        raw.write(path, json.dumps(document).encode())
    return frontend


FUZZY = Match(fuzzy_for="peaks")
WANTED = with_version("wanted")


def test_an_exact_copy_far_away_comes_before_a_fuzzy_one_that_is_near_and_newer() -> None:
    places = Places([holding("near", other=900.0), holding("far", wanted=1.0)])
    found = list(places.find_all(WANTED, FUZZY))

    assert [(each.place, each.is_exact) for each in found] == [("far", True), ("near", False)]
    assert found[0].differences == ()
    assert found[1].differences == ("version of peaks: 'other' here, 'wanted' wanted",)
    assert places.find(WANTED, FUZZY).is_exact
    assert places.find(WANTED).place == "far"


def test_fuzzy_matches_of_all_places_are_ranked_together_and_copies_stay_together() -> None:
    near, far = holding("near", a=100.0, b=300.0), holding("far", a=900.0, c=200.0)
    found = list(Places([near, far]).find_all(WANTED, FUZZY))

    # The copy of `a` in the far place was made late, of rows that were made first of all.
    assert [(each.place, each.metadata["data_id"][-1]) for each in found] == [
        ("near", "b"),
        ("far", "c"),
        ("near", "a"),
        ("far", "a"),
    ]


@pytest.mark.parametrize("error", BAD, ids=repr)
def test_a_bad_place_hides_no_fuzzy_match_of_another(error: Exception) -> None:
    places = Places([Bad(error), holding("good", other=1.0), Bad(error, name="worse")])
    found = places.find(WANTED, FUZZY)

    assert found.place == "good"
    assert len(found.problems) == 2
    assert places.has(WANTED, FUZZY)
    assert not places.has(WANTED)


def test_a_place_that_cannot_list_still_gives_its_exact_copy_and_hides_no_other() -> None:
    class NoList(Memory):
        def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
            if match.is_fuzzy:
                raise TimeoutError("slow")
            return super()._find(key, match)

    places = Places([NoList("one"), holding("two", other=1.0)])

    assert places.find(WANTED, FUZZY).place == "two"
    assert places.find(WANTED, FUZZY).problems == ("one could not answer: slow",)
    with pytest.raises(DataNotAvailable, match="one could not answer: slow"):
        Places([NoList("one")]).find(WANTED, FUZZY)


def test_if_no_place_answers_the_exact_question_fuzzy_matches_do_not_serve() -> None:
    """The exact data may well be there; so what serves instead would be a surprise."""

    class NoRead(Memory):
        def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
            if not match.is_fuzzy:
                raise TimeoutError("slow")
            return super()._find(key, match)

    frontend = NoRead("slow place")
    save_sample(frontend.backends["main"], with_version("other"))

    with pytest.raises(StorageUnavailable, match="no place could say"):
        Places([frontend]).find(WANTED, FUZZY)


def test_broken_exact_data_do_not_hide_a_fuzzy_match() -> None:
    frontend = holding("here", wanted=1.0, other=2.0)
    RawMemory(frontend.backends["main"]).write(  # type: ignore[arg-type]
        f"{WANTED.name}/peaks-{WANTED.lineage_hash}-metadata.json", b"{"
    )

    assert Places([frontend]).find(WANTED, FUZZY).metadata.lineage == with_version("other").lineage


def test_many_keys_are_asked_of_each_place_and_a_bad_one_is_named() -> None:
    good = holding("good", a=1.0, b=2.0)
    keys = [with_version(version) for version in ("a", "wanted", "b")]
    survey = Places([Memory("empty"), good, Bad(TimeoutError("slow"))]).find_several(keys)

    assert {name: [at is not None for at in found] for name, found in survey.locations.items()} == {
        "empty": [False] * 3,
        "good": [True, False, True],
        # It cannot say where one piece is, but answers from its listing.
        "bad": [False] * 3,
    }
    assert survey.problems == {}

    class Down(Memory):
        def _find_several(self, keys: Sequence[DataKey], match: Match) -> Iterator[Any]:  # noqa: ARG002
            raise TimeoutError("slow")

    survey = Places([Down("down"), good]).find_several(keys, FUZZY, check=True)
    assert list(survey.locations) == ["good"]
    assert [at is not None for at in survey.locations["good"]] == [True] * 3
    assert survey.problems == {"down": "down could not answer: slow"}


# Names of places


def test_a_place_is_a_frontend_or_one_of_its_backends() -> None:
    two = TwoPlaceFrontend(MemoryBackend(), MemoryBackend(), near_types=(), name="two")
    slash = Memory("disk/one")
    places = Places([two, slash])

    assert places.place("two") == (two, None)
    assert places.place("two/far") == (two, "far")
    assert places.place("disk/one") == (slash, None)
    assert places.place("disk/one/main") == (slash, "main")
    for wrong, meant in (
        ("two/fra", "two/far"),
        ("twoo", "two"),
        ("disk/on", "disk/one"),
        ("disk/one/mai", "disk/one"),
    ):
        with pytest.raises(ConfigError, match=rf"no place '{wrong}'.*did you mean '{meant}'"):
            places.place(wrong)
