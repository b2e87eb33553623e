import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend, MemoryOptions
from strax_core.errors import DataCorrupted, DataNotAvailable, StorageUnavailable
from strax_core.format.keys import DataKey, Lineage
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.live import find_unfinished
from strax_core.frontend.location import Location, State
from strax_core.frontend.match import Match
from strax_core.places.places import Places
from strax_core.saver.saver import Saver
from strax_core.saver.status import failure_notes, writers_at_work
from strax_core.testing import FaultyBackend, RawMemory, everything
from strax_core.testing.samples import (
    bytes_of_chunks,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)

KEY = sample_key()
CHUNKS = sample_chunks(KEY)  # of three, no and two rows
LIVE = Match(allow_incomplete=True)
PREFIX = KEY.name.partition("-")[2]


@pytest.fixture(params=[MemoryBackend, ConditionalMemoryBackend])
def backend(request: pytest.FixtureRequest) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


@pytest.fixture
def frontend(backend: MemoryBackend) -> DirectoryFrontend:
    return DirectoryFrontend(backend, name="here")


@pytest.fixture(autouse=True)
def _no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no heart beat by itself, nor outlive its test."""
    monkeypatch.setattr("strax_core.saver.journal.Journal._keep_beating", lambda _: None)


def written(backend: MemoryBackend, *numbers: int, key: DataKey = KEY, **options: Any) -> Saver:
    """Return a saver at work that has saved these chunks, and noted each in its journal."""
    saver = backend.saver(key.name, sample_metadata(key), **options)
    for number in numbers:
        saver.save(CHUNKS[number], number)
        saver._journal._write_segment()  # at once, instead of with the next beat
    return saver


def rows_of(location: Location, frontend: DirectoryFrontend) -> bytes:
    assert location.state is State.WRITING
    return frontend.loader_at(location).read_all().tobytes()


def test_what_is_written_so_far_is_found_and_loaded_if_that_may_serve(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    saver = written(backend, 0, 1)

    with pytest.raises(DataNotAvailable):
        frontend.find(KEY)
    location = frontend.find(KEY, LIVE)
    assert rows_of(location, frontend) == bytes_of_chunks(CHUNKS[:2])
    chunks = list(frontend.loader(KEY, LIVE))
    assert [(chunk.start, chunk.end, len(chunk.data)) for chunk in chunks] == [
        (0, 1000, 3),
        (1000, 2000, 0),
    ]
    assert location.metadata is not None
    assert not location.metadata.is_complete
    assert location.metadata.write_id == saver.write_id
    assert list(location.metadata.lineage) == ["peaks"]


def test_a_later_question_finds_more(backend: MemoryBackend, frontend: DirectoryFrontend) -> None:
    saver = written(backend, 0)
    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:1])
    for number in (1, 2):
        saver.save(CHUNKS[number], number)
    saver._journal._write_segment()

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS)


@pytest.mark.parametrize("numbers", [(), (1, 2), (2,)])
def test_without_the_first_chunk_there_is_nothing_to_load(
    backend: MemoryBackend, frontend: DirectoryFrontend, numbers: tuple[int, ...]
) -> None:
    written(backend, *numbers)

    with pytest.raises(DataNotAvailable):
        frontend.find(KEY, LIVE)
    assert not Places([frontend]).has(KEY, LIVE)


def test_only_chunks_that_follow_one_another_count(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    written(backend, 2, 0)

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:1])


def test_chunks_that_leave_a_hole_in_time_do_not_count(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    saver = written(backend, 0)
    saver.save(CHUNKS[2], 1)
    saver._journal._write_segment()

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:1])


def test_a_ticket_of_data_elsewhere_under_the_same_name_does_not_count(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    saver = backend.saver(f"elsewhere/{KEY.name}", sample_metadata(KEY))
    saver.save(CHUNKS[0], 0)
    saver._journal._write_segment()

    assert saver.staging.of_key == f".staging/{KEY.name}"
    with pytest.raises(DataNotAvailable):
        frontend.find(KEY, LIVE)


def test_of_several_writers_the_one_that_has_most_is_read(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    savers = [written(backend, *numbers) for numbers in ((0,), (0, 1, 2), (0, 1))]
    location = frontend.find(KEY, LIVE)

    assert location.metadata is not None
    assert location.metadata.write_id == savers[1].write_id
    assert rows_of(location, frontend) == bytes_of_chunks(CHUNKS)


def test_what_a_dead_writer_wrote_is_readable(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    written(backend, 0, 1)._journal.close()  # no beat any more, and nobody to commit

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:2])


def test_the_note_of_a_failed_save_is_never_data(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    saver = written(backend, 0, 1)
    saver.abort(ValueError("on fire"))

    with pytest.raises(DataNotAvailable):
        frontend.find(KEY, LIVE)
    (note,) = failure_notes(backend, KEY.name)
    assert (note.write_id, note.reason) == (saver.write_id, "ValueError: on fire")
    assert "Traceback" in note.exception or "on fire" in note.exception
    assert note.ended_s is not None
    assert note.ended_s > 1e9


def test_a_reader_goes_on_in_what_its_writer_committed(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    saver = written(backend, 0, 1, 2)
    loader = frontend.loader(KEY, LIVE)
    chunks = iter(loader)
    first = next(chunks)
    saver.commit()

    assert bytes_of_chunks([first, *chunks]) == bytes_of_chunks(CHUNKS)
    assert loader.read_all().tobytes() == bytes_of_chunks(CHUNKS)


def test_a_reader_goes_on_also_if_its_writer_replaced_other_data(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    save_sample(backend, KEY, sample_chunks(KEY, mark=7))
    saver = written(backend, 0, 1, 2, overwrite="always")
    found = find_unfinished(backend, KEY.name)
    assert found is not None
    loader = frontend.loader_at(_writing(found))
    saver.commit()

    assert loader.read_all().tobytes() == bytes_of_chunks(CHUNKS)


def test_a_reader_finds_chunks_that_were_moved_before_the_metadata_say_so() -> None:
    backend = MemoryBackend()
    saver = written(backend, 0, 1, 2)
    found = find_unfinished(backend, KEY.name)
    assert found is not None
    loader = DirectoryFrontend(backend).loader_at(_writing(found))
    backend.rename(saver.staging.data, f"{KEY.name}/{saver.write_id}")

    assert loader.read_all().tobytes() == bytes_of_chunks(CHUNKS)


def _writing(found: Any) -> Location:
    return Location(
        backend="main",
        backend_key=KEY.name,
        state=State.WRITING,
        metadata=found.metadata,
        folder=found.folder,
    )


@pytest.mark.parametrize("then", ["nothing", "others", "removed"])
def test_a_reader_whose_data_vanish_is_told_that_they_are_gone(
    backend: MemoryBackend, frontend: DirectoryFrontend, then: str
) -> None:
    saver = written(backend, 0, 1, 2)
    loader = frontend.loader(KEY, LIVE)
    if then == "removed":
        saver.commit()
        backend.remove(KEY.name)
    else:
        saver.abort()
    if then == "others":
        save_sample(backend, KEY, sample_chunks(KEY, mark=7))

    with pytest.raises(DataNotAvailable, match=r"run run_1, peaks, chunk 0.*ask again"):
        loader.read_all()


def test_a_damaged_chunk_is_an_error_also_while_it_is_written(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    written(backend, 0)
    loader = frontend.loader(KEY, LIVE)
    raw = RawMemory(backend)
    (path,) = [path for path in everything(raw) if f"{PREFIX}-000000" in path]
    raw.write(path, raw.read(path)[:-1])

    with pytest.raises(DataCorrupted, match="chunk 0"):
        loader.read_all()


def test_a_commit_between_two_looks_is_not_missed(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    saver = written(backend, 0, 1, 2)
    plain_list = backend.list

    def committing_first(folder: str, *, starts_with: str = "") -> Iterator[Any]:
        if folder == saver.staging.of_key:
            backend.list = plain_list  # type: ignore[method-assign]
            saver.commit()
        return plain_list(folder, starts_with=starts_with)

    backend.list = committing_first  # type: ignore[method-assign]
    location = frontend.find(KEY, LIVE)

    assert location.state is State.COMPLETE
    assert frontend.loader_at(location).read_all().tobytes() == bytes_of_chunks(CHUNKS)


def test_data_of_another_lineage_that_are_being_written_do_not_serve(
    backend: MemoryBackend, frontend: DirectoryFrontend
) -> None:
    other = DataKey(KEY.run_id, KEY.data_type, Lineage({"peaks": ("Peaks", "9", {})}))
    saver = backend.saver(KEY.name, sample_metadata(other))
    saver.save(CHUNKS[0], 0)
    saver._journal._write_segment()

    with pytest.raises(DataNotAvailable):
        frontend.find(KEY, LIVE)


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"backend_key": 7}', b"\xff"])
@pytest.mark.parametrize("name", ["ticket.json", "journal-00000000-000000.json"])
def test_a_ticket_that_makes_no_sense_hides_no_other(
    backend: MemoryBackend, frontend: DirectoryFrontend, garbage: bytes, name: str
) -> None:
    raw = RawMemory(backend)
    for write_id in ("0" * 16, "f" * 16):
        raw.write(f".staging/{KEY.name}/{write_id}/{name}", garbage)
    with pytest.raises(DataNotAvailable):
        frontend.find(KEY, LIVE)
    written(backend, 0)

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:1])
    assert len(writers_at_work(backend, KEY.name)) == 3


def test_a_ticket_that_cannot_be_read_hides_no_other(backend: MemoryBackend) -> None:
    written(backend, 0)
    denied = written(backend, 0, 1)
    faulty = FaultyBackend(backend)
    plain_read = faulty.read

    def read(path: str) -> bytes:
        if denied.write_id in path:
            raise StorageUnavailable("no")
        return plain_read(path)

    faulty.read = read  # type: ignore[method-assign]
    frontend = DirectoryFrontend(faulty)

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:1])
    (writer,) = writers_at_work(faulty, KEY.name)
    assert (writer.chunks, writer.rows) == (1, 3)


def test_notes_and_writers_never_raise_if_the_place_is_down() -> None:
    class Down(MemoryBackend):
        def list(self, folder: str, *, starts_with: str = "") -> Iterator[Any]:  # noqa: ARG002
            raise StorageUnavailable("down")

    assert writers_at_work(Down(), KEY.name) == []
    assert failure_notes(Down(), KEY.name) == []
    assert find_unfinished(Down(), KEY.name) is None


def test_writers_at_work_are_described(backend: MemoryBackend) -> None:
    saver = backend.saver(KEY.name, sample_metadata(KEY) | {"writer": {"host": "daq", "pid": 42}})
    (writer,) = writers_at_work(backend, KEY.name)

    assert (writer.write_id, writer.host, writer.pid) == (saver.write_id, "daq", 42)
    assert 0 <= writer.silent_s < 60
    assert writers_at_work(backend, sample_key("run_2").name) == []


def test_complete_data_come_before_unfinished_ones_in_all_places() -> None:
    near, far = (DirectoryFrontend(MemoryBackend(), name=name) for name in ("near", "far"))
    written(near.backends["main"], 0)  # type: ignore[arg-type]
    save_sample(far.backends["main"], KEY)
    found = list(Places([near, far]).find_all(KEY, LIVE))

    assert [(each.place, each.is_complete) for each in found] == [("far", True), ("near", False)]
    assert all(each.is_exact for each in found)
    assert found[1].loader().read_all().tobytes() == bytes_of_chunks(CHUNKS[:1])


def test_a_fuzzy_match_comes_before_unfinished_data_and_nothing_raises() -> None:
    backend = MemoryBackend()
    other = DataKey("run_1", "peaks", Lineage({"peaks": ("Peaks", "9", {})}))
    save_sample(backend, other)
    written(backend, 0)
    match = Match(fuzzy_for="peaks", allow_incomplete=True)
    places = Places([DirectoryFrontend(backend, name="here")])
    found = list(places.find_all(KEY, match))

    assert [(each.is_exact, each.is_complete) for each in found] == [(False, True), (True, False)]
    save_sample(backend, KEY)
    found = list(places.find_all(KEY, match))
    assert [(each.is_exact, each.is_complete) for each in found] == [(True, True), (False, True)]


# What the real strax writes


def strax_folder(raw: RawMemory, folder: str, numbers: tuple[int, ...], **fields: object) -> None:
    """Write a folder as strax does, each chunk with the codec that changes nothing."""
    document = {**sample_metadata(KEY, compressor="none"), **fields, "chunks": []}
    chunks: list[dict[str, Any]] = []
    for number in numbers:
        chunk = CHUNKS[number]
        entry = {"chunk_i": number, "n": len(chunk.data), "start": chunk.start, "end": chunk.end}
        entry |= {"run_id": chunk.run_id, "subruns": None, "nbytes": chunk.data.nbytes}
        if len(chunk.data):
            entry["filename"] = f"{PREFIX}-{number:06d}"
            raw.write(f"{folder}/{entry['filename']}", chunk.data.tobytes())
        chunks.append(entry)
    raw.write(
        f"{folder}/{PREFIX}-metadata.json", json.dumps({**document, "chunks": chunks}).encode()
    )


TEMP = f"{KEY.name}_temp"


@pytest.mark.parametrize("fields", [{}, {"writing_ended": 1.0, "end": 99_000, "start": 0}])
def test_what_strax_writes_is_readable_so_far_also_a_copy(fields: dict[str, object]) -> None:
    """A copy has the end of its source in its metadata from the start on (W18)."""
    backend = MemoryBackend()
    frontend = DirectoryFrontend(backend)
    strax_folder(RawMemory(backend), TEMP, (0, 1), **fields)

    with pytest.raises(DataNotAvailable):
        frontend.find(KEY)
    location = frontend.find(KEY, LIVE)
    assert rows_of(location, frontend) == bytes_of_chunks(CHUNKS[:2])
    assert location.metadata is not None
    assert not location.metadata.is_complete


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_metadata_that_strax_is_just_rewriting_are_not_available(cut: int) -> None:
    backend = MemoryBackend()
    raw = RawMemory(backend)
    strax_folder(raw, TEMP, (0, 1))
    path = f"{TEMP}/{PREFIX}-metadata.json"
    raw.write(path, raw.read(path)[:cut])

    with pytest.raises(DataNotAvailable):
        DirectoryFrontend(backend).find(KEY, LIVE)


def test_chunks_of_the_several_processes_of_strax_are_gathered() -> None:
    backend = MemoryBackend()
    raw = RawMemory(backend)
    strax_folder(raw, "elsewhere", (0, 1, 2))
    path = f"{PREFIX}-metadata.json"
    document = json.loads(raw.read(f"elsewhere/{path}"))
    for entry in document["chunks"]:
        name = f"metadata_{PREFIX}-{entry['chunk_i']:06d}.json"
        raw.write(f"{TEMP}/{name}", json.dumps(entry).encode())
        if entry["n"]:
            raw.write(f"{TEMP}/{entry['filename']}", raw.read(f"elsewhere/{entry['filename']}"))
    raw.write(f"{TEMP}/{path}", json.dumps({**document, "chunks": document["chunks"][:1]}).encode())
    frontend = DirectoryFrontend(backend)

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS)
    raw.write(f"{TEMP}/metadata_{PREFIX}-000001.json", b'{"chunk_i')
    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:1])


def test_a_chunk_that_strax_lists_before_its_file_is_there_does_not_count() -> None:
    backend = MemoryBackend()
    raw = RawMemory(backend)
    strax_folder(raw, TEMP, (0, 1, 2))
    raw.delete(f"{TEMP}/{PREFIX}-000002")
    frontend = DirectoryFrontend(backend)

    assert rows_of(frontend.find(KEY, LIVE), frontend) == bytes_of_chunks(CHUNKS[:2])


def test_what_strax_has_written_without_a_chunk_or_with_an_error_is_not_available() -> None:
    backend = MemoryBackend()
    strax_folder(RawMemory(backend), TEMP, ())
    with pytest.raises(DataNotAvailable):
        DirectoryFrontend(backend).find(KEY, LIVE)
    strax_folder(RawMemory(backend), TEMP, (0,), exception="ValueError: on fire")
    with pytest.raises(DataNotAvailable):
        DirectoryFrontend(backend).find(KEY, LIVE)


@pytest.mark.parametrize("final", ["same", "failed", "other"])
def test_a_reader_goes_on_where_strax_renames_its_folder_to(final: str) -> None:
    backend = MemoryBackend()
    raw = RawMemory(backend)
    strax_folder(raw, TEMP, (0, 1))
    loader = DirectoryFrontend(backend).loader(KEY, LIVE)
    chunks = iter(loader)
    first = next(chunks)
    assert bytes_of_chunks([first]) == bytes_of_chunks(CHUNKS[:1])
    backend.delete(TEMP)
    ended: dict[str, object] = {"writing_ended": 1.0}
    if final == "failed":
        ended["exception"] = "ValueError: on fire"
    strax_folder(raw, KEY.name, (0, 1, 2), **ended)
    if final == "other":
        path = f"{KEY.name}/{PREFIX}-metadata.json"
        document = json.loads(raw.read(path))
        document["chunks"] = [{**document["chunks"][0], "end": 700}]
        raw.write(path, json.dumps(document).encode())

    if final == "same":
        assert loader.read_all().tobytes() == bytes_of_chunks(CHUNKS[:2])
    else:
        with pytest.raises(DataNotAvailable, match="gone"):
            loader.read_all()


class Shared(MemoryBackend):
    """One memory for all copies, as if they were in other processes."""

    def __reduce__(self) -> Any:
        return type(self), (MemoryOptions(place=self._name),)


def test_a_loader_of_unfinished_data_pickles() -> None:
    backend = Shared(MemoryOptions(place="test_live"))
    saver = written(backend, 0)
    loader = DirectoryFrontend(backend).loader(KEY, LIVE)
    copy = pickle.loads(pickle.dumps(loader))  # noqa: S301 - our own

    assert bytes_of_chunks([copy.read_chunk(copy.metadata.chunks[0])]) == bytes_of_chunks(
        CHUNKS[:1]
    )
    saver.abort()
