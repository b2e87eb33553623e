"""What lies in a place and is not ours, as only a disk can have it: odd names, pipes, swaps."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from strax_core import DataCorrupted, StorageUnavailable
from strax_core.testing import clean, sample_chunks, sample_key, sample_metadata, save_sample
from strax_local import LocalBackend, LocalOptions
from strax_local.rename_exclusive import Name, rename_exclusive

KEY = sample_key("run_1")
DEAD = "0" * 16
LONG_AGO_S = 1.0
PREFIX = KEY.name.partition("-")[2]


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    (tmp_path / "place").mkdir()
    return LocalBackend(LocalOptions(path=str(tmp_path / "place"), fsync=False))


@pytest.fixture
def place(backend: LocalBackend) -> Path:
    return Path(backend.place)


def put(path: Path, text: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def put_ticket(place: Path, **beside: object) -> Path:
    """Put a ticket of a writer that is long dead, and other documents beside it."""
    folder = place / ".staging" / KEY.name / DEAD
    put(folder / "ticket.json", json.dumps({"backend_key": KEY.name}))
    for name, document in beside.items():
        put(folder / f"{name}.json", json.dumps(document))
    for path in (*folder.iterdir(), folder):
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return folder


def make_deep(path: Path) -> None:
    path.mkdir()
    folder = os.open(path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)


def make_socket(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is at most 107 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, Callable[[Path], object]] = {
    "a line feed": lambda staging: (staging / "a\nb").mkdir(),
    "a back slash": lambda staging: put(staging / KEY.name / "a\\b"),
    "no UTF-8": lambda staging: os.mkdir(os.fsencode(staging) + b"/\xff"),
    "a link with a line feed": lambda staging: (staging / "a\nb").symlink_to("nowhere"),
    "a line feed in a writer's folder": lambda staging: put(staging / KEY.name / DEAD / "a\nb"),
    "a line feed among chunks": lambda staging: put(staging / KEY.name / DEAD / "data" / "a\nb"),
    "a link among chunks": lambda staging: (
        put(staging / KEY.name / DEAD / "data" / "x").parent / "a\nb"
    ).symlink_to("nowhere"),
    "a socket as a ticket": lambda staging: make_socket(staging / KEY.name / DEAD / "ticket.json"),
    "a pipe as a list of what is replaced": lambda staging: (
        put(staging / KEY.name / DEAD / "ticket.json", "{}"),
        os.mkfifo(staging / KEY.name / DEAD / "replaced.json"),
    ),
    "a link to nothing in the place of the data": lambda staging: (
        put(staging / KEY.name / DEAD / "ticket.json", "{}"),
        os.rename(staging.parent / KEY.name, staging.parent / "aside"),
        (staging.parent / KEY.name).symlink_to("nowhere"),
    ),
    "a link to itself in the place of the data": lambda staging: (
        put(staging / KEY.name / DEAD / "ticket.json", "{}"),
        os.rename(staging.parent / KEY.name, staging.parent / "aside"),
        (staging.parent / KEY.name).symlink_to(KEY.name),
    ),
    "a very deep folder": lambda staging: make_deep(staging / "deep"),
}


@pytest.mark.parametrize("what", ODD)
def test_one_odd_thing_keeps_nobody_from_cleaning_the_rest(
    backend: LocalBackend, place: Path, what: str
) -> None:
    save_sample(backend, KEY)
    dead = put(place / ".staging" / f"tmp-{DEAD}", "a file that was never finished")
    ODD[what](place / ".staging")
    n_before = sum(1 for _ in (place / ".staging").glob("*"))
    told = clean(backend, grace_s=0, dry_run=False)

    assert not dead.exists()
    assert any(each.stays for each in told)
    assert sum(1 for _ in (place / ".staging").glob("*")) == n_before - 1


def test_what_is_refused_by_the_system_is_left_and_told(
    backend: LocalBackend, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = [put(place / ".staging" / f"tmp-{digit * 16}") for digit in "01"]
    unlink = os.unlink

    def refusing(name: str, **options: int) -> None:  # as root may do everything
        if name == dead[0].name:
            raise PermissionError(13, "Permission denied", name)
        unlink(name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refusing)
        told = clean(backend, grace_s=0, dry_run=False)

    assert [path.exists() for path in dead] == [True, False]
    assert {each.path: each.stays for each in told} == {
        f".staging/{dead[0].name}": True,
        f".staging/{dead[1].name}": False,
    }


def test_a_forged_ticket_takes_no_chunks_of_a_writer_at_work(
    backend: LocalBackend, place: Path
) -> None:
    save_sample(backend, KEY)
    saver = backend.saver(KEY.name, sample_metadata(KEY), overwrite="always")
    for chunk_i, chunk in enumerate(sample_chunks(KEY)):
        saver.save(chunk, chunk_i)
    write = backend.write

    def cleaned_before(path: str, *what: object, **options: bool) -> None:
        if path == f"{KEY.name}/{PREFIX}-metadata.json":  # the chunks have moved already
            put_ticket(place, replaced={"files": [f"{saver.write_id}/{PREFIX}-000000"]})
            clean(LocalBackend(LocalOptions(path=str(place))), grace_s=3600, dry_run=False)
        write(path, *what, **options)  # type: ignore[arg-type]

    backend.write = cleaned_before  # type: ignore[method-assign, assignment]
    saver.commit()

    assert sum(len(chunk.data) for chunk in backend.loader(KEY.name)) == sum(
        len(chunk.data) for chunk in sample_chunks(KEY)
    )


def swapped(backend: LocalBackend, swap: Callable[[], None]) -> None:
    """Have something swapped once, just before files are deleted."""
    delete_files = backend.delete_files
    swaps = [swap]

    def deleting(paths: Sequence[str]) -> None:
        if paths and swaps:
            swaps.pop()()
        delete_files(paths)

    backend.delete_files = deleting  # type: ignore[method-assign]


def test_a_chunk_that_becomes_a_folder_while_data_are_removed_stays(
    backend: LocalBackend, place: Path
) -> None:
    save_sample(backend, KEY)
    thesis = put(place / KEY.name / "thesis" / "text")
    chunk = place / KEY.name / f"{PREFIX}-000000"

    def swap() -> None:
        chunk.unlink()
        thesis.parent.rename(chunk)

    swapped(backend, swap)
    with pytest.warns(UserWarning, match=f"no writer made: {PREFIX}-000000$"):
        backend.remove(KEY.name)

    assert (chunk / "text").read_text() == "mine"


def test_a_link_that_becomes_a_folder_while_it_is_removed_stays(
    backend: LocalBackend, place: Path
) -> None:
    save_sample(backend, KEY)
    (place / KEY.name).rename(place / "aside")
    (place / KEY.name).symlink_to("elsewhere")

    def swap() -> None:
        (place / KEY.name).unlink()
        (place / "aside").rename(place / KEY.name)

    swapped(backend, swap)
    with pytest.raises(StorageUnavailable, match="not any more"):
        backend.remove(KEY.name)

    assert backend.get_metadata(KEY.name).is_complete


def test_what_is_put_among_chunks_while_they_are_cleaned_stays(
    backend: LocalBackend, place: Path
) -> None:
    folder = put_ticket(place)
    put(folder / "data" / f"{PREFIX}-000000")
    rename = backend.rename

    def put_before(source: str, target: str) -> None:
        put(place / source / "thesis.txt")
        rename(source, target)

    backend.rename = put_before  # type: ignore[method-assign]
    clean(backend, grace_s=0, dry_run=False)
    told = clean(backend, grace_s=0, dry_run=False)

    assert [path.name for path in place.rglob("*") if path.is_file()] == ["thesis.txt"]
    assert [each.path.rpartition("/")[2] for each in told] == ["thesis.txt"]


def test_a_foreign_name_does_not_keep_data_from_being_committed(
    backend: LocalBackend, place: Path
) -> None:
    saver = backend.saver(KEY.name, sample_metadata(KEY))
    for chunk_i, chunk in enumerate(sample_chunks(KEY)):
        saver.save(chunk, chunk_i)
    put(place / saver.staging.data / "a\nb")
    saver.commit()

    assert backend.get_metadata(KEY.name).is_complete


def test_a_note_is_left_also_where_nothing_else_can_be_tidied_up(
    backend: LocalBackend, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = backend.saver(KEY.name, sample_metadata(KEY))

    def refused(paths: Sequence[str]) -> None:
        raise DataCorrupted(f"{paths} cannot be looked at")

    monkeypatch.setattr(backend, "delete_files", refused)
    saver.abort(ValueError("why it failed"))

    (note,) = (place / ".staging" / KEY.name).glob("failed-*.json")
    assert "why it failed" in note.read_text()


def test_a_file_that_is_swapped_for_a_link_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = put(tmp_path / "outside" / "secret")
    monkeypatch.setattr("strax_local.rename_exclusive._system_call", lambda: None)  # as on NFS
    place = tmp_path / "place"
    place.mkdir()
    (place / "temporary").symlink_to(secret)
    folder = os.open(place, os.O_RDONLY)
    try:
        rename_exclusive(Name(folder, "temporary"), Name(folder, "file"))
    finally:
        os.close(folder)

    assert secret.stat().st_nlink == 1
    assert (place / "file").is_symlink()
    with pytest.raises(DataCorrupted, match="is a link"):
        LocalBackend(LocalOptions(path=str(place))).read("file")
