import pytest

from strax_core.backend import StorageBackend
from strax_core.directory import DirectoryFrontend
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageUnavailable,
)
from strax_core.frontend import StorageFrontend
from strax_core.keys import DataKey, Lineage
from strax_core.location import Location, State
from strax_core.matching import Match
from strax_core.memory import MemoryBackend

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

    def _reserve(self, key: DataKey) -> list[Location]:
        return self._find(key, Match())

    def _failed(self, key: DataKey, location: Location, error: BaseException) -> None:  # noqa: ARG002
        self.failed.append(f"{location.backend}: {error}")


def save(backend: StorageBackend, key: DataKey = KEY, **fields: object) -> None:
    import numpy as np

    from strax_core.chunks import Chunk

    rows = np.zeros(1, [("time", "<i8"), ("endtime", "<i8")])
    with backend.saver(key.name, {**METADATA, **fields}) as saver:
        saver.save(Chunk(0, 10, rows, "7", "peaks"), 0)


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
                from strax_core.metadata import Metadata

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
