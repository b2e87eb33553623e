"""Copies: which is given first, what marks them, what a crash leaves, which may be removed."""

import json
import pickle
import re
import time
from typing import Any

import pytest
from sql_places import (
    KEY,
    NAMES,
    OpenCatalogue,
    begin,
    break_down,
    made_with,
    offered,
    rows,
    save,
    save_everywhere,
    states,
    watch,
)

from strax_core import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataKey,
    DataNotAvailable,
    Location,
    Match,
    Metadata,
    ReadOnlyError,
    State,
    StorageBackend,
    StorageFull,
    StorageUnavailable,
    metadata_path,
)
from strax_core.testing import RawMemory, sample_chunks, sample_key, sample_metadata, save_sample
from strax_sql.catalogue import writes
from strax_sql.catalogue.outages import Outage, Outages
from strax_sql.catalogue.writes import Entry
from strax_sql.frontend import SqlFrontend


@pytest.fixture
def reach(reach_of_each: dict[str, Any]) -> dict[str, Any]:
    return reach_of_each


def known(frontend: SqlFrontend, key: DataKey = KEY) -> str | None:
    (found,) = frontend.find_several([key])
    return None if found is None or not found.listed else found.backend


def test_copies_come_nearest_first_however_they_were_made(catalogue: SqlFrontend) -> None:
    for name in reversed(NAMES):
        save(catalogue, backend=name)

    assert offered(catalogue) == list(NAMES)
    assert known(catalogue) == "disk"


def test_an_answer_costs_one_reading_of_metadata_and_many_answers_cost_none(
    catalogue: SqlFrontend,
) -> None:
    keys = [sample_key(f"run_{i}") for i in range(20)]
    for key in keys[::2]:
        save(catalogue, key)
    watched = watch(catalogue, "disk")

    found = catalogue.find_several(keys)
    assert [each is not None for each in found] == [True, False] * 10
    assert watched.calls == []
    catalogue.find(keys[0])
    with pytest.raises(DataNotAvailable):
        catalogue.find(keys[1])
    assert [call.verb for call in watched.calls] == ["read"]


def test_a_damaged_copy_is_marked_for_all_and_comes_last(
    catalogue: SqlFrontend, open_catalogue: OpenCatalogue, places: dict[str, StorageBackend]
) -> None:
    save_everywhere(catalogue)
    raw = RawMemory(places["disk"])  # type: ignore[arg-type]
    (chunk,) = [name for name in raw.list(KEY.name) if name.endswith("000000")]
    raw.write(f"{KEY.name}/{chunk}", b"rust")
    found = catalogue.find(KEY)
    with pytest.raises(DataCorrupted) as caught:
        catalogue.loader_at(found).read_all()
    catalogue.report_failure(KEY, found, caught.value)

    other = open_catalogue()
    assert states(other) == {"disk": "damaged", "hall": "complete", "bucket": "complete"}
    assert offered(other) == ["hall", "bucket", "disk"]
    assert known(other) == "hall"


def test_what_is_gone_is_asked_for_twice_and_then_not_again(
    catalogue: SqlFrontend, places: dict[str, StorageBackend]
) -> None:
    save_everywhere(catalogue)
    places["disk"].remove(KEY.name)

    assert catalogue.find(KEY).backend == "hall"
    assert states(catalogue)["disk"] == "absent"
    assert offered(catalogue) == ["hall", "bucket"]


def test_a_backend_that_is_down_is_so_for_this_process_only_and_for_a_while(
    open_catalogue: OpenCatalogue,
) -> None:
    here, other = open_catalogue(), open_catalogue()
    save_everywhere(here)
    break_down(here, "disk")
    assert here.find(KEY).backend == "hall"

    assert offered(here) == ["hall", "bucket", "disk"]
    assert offered(other) == list(NAMES)
    assert set(states(here).values()) == {"complete"}
    assert not pickle.loads(pickle.dumps(here._outages)).is_out("disk")  # noqa: S301


