import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from strax_core.backend.backend import StorageBackend
from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.chunks.chunk import Chunk
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageUnavailable,
)
from strax_core.format.keys import DataKey, Lineage
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.frontend import StorageFrontend
from strax_core.frontend.location import Location, State
from strax_core.frontend.match import Match
from strax_core.medium import Entry
from strax_core.testing import FaultyBackend, RawMemory, everything
from strax_core.testing.samples import (
    PEAKS,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)

KEY = DataKey("7", "peaks", Lineage({"peaks": ("Peaks", "1", {})}))
METADATA = {
    "run_id": "7",
    "data_type": "peaks",
    "data_kind": "peaks",
    "dtype": "[('time', '<i8'), ('endtime', '<i8')]",
    "compressor": "none",
    "lineage": KEY.lineage.as_json(),
    "lineage_hash": KEY.lineage_hash,
}


class DownBackend(MemoryBackend):
    def read(self, path: str) -> bytes:  # noqa: ARG002
        raise TimeoutError("no answer")


class TwoPlaces(StorageFrontend):
    """Two named backends; tells both, in this order."""

    def __init__(self, first: StorageBackend, second: StorageBackend, **options: object) -> None:
        super().__init__({"first": first, "second": second}, **options)  # type: ignore[arg-type]
        self.failed: list[str] = []

    def _find(self, key: DataKey, match: Match) -> list[Location]:  # noqa: ARG002
        return [Location(backend=name, backend_key=key.name) for name in self.backends]

    def _targets(self, key: DataKey) -> list[Location]:
        return self._find(key, Match())

    def _not_usable(self, key: DataKey, location: Location, error: BaseException) -> None:  # noqa: ARG002
        self.failed.append(f"{location.backend}: {error}")


def save_to(frontend: StorageFrontend) -> None:
    rows = np.zeros(1, [("time", "<i8"), ("endtime", "<i8")])
    with frontend.saver(KEY, METADATA) as saver:
        saver.save(Chunk(0, 10, rows, "7", "peaks"), 0)


def save(backend: StorageBackend, key: DataKey = KEY, **fields: object) -> None:
    rows = np.zeros(1, [("time", "<i8"), ("endtime", "<i8")])
    with backend.saver(key.name, {**METADATA, **fields}) as saver:
        saver.save(Chunk(0, 10, rows, "7", "peaks"), 0)


def test_a_frontend_that_cannot_note_it_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Forgetful(DirectoryFrontend):
        def _committed(self, *_: object) -> None:
            raise TimeoutError("the database takes no commit")

        def _not_usable(self, *_: object) -> None:
            raise TimeoutError("the database takes no failure")

    backend = MemoryBackend()
    frontend = Forgetful(backend)
    saver = frontend.saver(KEY, METADATA)
    caplog.clear()
    saver.abort(ValueError("the first error"))
    save_to(frontend)

    assert "could not take note" in caplog.text
    assert "takes no commit" in caplog.text
    assert "takes no failure" in caplog.text
    assert backend.get_metadata(KEY.name).is_complete


def test_a_copy_missing_from_the_first_backend_is_found_in_the_second() -> None:
    second = MemoryBackend()
    save(second)
    frontend = TwoPlaces(MemoryBackend(), second)

    assert frontend.find(KEY).backend == "second"
    assert frontend.loader(KEY).read_all().tolist() == [(0, 0)]


@pytest.mark.parametrize("raised", [TimeoutError("slow"), StorageUnavailable("down")])
def test_a_backend_that_is_down_is_reported_and_the_next_asked(raised: Exception) -> None:
    class Down(MemoryBackend):
        def read(self, path: str) -> bytes:  # noqa: ARG002
            raise raised

    second = MemoryBackend()
    save(second)
    frontend = TwoPlaces(Down(), second)

    assert frontend.find(KEY).backend == "second"
    assert frontend.failed == [f"first: {raised}"]


def test_a_backend_that_is_down_is_no_proof_that_data_are_missing() -> None:
    with pytest.raises(TimeoutError):
        TwoPlaces(MemoryBackend(), DownBackend()).find(KEY)


