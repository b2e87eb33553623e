import json
import time
from contextlib import suppress

import pytest

from strax_core.backend.clean import clean, now_ns
from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.errors import DataExistsError, ReadOnlyError, StorageError
from strax_core.testing import FaultyBackend, RawMemory, everything
from strax_core.testing.dataset_checks import (
    KEY,
    METADATA,
    named_paths,
    new_saver,
    sample_bytes,
    stored_bytes,
)
from strax_core.testing.faults import kill
from strax_core.testing.samples import sample_chunks, sample_key, save_sample

HOUR_NS = 3600 * 10**9


@pytest.fixture(params=[MemoryBackend, ConditionalMemoryBackend])
def backend(request: pytest.FixtureRequest) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


def age(backend: MemoryBackend, path_part: str, by_ns: int) -> None:
    """Make files look older."""
    files = backend._storage.files
    for path, (data, modified_ns) in list(files.items()):
        if path_part in path:
            files[path] = (data, modified_ns - by_ns)


def test_the_last_beat_decides_and_not_the_age_of_chunks(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    for chunk_i, chunk in enumerate(sample_chunks(KEY)):
        saver.save(chunk, chunk_i)
    age(backend, "peaks-", 10 * HOUR_NS)
    age(backend, "ticket.json", 10 * HOUR_NS)
    beat = f".staging/{KEY.name}/{saver.write_id}/journal-00000000-000000.json"
    backend.write(beat, [b'{"chunks": []}'])

    assert clean(backend, grace_s=3600, dry_run=False) == []
    saver.commit()
    assert stored_bytes(backend) == sample_bytes()


def test_a_writer_silent_for_longer_than_the_grace_time_is_dead(backend: MemoryBackend) -> None:
    dead = new_saver(backend)
    dead.save(sample_chunks(KEY)[0], 0)
    kill(dead)
    age(backend, dead.write_id, HOUR_NS // 2)
    assert clean(backend, grace_s=3600, dry_run=False) == []
    age(backend, dead.write_id, HOUR_NS)

    assert clean(backend, grace_s=3600, dry_run=False)
    assert everything(RawMemory(backend)) == set()


def test_what_is_committed_stays_however_old_it_is(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    age(backend, "", 1000 * HOUR_NS)

    assert clean(backend, grace_s=0, dry_run=False) == []
    assert stored_bytes(backend) == sample_bytes()


def test_old_files_of_a_replacement_that_died_halfway_are_removed(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    save_sample(backend, KEY)
    old = {path: raw.read(path) for path in named_paths(raw) - {METADATA}}
    metadata = save_sample(backend, KEY, sample_chunks(KEY, mark=2), overwrite="always")
    folder = f".staging/{KEY.name}/{metadata.write_id}"
    for path, data in old.items():
        raw.write(path, data)
    raw.write(f"{folder}/ticket.json", json.dumps({"backend_key": KEY.name}).encode())
    names = [path.removeprefix(f"{KEY.name}/") for path in old]
    raw.write(f"{folder}/replaced.json", json.dumps({"files": names}).encode())
    clean(backend, grace_s=0, dry_run=False)

    assert everything(raw) == named_paths(raw)
    assert stored_bytes(backend) == sample_bytes(mark=2)


def test_a_replacement_that_died_before_its_commit_takes_nothing_of_the_old(
    backend: MemoryBackend,
) -> None:
    raw = RawMemory(backend)
    save_sample(backend, KEY)
    dead = new_saver(backend, overwrite="always")
    dead.save(sample_chunks(KEY, mark=2)[0], 0)
    kill(dead)
    names = [path.removeprefix(f"{KEY.name}/") for path in named_paths(raw) - {METADATA}]
    raw.write(
        f".staging/{KEY.name}/{dead.write_id}/replaced.json", json.dumps({"files": names}).encode()
    )
    clean(backend, grace_s=0, dry_run=False)

    assert everything(raw) == named_paths(raw)
    assert stored_bytes(backend) == sample_bytes()


@pytest.mark.parametrize(
    "files", [7, None, "peaks", ["../other/file"], ["/", ""], [7, {}], ["a/b/c"], [".."]]
)
def test_a_list_of_replaced_files_that_makes_no_sense_names_nothing(
    backend: MemoryBackend, files: object
) -> None:
    raw = RawMemory(backend)
    raw.write("other/file", b"stays")
    metadata = save_sample(backend, KEY)
    folder = f".staging/{KEY.name}/{metadata.write_id}"
    raw.write(f"{folder}/replaced.json", json.dumps({"files": files}).encode())

    assert [each.path for each in clean(backend, grace_s=0, dry_run=False)] == [folder]
    assert everything(raw) == named_paths(raw) | {"other/file"}
    assert stored_bytes(backend) == sample_bytes()


@pytest.mark.parametrize("bad", [b"", b"{", b"[]"])
def test_a_ticket_that_makes_no_sense_is_removed_too(backend: MemoryBackend, bad: bytes) -> None:
    save_sample(backend, KEY)
    before = everything(RawMemory(backend))
    RawMemory(backend).write(f".staging/{KEY.name}/{'0' * 16}/ticket.json", bad)
    RawMemory(backend).write(f".staging/{KEY.name}/{'0' * 16}/replaced.json", bad)
    clean(backend, grace_s=0, dry_run=False)

    assert everything(RawMemory(backend)) == before


@pytest.mark.parametrize("name", ["../../outside", "/outside", "../run_2-peaks-abc/file"])
def test_a_ticket_cannot_make_it_delete_elsewhere(backend: MemoryBackend, name: str) -> None:
    raw = RawMemory(backend)
    metadata = save_sample(backend, KEY)
    raw.write("run_2-peaks-abc/file", b"another's")
    raw.write("outside", b"another's")
    raw.write(
        f".staging/{KEY.name}/{metadata.write_id}/replaced.json",
        json.dumps({"files": [name]}).encode(),
    )
    with suppress(StorageError):
        clean(backend, grace_s=0, dry_run=False)

    assert {"run_2-peaks-abc/file", "outside"} <= everything(raw)
    assert stored_bytes(backend) == sample_bytes()


@pytest.mark.parametrize(
    "name",
    [
        *("tmp-0123456789abcdef", "clock-0123456789abcdef", "speed-0123456789abcdef"),
        *("probe-0123456789abcdef", "checksum-0123456789abcdef"),
        *("check-0123456789abcdef/once", "check-0123456789abcdef/here/file"),
        *("probe-0123456789abcdef/a/file", "probe-0123456789abcdef/b/file"),
    ],
)
def test_what_was_never_finished_is_removed_when_it_is_old(
    backend: MemoryBackend, name: str
) -> None:
    raw = RawMemory(backend)
    backend.write(f".staging/{name}", [b"half"])
    assert clean(backend, grace_s=3600, dry_run=False) == []
    age(backend, name, 2 * HOUR_NS)
    (left,) = clean(backend, grace_s=3600, dry_run=False)

    assert left.path == f".staging/{name.partition('/')[0]}"
    assert left.reason
    assert everything(raw) == set()


def test_time_is_told_by_the_clock_of_the_place(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_ns = time.time_ns() + 5 * HOUR_NS
    monkeypatch.setattr("strax_core.backend.memory.time.time_ns", lambda: there_ns)

    assert now_ns(backend) == there_ns
    assert everything(RawMemory(backend)) == set()


def test_a_place_that_cannot_be_written_cannot_be_cleaned(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    readonly = FaultyBackend(backend)
    readonly.saver_class = None  # type: ignore[misc]

    with pytest.raises(ReadOnlyError):
        clean(readonly, grace_s=0, dry_run=False)
    assert readonly.calls == []


def test_a_file_list_that_names_the_folder_of_data_in_use_takes_nothing(
    backend: MemoryBackend,
) -> None:
    raw = RawMemory(backend)
    raw.write(METADATA, b"unreadable")
    metadata = save_sample(backend, KEY)  # a RenamingSaver puts its chunks into a sub-folder
    folders = sorted({str(info.filename).partition("/")[0] for info in metadata.chunks if info.n})
    raw.write(
        f".staging/{KEY.name}/0123/ticket.json", json.dumps({"backend_key": KEY.name}).encode()
    )
    raw.write(f".staging/{KEY.name}/0123/replaced.json", json.dumps({"files": folders}).encode())
    clean(backend, grace_s=0, dry_run=False)

    assert stored_bytes(backend) == sample_bytes()


def test_the_writers_of_data_in_a_newer_format_are_left_alone(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    dead = new_saver(backend)
    dead.save(sample_chunks(KEY)[0], 0)
    kill(dead)
    raw.write(METADATA, json.dumps({"format_version": 99}).encode())
    before = everything(raw)

    assert clean(backend, grace_s=0, dry_run=False) == []
    assert everything(raw) == before


def test_damaged_metadata_and_the_chunks_beside_them_are_kept_when_replaced(
    backend: MemoryBackend,
) -> None:
    raw = RawMemory(backend)
    save_sample(backend, KEY)
    old = {path: raw.read(path) for path in named_paths(raw) - {METADATA}}
    damaged = raw.read(METADATA)[:-1]
    raw.write(METADATA, damaged)
    save_sample(backend, KEY, sample_chunks(KEY, mark=2))
    clean(backend, grace_s=0, dry_run=False)

    assert stored_bytes(backend) == sample_bytes(mark=2)
    assert {path: raw.read(path) for path in old} == old
    (kept,) = (path for path in everything(raw) if "/unreadable-" in path)
    assert raw.read(kept) == damaged


def test_a_folder_that_is_no_writers_makes_clean_delete_no_data(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    save_sample(backend, KEY)
    for name in ("data", "json", "000001", "peaks"):
        raw.write(f".staging/{KEY.name}/{name}/file", b"")
    before = everything(raw)
    told = clean(backend, grace_s=0, dry_run=False)

    assert everything(raw) == before
    assert {each.path for each in told} == {
        f".staging/{KEY.name}/{name}" for name in ("data", "json", "000001", "peaks")
    }
    assert all(each.stays for each in told)


def test_a_ticket_that_points_at_other_data_is_not_believed(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    other = sample_key("run_2")
    metadata = save_sample(backend, other)
    ticket = json.dumps({"backend_key": other.name}).encode()
    raw.write(f".staging/{KEY.name}/{'0' * 16}/ticket.json", ticket)
    names = [info.filename for info in metadata.chunks if info.filename]
    raw.write(
        f".staging/{KEY.name}/{'0' * 16}/replaced.json", json.dumps({"files": names}).encode()
    )
    before = everything(raw)
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert everything(raw) == before
    assert told.stays
    assert "other data" in told.reason


def test_a_ticket_that_names_what_is_no_chunk_is_not_believed(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    metadata = save_sample(backend, KEY)
    mine = ["notes.txt", "thesis/chapter", f"{'0' * 16}/notes.txt"]
    for name in mine:
        raw.write(f"{KEY.name}/{name}", b"mine")
    of_ticket = f".staging/{KEY.name}/{metadata.write_id}"
    raw.write(f"{of_ticket}/replaced.json", json.dumps({"files": mine}).encode())
    clean(backend, grace_s=0, dry_run=False)

    assert {f"{KEY.name}/{name}" for name in mine} <= everything(raw)


def test_a_writer_that_came_second_leaves_no_note(backend: MemoryBackend) -> None:
    second = new_saver(backend)
    save_sample(backend, KEY)
    with pytest.raises(DataExistsError), second:
        second.save(sample_chunks(KEY)[0], 0)

    assert everything(RawMemory(backend)) == named_paths(RawMemory(backend))