def test_an_outage_is_forgotten_after_its_time() -> None:
    now = [100.0]
    outages = Outages(60.0, clock=lambda: now[0])
    outages.note("disk", "no answer")
    now[0] += 20

    assert outages.of("disk") == Outage(ago_s=20.0, left_s=40.0, why="no answer")
    assert outages.is_out("disk")
    assert not outages.is_out("hall")
    now[0] += 40
    assert not outages.is_out("disk")


@pytest.mark.parametrize("how", ["find", "saver"])
def test_a_commit_that_was_never_told_is_found_by_the_next_request(
    open_catalogue: OpenCatalogue, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def dies(*_: object) -> None:
        raise StorageUnavailable("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(SqlFrontend, "_committed", dies)
        if how == "saver":  # then not even that it began was told
            patch.setattr(SqlFrontend, "_began", dies)
        save(open_catalogue())

    catalogue = open_catalogue()
    if how == "saver":
        assert rows(catalogue) == []
        with pytest.raises(DataExistsError):
            catalogue.saver(KEY, sample_metadata(KEY))
    else:
        assert states(catalogue) == {"disk": "writing"}
        assert known(catalogue) is None
        assert catalogue.find_several([KEY])[0] is not None
    assert catalogue.find(KEY).backend == "disk"
    assert states(catalogue) == {"disk": "complete"}
    assert known(catalogue) == "disk"


def test_a_writer_at_work_is_entered_and_promises_nothing(catalogue: SqlFrontend) -> None:
    saver = begin(catalogue)

    assert states(catalogue) == {"disk": "writing"}
    with pytest.raises(DataNotAvailable, match="being written"):
        catalogue.find(KEY)
    (there,) = catalogue._find(KEY, Match(allow_incomplete=True))
    assert (there.backend, there.state) == ("disk", State.WRITING)
    assert known(catalogue) is None
    saver.abort(StorageFull("no space"))
    assert rows(catalogue) == []


def test_a_writer_that_lost_takes_nothing_from_the_one_that_won(catalogue: SqlFrontend) -> None:
    first, second = (catalogue.saver(KEY, sample_metadata(KEY)) for _ in range(2))
    first.save_from(sample_chunks(KEY))
    with pytest.raises(DataExistsError):
        second.save_from(sample_chunks(KEY))

    assert states(catalogue) == {"disk": "complete"}


def test_a_writer_that_fails_leaves_the_other_at_work(catalogue: SqlFrontend) -> None:
    first, second = (catalogue.saver(KEY, sample_metadata(KEY)) for _ in range(2))
    first.abort(StorageFull("no space"))

    assert states(catalogue) == {"disk": "writing"}
    second.abort(StorageFull("no space"))
    assert rows(catalogue) == []


def test_data_that_are_replaced_stay_complete_until_then(catalogue: SqlFrontend) -> None:
    save(catalogue)
    saver = catalogue.saver(KEY, sample_metadata(KEY), overwrite="always")
    assert states(catalogue) == {"disk": "complete"}
    saver.save_from(sample_chunks(KEY, mark=2))

    assert catalogue.loader(KEY).metadata.write_id == saver.metadata.write_id


def test_who_forgets_late_takes_nothing_newer_out(catalogue: SqlFrontend) -> None:
    save(catalogue)
    removed = catalogue.find(KEY)
    save(catalogue, mark=2, overwrite="always")
    catalogue._removed(KEY, removed)

    assert states(catalogue) == {"disk": "complete"}


def test_the_later_of_two_writings_stays_whichever_is_told_last(catalogue: SqlFrontend) -> None:
    told: list[tuple[Location, Metadata]] = []
    for mark in (1, 2):
        save(catalogue, mark=mark, overwrite="always")
        told.append((catalogue.find(KEY), catalogue.get_metadata(KEY)))
    late, newest = told[0], told[1][1].write_id
    catalogue._committed(KEY, *late)
    catalogue._not_usable(KEY, told[1][0], DataCorrupted("of the newest"))

    assert newest is not None
    assert states(catalogue) == {"disk": "damaged"}  # a row of the first would not be


@pytest.mark.parametrize("insist", [{}, {"backend": "hall", "force": True}])
def test_the_last_good_copy_is_removed_only_if_one_insists(
    catalogue: SqlFrontend, places: dict[str, StorageBackend], insist: dict[str, Any]
) -> None:
    save(catalogue, backend="disk")
    save(catalogue, backend="hall")
    catalogue.remove(KEY, backend="disk")
    with pytest.raises(ReadOnlyError, match=r"last good copy.*force=True"):
        catalogue.remove(KEY, backend="hall")
    for force in (False, True):
        with pytest.raises(ConfigError):
            catalogue.remove(KEY, backend="cellar", force=force)
        with pytest.raises(DataNotAvailable):
            catalogue.remove(KEY, backend="disk", force=force)

    assert states(catalogue) == {"hall": "complete"}
    catalogue.remove(KEY, **insist)
    assert rows(catalogue) == []
    assert list(places["hall"].list("")) == []


def test_the_last_good_copy_is_not_the_one_that_is_damaged(catalogue: SqlFrontend) -> None:
    save_everywhere(catalogue)
    for name in ("disk", "hall"):
        at = next(each for each in catalogue.find_all(KEY) if each.backend == name)
        catalogue.report_failure(KEY, at, DataCorrupted("a bit flipped"))
    with pytest.raises(ReadOnlyError):
        catalogue.remove(KEY, backend="bucket")
    catalogue.remove(KEY, backend="disk")

    assert states(catalogue) == {"hall": "damaged", "bucket": "complete"}


def test_what_is_wrong_with_copies_is_remarked(
    catalogue: SqlFrontend, open_catalogue: OpenCatalogue, places: dict[str, StorageBackend]
) -> None:
    save_everywhere(catalogue)
    assert catalogue.remarks(KEY) == []
    (disk, _, _) = catalogue.find_all(KEY)
    catalogue.report_failure(KEY, disk, DataCorrupted("a bit flipped"))
    catalogue.report_failure(KEY, disk, StorageUnavailable("no answer"))
    places["hall"].remove(KEY.name)
    catalogue.find(KEY)

    of_all = [
        r"disk has a damaged copy, asked last, noted at 20.* UTC: DataCorrupted: a bit flipped",
        r"hall has lost its copy, noted at 20.* UTC: DataNotAvailable: .*",
    ]
    own = r"disk did not answer this process \d+ s ago, and is asked after the others for \d+ s: "
    own += "StorageUnavailable: no answer"
    for opened, expected in ((catalogue, [own, *of_all]), (open_catalogue(), of_all)):
        told = opened.remarks(KEY)
        assert len(told) == len(expected)
        assert all(re.fullmatch(*both) for both in zip(expected, told, strict=True))
    poorer = open_catalogue({"backends": {"hall": places["hall"]}})
    assert len(poorer.remarks(KEY)) == 1


def test_the_table_says_which_backend_takes_a_data_type(
    open_catalogue: OpenCatalogue,
) -> None:
    table = {"raw_*": "bucket", "peaks": ["hall", "disk"]}
    catalogue = open_catalogue({"write_to": table})

    save(catalogue)
    assert states(catalogue) == {"hall": "complete"}
    save(catalogue, sample_key("run_2", "raw_records"))
    assert rows(catalogue)[-1] == ("run_2", "bucket", "complete")
    with pytest.raises(ReadOnlyError):
        save(catalogue, sample_key("run_3", "events"))
    save(catalogue, sample_key("run_3", "events"), backend="disk")
    assert rows(catalogue)[-1] == ("run_3", "disk", "complete")


def test_the_next_backend_takes_what_the_first_cannot(open_catalogue: OpenCatalogue) -> None:
    catalogue = open_catalogue({"write_to": ["hall", "disk"]})
    break_down(catalogue, "hall", StorageFull)
    save(catalogue)

    assert states(catalogue) == {"disk": "complete"}


def test_verifying_is_remembered_and_heals_a_mark(catalogue: SqlFrontend) -> None:
    save(catalogue)
    found = catalogue.find(KEY)
    catalogue.report_failure(KEY, found, DataCorrupted("a bit flipped on the way"))
    assert states(catalogue) == {"disk": "damaged"}
    before = time.time()

    assert [error for _, error in catalogue.search(KEY).verify()] == [None]
    assert states(catalogue) == {"disk": "complete"}
    assert (verified_s(catalogue) or 0) >= before


def verified_s(frontend: SqlFrontend) -> float | None:
    from sqlalchemy import select

    from strax_sql.catalogue.schema import COPIES

    query = select(COPIES.c.verified_s)
    return frontend.database.read(lambda connection: connection.execute(query).scalar())


def test_a_loose_match_reads_only_what_serves(catalogue: SqlFrontend) -> None:
    for gain in (1.0, 2.0, 3.0):
        save(catalogue, made_with(gain))
    other = DataKey("run_1", "peaks", type(KEY.lineage)({"peaks": ("Others", "9", {"gain": 1.0})}))
    save(catalogue, other)
    watched = watch(catalogue, "disk")
    match = Match(fuzzy_for_options=("gain",))

    (found,) = catalogue.find_several([made_with(9.0)], match)
    assert found is not None
    assert found.backend_key == made_with(3.0).name
    assert watched.calls == []
    assert catalogue.find(made_with(9.0), match).backend_key == made_with(3.0).name
    assert not [call for call in watched.calls if other.name in call.path]
    assert catalogue.find_several([made_with(9.0)]) == [None]
    assert len(catalogue.others(made_with(9.0))) == 4


def test_a_backend_that_another_client_knows_is_passed_over(
    open_catalogue: OpenCatalogue, places: dict[str, StorageBackend]
) -> None:
    save_everywhere(open_catalogue())
    poorer = open_catalogue({"backends": {"bucket": places["bucket"]}})

    assert offered(poorer) == ["bucket"]
    assert len(rows(poorer)) == 3


def test_data_that_lie_in_a_backend_and_are_not_entered_are_not_found(
    catalogue: SqlFrontend, places: dict[str, StorageBackend]
) -> None:
    save_sample(places["disk"], KEY)

    with pytest.raises(DataNotAvailable):
        catalogue.find(KEY)


@pytest.mark.parametrize("lineage", ["none", {"peaks": "nonsense"}])
def test_metadata_that_make_no_sense_stop_nobody(
    catalogue: SqlFrontend, places: dict[str, StorageBackend], lineage: object
) -> None:
    save(catalogue, backend="hall")
    save_sample(places["disk"], KEY)
    raw = RawMemory(places["disk"])  # type: ignore[arg-type]
    document = {**json.loads(raw.read(metadata_path(KEY.name))), "lineage": lineage}
    raw.write(metadata_path(KEY.name), json.dumps(document).encode())
    entry = Entry.of(KEY, "disk", KEY.name, {"state": "writing", "written_s": time.time()})
    catalogue.database.write(lambda connection: writes.begin(connection, entry))

    assert catalogue.find(KEY).backend == "hall"
    catalogue.saver(KEY, sample_metadata(KEY), backend="disk").abort()  # core refuses it in the end


def test_a_mark_is_about_the_writing_that_was_read(
    catalogue: SqlFrontend, places: dict[str, StorageBackend]
) -> None:
    save_sample(places["disk"], KEY)
    raw = RawMemory(places["disk"])  # type: ignore[arg-type]
    of_strax = json.loads(raw.read(metadata_path(KEY.name)))
    del of_strax["write_id"]
    raw.write(metadata_path(KEY.name), json.dumps(of_strax).encode())
    list(catalogue.rebuild_catalogue(dry_run=False))
    found = catalogue.find(KEY)
    save(catalogue, mark=2, overwrite="always")
    catalogue.report_failure(KEY, found, DataCorrupted("of the first"))

    assert states(catalogue) == {"disk": "complete"}
    catalogue.report_failure(KEY, catalogue.find(KEY), DataCorrupted("of the second"))
    assert states(catalogue) == {"disk": "damaged"}