def test_corrupted_metadata_are_an_error_only_if_no_other_copy_is_there() -> None:
    broken, whole = MemoryBackend(), MemoryBackend()
    broken.write(f"{KEY.name}/{KEY.data_type}-{KEY.lineage_hash}-metadata.json", [b"{"])
    save(whole)

    assert TwoPlaces(broken, whole).find(KEY).backend == "second"
    with pytest.raises(DataCorrupted):
        TwoPlaces(broken, MemoryBackend()).find(KEY)


def test_find_all_looks_at_a_location_only_when_it_is_asked_for() -> None:
    first = MemoryBackend()
    save(first)
    locations = TwoPlaces(first, DownBackend()).find_all(KEY)

    assert next(locations).backend == "first"
    assert list(locations) == []


def test_data_of_another_lineage_or_run_under_the_name_are_not_found() -> None:
    for fields in ({"lineage": {"peaks": ["Peaks", "2", {}]}}, {"data_type": "events"}):
        backend = MemoryBackend()
        document = {**METADATA, "chunks": [], "writing_ended": 1.0, **fields}

        class Told(StorageFrontend):
            def _find(self, key: DataKey, match: Match) -> list[Location]:  # noqa: ARG002
                from strax_core.format.metadata import Metadata

                told = Metadata(self.told, place="told")  # type: ignore[attr-defined]
                return [Location(backend="main", backend_key="x", metadata=told)]

        frontend = Told({"main": backend})
        frontend.told = document  # type: ignore[attr-defined]

        with pytest.raises(DataNotAvailable, match=r"another lineage|holds events"):
            frontend.find(KEY)


def test_what_is_being_written_is_not_found() -> None:
    class Writing(TwoPlaces):
        def _find(self, key: DataKey, match: Match) -> list[Location]:  # noqa: ARG002
            return [Location(backend="first", backend_key=key.name, state=State.WRITING)]

    with pytest.raises(DataNotAvailable, match="being written"):
        Writing(DownBackend(), MemoryBackend()).find(KEY)


def test_a_location_in_an_unknown_backend_is_an_error_that_names_it() -> None:
    class Lost(TwoPlaces):
        def _find(self, key: DataKey, match: Match) -> list[Location]:  # noqa: ARG002
            return [Location(backend="frist", backend_key=key.name)]

    with pytest.raises(ConfigError, match=r"no backend 'frist'.*did you mean 'first'"):
        Lost(MemoryBackend(), MemoryBackend()).find(KEY)


def test_find_several_answers_none_for_what_is_missing_or_cannot_be_read() -> None:
    backend = MemoryBackend()
    save(backend)
    other = DataKey("8", "peaks", KEY.lineage)
    broken = DataKey("9", "peaks", KEY.lineage)
    backend.write(f"{broken.name}/peaks-{KEY.lineage_hash}-metadata.json", [b"{"])

    answers = DirectoryFrontend(backend).find_several([other, KEY, broken], check=True)

    assert [answer and answer.backend_key for answer in answers] == [None, KEY.name, None]


def test_take_only_and_exclude_close_a_place_for_reading_and_writing() -> None:
    backend = MemoryBackend()
    save(backend)
    for options in ({"take_only": "events"}, {"exclude": ("peaks",)}):
        frontend = DirectoryFrontend(backend, **options)

        assert frontend.find_several([KEY]) == [None]
        with pytest.raises(DataNotAvailable, match="does not take peaks"):
            frontend.find(KEY)
        with pytest.raises(ReadOnlyError):
            frontend.saver(KEY, METADATA)
    assert DirectoryFrontend(backend, take_only=["peaks"]).find(KEY)


def test_a_readonly_place_takes_and_removes_nothing() -> None:
    backend = MemoryBackend()
    save(backend)
    frontend = DirectoryFrontend(backend, readonly=True)

    for refused in (
        lambda: frontend.saver(KEY, METADATA),
        lambda: frontend.remove(KEY),
        lambda: frontend.write_run_metadata("7", {}),
    ):
        with pytest.raises(ReadOnlyError):
            refused()
    assert frontend.find(KEY)


def test_a_saver_is_refused_for_what_is_stored_unless_all_may_be_replaced() -> None:
    backend = MemoryBackend()
    save(backend)

    for overwrite in ("never", "if_broken"):
        with pytest.raises(DataExistsError):
            DirectoryFrontend(backend, overwrite=overwrite).saver(KEY, METADATA)
    saver = DirectoryFrontend(backend, overwrite="always").saver(KEY, METADATA)
    saver.abort()


def test_saving_goes_to_the_next_reserved_place_if_the_first_fails() -> None:
    class Full(MemoryBackend):
        def write(self, path: str, buffers: object, *, create_only: bool = False) -> None:  # noqa: ARG002
            raise StorageUnavailable("no disk")

    frontend = TwoPlaces(Full(), MemoryBackend())
    saver = frontend.saver(KEY, METADATA)
    saver.abort()

    assert saver.medium is frontend.backends["second"]
    assert "first: no disk" in frontend.failed


def test_removing_removes_every_copy() -> None:
    first, second = MemoryBackend(), MemoryBackend()
    save(first)
    save(second)
    TwoPlaces(first, second).remove(KEY)

    assert list(first.list("")) == list(second.list("")) == []


def test_a_frontend_with_impossible_options_is_refused() -> None:
    for options in ({"overwrite": "sometimes"}, {"grace_time_s": 0}):
        with pytest.raises(ConfigError):
            DirectoryFrontend(MemoryBackend(), **options)
    with pytest.raises(ConfigError, match="at least one backend"):
        StorageFrontend({})


def test_what_a_frontend_must_override_says_so() -> None:
    class Bare(StorageFrontend):
        pass

    frontend = Bare({"main": MemoryBackend()})

    with pytest.raises(NotImplementedError, match=r"Bare must override StorageFrontend\._find"):
        frontend.find(KEY)
    with pytest.raises(RunMetadataNotAvailable, match="Bare"):
        frontend.run_metadata("7")
    with pytest.raises(ReadOnlyError, match="Bare"):
        frontend.write_run_metadata("7", {})
    assert list(frontend.scan_runs()) == []


# Fuzzy matches


def made_with(gain: float, version: str = "1", run_id: str = "7") -> DataKey:
    """Return a key that differs from `KEY` in what the data plugin was told."""
    return DataKey(run_id, "peaks", Lineage({"peaks": ("Peaks", version, {"gain": gain})}))


def stored_with(backend: MemoryBackend, gain: float, **fields: object) -> DataKey:
    """Save data of this gain; then put these fields into its metadata."""
    key = made_with(gain)
    save_sample(backend, key, [Chunk(0, 10, np.zeros(1, PEAKS), "7", "peaks")])
    if fields:
        path, raw = f"{key.name}/peaks-{key.lineage_hash}-metadata.json", RawMemory(backend)
        document = json.loads(raw.read(path))
        raw.write(path, json.dumps({**document, **fields}).encode())
    return key


WANTED = made_with(1.0)
FUZZY = Match(fuzzy_for_options="gain")


def names(locations: Iterable[Location]) -> list[str]:
    return [location.backend_key for location in locations]


def test_a_fuzzy_match_is_found_only_if_there_is_no_exact_one() -> None:
    backend = MemoryBackend()
    frontend = DirectoryFrontend(backend)
    other = stored_with(backend, 2.0)

    assert frontend.find(WANTED, FUZZY).backend_key == other.name
    with pytest.raises(DataNotAvailable):
        frontend.find(WANTED)
    with pytest.raises(DataNotAvailable):
        frontend.find(WANTED, Match(fuzzy_for_options="size"))
    exact = stored_with(backend, 1.0)
    assert names(frontend.find_all(WANTED, FUZZY)) == [exact.name, other.name]


@pytest.mark.parametrize("ended_of_the_last", ["yesterday", 10**400, float("nan"), 1e300, None, -5])
def test_the_newest_making_wins_and_its_copies_stay_together(ended_of_the_last: object) -> None:
    backend = MemoryBackend()
    keys = [
        stored_with(backend, gain, data_id=data_id, writing_ended=ended)
        for gain, data_id, ended in (
            (2.0, "old", 100.0),
            (3.0, "copied", 500.0),  # copied today, made long ago
            (4.0, "new", 300.0),
            (5.0, "copied", 200.0),
            (6.0, None, 250.0),  # of strax, which keeps no such id
            (7.0, None, ended_of_the_last),
        )
    ]
    found = names(DirectoryFrontend(backend).find_all(WANTED, FUZZY))
    made_at = {name: i for i, name in enumerate(found)}
    of_gain = dict(zip((2, 3, 4, 5, 6, 7), [made_at[key.name] for key in keys], strict=True))

    assert sorted(of_gain, key=lambda gain: of_gain[gain])[:2] == [4, 6]
    assert {of_gain[3], of_gain[5]} == {2, 3}
    assert (of_gain[2], of_gain[7]) == (4, 5)


@pytest.mark.parametrize("hurt", ["cut", "empty", "no metadata", "failed", "unended", "newer"])
def test_a_candidate_that_cannot_be_used_hides_no_good_one(
    hurt: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = MemoryBackend()
    good = stored_with(backend, 2.0, writing_ended=1.0)
    raw = RawMemory(backend)
    for gain in range(3, 13):  # some of them before it in a listing, some after
        bad = stored_with(backend, gain)
        path = f"{bad.name}/peaks-{bad.lineage_hash}-metadata.json"
        document = json.loads(raw.read(path))
        if hurt == "no metadata":
            raw.delete(path)
            continue
        document |= {"failed": {"exception": "x"}, "newer": {"format_version": 99}}.get(hurt, {})
        if hurt == "unended":
            del document["writing_ended"]
        whole = json.dumps(document).encode()
        raw.write(path, {"cut": whole[:50], "empty": b""}.get(hurt, whole))

    with caplog.at_level(logging.INFO, "strax_core"):
        assert names(DirectoryFrontend(backend).find_all(WANTED, FUZZY)) == [good.name]
    assert caplog.text.count("does not serve for") == 10


def test_other_runs_data_types_and_folders_are_not_even_read() -> None:
    backend = MemoryBackend()
    good = stored_with(backend, 2.0)
    save_sample(backend, sample_key("run_2"))
    raw = RawMemory(backend)
    for folder in (
        f"{good.name}_temp",
        "7-peaks-notes",
        "7-peaks-",
        "my-own-notes",
        "77-peaks-abc",
    ):
        raw.write(f"{folder}/x-metadata.json", b"{")
    counted = FaultyBackend(backend)

    assert names(DirectoryFrontend(counted).find_all(WANTED, FUZZY)) == [good.name]
    read = {call.path.partition("/")[0] for call in counted.calls if call.verb == "read"}
    assert read == {WANTED.name, good.name}


def test_exact_data_that_cannot_be_read_do_not_hide_a_fuzzy_match() -> None:
    backend = MemoryBackend()
    good, hurt = stored_with(backend, 2.0), stored_with(backend, 1.0)
    RawMemory(backend).write(f"{hurt.name}/peaks-{hurt.lineage_hash}-metadata.json", b"{")
    frontend = DirectoryFrontend(backend)

    assert names(frontend.find_all(WANTED, FUZZY)) == [good.name]
    assert names(frontend._find(WANTED, FUZZY)) == [hurt.name, good.name]
    backend.remove(good.name)
    with pytest.raises(DataCorrupted):
        frontend.find(WANTED, FUZZY)


def test_a_fuzzy_find_lists_once_and_reads_each_candidate_once() -> None:
    backend = MemoryBackend()
    others = [stored_with(backend, gain) for gain in range(2, 6)]
    counted = FaultyBackend(backend)
    frontend = DirectoryFrontend(counted)
    frontend.loader_at(next(frontend.find_all(WANTED, FUZZY)))

    assert [call.verb for call in counted.calls].count("list") == 1
    reads = [call.path for call in counted.calls if call.verb == "read"]
    assert sorted(path for path in reads if not path.startswith(WANTED.name)) == sorted(
        f"{key.name}/peaks-{key.lineage_hash}-metadata.json" for key in others
    )
    counted.calls.clear()
    stored_with(backend, 1.0)
    frontend.find(WANTED, FUZZY)
    assert [call.verb for call in counted.calls] == ["read"]


def test_a_backend_that_raises_at_candidates_raises_nothing_here() -> None:
    backend = MemoryBackend()
    good = stored_with(backend, 2.0)
    bad = stored_with(backend, 3.0)

    class Partly(FaultyBackend):
        def read(self, path: str) -> bytes:
            if path.startswith(bad.name):
                raise TimeoutError("slow")
            return super().read(path)

    assert names(DirectoryFrontend(Partly(backend)).find_all(WANTED, FUZZY)) == [good.name]


def test_other_lineages_are_listed_newest_first() -> None:
    backend = MemoryBackend()
    frontend = DirectoryFrontend(backend)
    stored_with(backend, 1.0)
    old, new = (stored_with(backend, gain, writing_ended=gain) for gain in (2.0, 3.0))
    stored_with(backend, 4.0, exception="failed")

    assert names(frontend.others(WANTED)) == [new.name, old.name]
    assert DirectoryFrontend(backend, exclude="peaks").others(WANTED) == []
    assert frontend.others(made_with(1.0, run_id="9")) == []


# Many keys


def test_a_thousand_keys_cost_two_listings_and_nothing_is_read() -> None:
    backend = MemoryBackend()
    raw = RawMemory(backend)
    keys = [made_with(1.0, run_id=str(number)) for number in range(1000)]
    for key in keys[::2]:
        raw.write(f"{key.name}/peaks-{key.lineage_hash}-metadata.json", b"not even read")
    counted = FaultyBackend(backend)
    answers = DirectoryFrontend(counted).find_several(keys)

    assert [(call.verb, call.path) for call in counted.calls] == [
        ("list", ""),
        ("list", ".staging"),
    ]
    assert [answer is not None for answer in answers] == [True, False] * 500
    assert all(answer.listed and answer.metadata is None for answer in answers if answer)


def test_what_is_being_written_is_settled_by_its_metadata() -> None:
    backend = ConditionalMemoryBackend()  # chunks lie under the final name before the commit
    keys = [made_with(1.0, run_id=run_id) for run_id in "123"]
    for key in keys[:2]:
        saver = backend.saver(key.name, sample_metadata(key))
        saver._journal._stop.set()  # no beat that outlives this test
        saver.save(Chunk(0, 10, np.zeros(1, PEAKS), key.run_id, "peaks"), 0)
        if key is keys[1]:
            saver._tidy = lambda: None  # type: ignore[method-assign] # dies after its commit
            saver.commit()
    counted = FaultyBackend(backend)
    answers = DirectoryFrontend(counted).find_several(keys)

    assert [answer is not None for answer in answers] == [False, True, False]
    assert answers[1] is not None
    assert (answers[1].listed, answers[1].metadata is None) == (False, False)
    read = {call.path.partition("/")[0] for call in counted.calls if call.verb == "read"}
    assert read == {keys[0].name, keys[1].name}


def test_with_check_all_metadata_are_read_and_failed_data_do_not_count() -> None:
    backend = MemoryBackend()
    good, failed = stored_with(backend, 2.0), stored_with(backend, 3.0, exception="on fire")
    frontend = DirectoryFrontend(backend)

    assert [answer is not None for answer in frontend.find_several([good, failed])] == [True, True]
    answers = frontend.find_several([failed, good], check=True)
    assert answers[0] is None
    assert answers[1] is not None
    assert answers[1].metadata is not None
    assert not answers[1].metadata.get("exception")


@pytest.mark.parametrize("check", [False, True])
def test_for_many_keys_each_fuzzy_candidate_is_read_once(*, check: bool) -> None:
    backend = MemoryBackend()
    others = [stored_with(backend, gain, writing_ended=float(gain)) for gain in (2, 3, 4)]
    save_sample(backend, made_with(5.0, run_id="8"), sample_chunks(made_with(5.0, run_id="8")))
    keys = [made_with(gain) for gain in (1.0, 10.0, 11.0)] + [made_with(1.0, run_id="8")]
    counted = FaultyBackend(backend)
    answers = DirectoryFrontend(counted).find_several([*keys, others[0]], FUZZY, check=check)

    assert [answer and answer.backend_key for answer in answers] == [
        *[others[2].name] * 3,
        made_with(5.0, run_id="8").name,
        others[0].name,
    ]
    verbs = [call.verb for call in counted.calls]
    assert (verbs.count("list"), verbs.count("read")) == (2, 4)


def test_a_place_that_is_down_says_so_for_many_keys_too() -> None:
    class Down(MemoryBackend):
        def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:  # noqa: ARG002
            raise StorageUnavailable("down")

    with pytest.raises(StorageUnavailable):
        DirectoryFrontend(Down()).find_several([KEY])
    with pytest.raises(TimeoutError):
        TwoPlaces(DownBackend(), DownBackend()).find_several([KEY, WANTED])
    assert DirectoryFrontend(Down(), exclude="peaks").find_several([KEY]) == [None]


def test_many_keys_that_are_being_written_are_found_if_that_may_serve() -> None:
    backend = MemoryBackend()
    saver = backend.saver(WANTED.name, sample_metadata(WANTED))
    saver.save(Chunk(0, 10, np.zeros(1, PEAKS), "7", "peaks"), 0)
    saver._journal._write_segment()
    frontend = DirectoryFrontend(backend)
    live = Match(allow_incomplete=True)

    assert frontend.find_several([KEY, WANTED]) == [None, None]
    missing, found = frontend.find_several([KEY, WANTED], live)
    assert missing is None
    assert found is not None
    assert found.state is State.WRITING
    assert len(frontend.loader_at(found).read_all()) == 1
    saver.abort()


# One backend of several


def test_saving_and_removing_can_name_one_backend() -> None:
    first, second = MemoryBackend(), MemoryBackend()
    frontend = TwoPlaces(first, second, name="two")
    frontend.saver(WANTED, sample_metadata(WANTED), backend="second").save_from(
        sample_chunks(WANTED)
    )
    assert (RawMemory(first).list(""), RawMemory(second).list("")) == (set(), {WANTED.name})

    with pytest.raises(DataExistsError, match="two/second"):
        frontend.saver(WANTED, sample_metadata(WANTED), backend="second")
    frontend.saver(WANTED, sample_metadata(WANTED), backend="first").save_from(
        sample_chunks(WANTED)
    )
    assert {at.backend for at in frontend.find_all(WANTED)} == {"first", "second"}
    frontend.remove(WANTED, backend="first")
    assert {at.backend for at in frontend.find_all(WANTED)} == {"second"}
    with pytest.raises(DataNotAvailable):
        frontend.remove(WANTED, backend="first")


def test_a_named_backend_is_asked_though_the_other_is_down() -> None:
    second = MemoryBackend()
    frontend = TwoPlaces(DownBackend(), second)
    frontend.saver(WANTED, sample_metadata(WANTED), backend="second").save_from(
        sample_chunks(WANTED)
    )
    frontend.remove(WANTED, backend="second")

    assert everything(RawMemory(second)) == set()


def test_a_backend_that_is_not_there_or_not_reserved_is_refused() -> None:
    frontend = TwoPlaces(MemoryBackend(), MemoryBackend())
    for refused in (
        lambda: frontend.saver(WANTED, sample_metadata(WANTED), backend="frist"),
        lambda: frontend.remove(WANTED, backend="frist"),
    ):
        with pytest.raises(ConfigError, match=r"no backend 'frist'.*did you mean 'first'"):
            refused()
    frontend._targets = lambda _: [Location(backend="first", backend_key="x")]  # type: ignore[method-assign,assign]
    with pytest.raises(ReadOnlyError, match="second"):
        frontend.saver(WANTED, sample_metadata(WANTED), backend="second")


def test_only_exactly_this_key_is_removed_whatever_a_frontend_names() -> None:
    backend = MemoryBackend()
    other = stored_with(backend, 2.0)
    before = everything(RawMemory(backend))

    class Loose(DirectoryFrontend):
        def _find(self, key: DataKey, match: Match) -> list[Location]:  # noqa: ARG002
            found = Location(backend="main", backend_key=other.name)
            return [found, replace(found, metadata=backend.get_metadata(other.name))]

    with pytest.raises(DataNotAvailable, match="another lineage"):
        Loose(backend).remove(WANTED)
    assert everything(RawMemory(backend)) == before


def test_a_place_is_as_near_as_its_nearest_backend_unless_it_says_otherwise() -> None:
    class Far(MemoryBackend):
        default_storage_type = 4

    assert DirectoryFrontend(MemoryBackend()).storage_type == 0
    assert DirectoryFrontend(Far()).storage_type == 4
    assert TwoPlaces(Far(), MemoryBackend()).storage_type == 0
    assert DirectoryFrontend(Far(), storage_type=0.5).storage_type == 0.5
    assert StorageBackend.default_storage_type == 1


def test_metadata_under_the_name_of_an_older_strax_are_read_and_removed() -> None:
    class Shared(MemoryBackend):
        may_hold_strax_folders = True

    backend = Shared()
    key = stored_with(backend, 2.0)
    raw = RawMemory(backend)
    path = f"{key.name}/peaks-{key.lineage_hash}-metadata.json"
    raw.write(f"{key.name}/metadata.json", raw.read(path))
    raw.delete(path)
    frontend = DirectoryFrontend(backend)

    assert frontend.loader(key).read_all().tolist() == [(0, 0, 0)]
    with pytest.raises(DataExistsError):
        frontend.saver(key, sample_metadata(key))
    frontend.remove(key)
    assert everything(raw) == set()


def test_a_frontend_may_say_where_data_go_in_a_backend_that_it_would_not_choose() -> None:
    class Choosy(TwoPlaces):
        def _targets(self, key: DataKey) -> list[Location]:
            return [Location(backend="first", backend_key=key.name)]

    class Yielding(Choosy):
        def _targets_in(self, key: DataKey, backend: str) -> list[Location]:
            return [Location(backend=backend, backend_key=key.name)]

    chosen = sample_metadata(KEY)
    with pytest.raises(ReadOnlyError, match="no place"):
        Choosy(MemoryBackend(), MemoryBackend()).saver(KEY, chosen, backend="second")
    frontend = Yielding(MemoryBackend(), MemoryBackend())
    frontend.saver(KEY, chosen, backend="second").save_from(sample_chunks(KEY))

    assert frontend.find(KEY).backend == "second"


def test_a_frontend_learns_which_copies_were_verified() -> None:
    class Noting(TwoPlaces):
        def __init__(self, *backends: StorageBackend) -> None:
            super().__init__(*backends)
            self.verified: list[tuple[str, str | None]] = []

        def _verified(self, key: DataKey, location: Location) -> None:  # noqa: ARG002
            write_id = location.metadata.write_id if location.metadata else None
            self.verified.append((location.backend, write_id))

    whole, damaged = MemoryBackend(), MemoryBackend()
    written = save_sample(whole, KEY)
    save_sample(damaged, KEY)
    raw = RawMemory(damaged)
    (chunk,) = [name for name in raw.list(KEY.name) if name.endswith("000000")]
    raw.write(f"{KEY.name}/{chunk}", b"rust")
    frontend = Noting(whole, damaged)
    results = [error for _, error in frontend.search(KEY).verify()]

    assert [type(error) for error in results] == [type(None), DataCorrupted]
    assert frontend.verified == [("first", written.write_id)]
