import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strax_core import (
    AccessDenied,
    ConfigError,
    DataCorrupted,
    ObjectExists,
    ReadOnlyError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.testing import RawFolder, clean, everything
from strax_local.backend import LocalBackend
from strax_local.frontend import LocalFrontend
from strax_local.options import LocalOptions
from strax_local.rename_exclusive import Name, rename


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(LocalOptions(path=str(tmp_path)))


def failing(error_number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(error_number, os.strerror(error_number))

    return fail


ERRORS = [
    (errno.ENOSPC, StorageFull),
    (errno.EDQUOT, StorageFull),
    (errno.EACCES, AccessDenied),
    (errno.EPERM, AccessDenied),
    (errno.EROFS, ReadOnlyError),
    (errno.EIO, StorageUnavailable),
    (errno.ESTALE, StorageUnavailable),
]


@pytest.mark.parametrize(("number", "expected"), ERRORS)
@pytest.mark.parametrize("call", ["fsync", "mkdir", "replace"])
def test_an_error_of_the_system_while_writing_is_typed_and_leaves_nothing(
    backend: LocalBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    expected: type[StorageError],
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(expected, match=str(tmp_path)) as caught:
            backend.write("file", [b"new"])

    assert isinstance(caught.value.__cause__, OSError)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert everything(RawFolder(tmp_path)) == {"file"}


@pytest.mark.parametrize(("number", "expected"), ERRORS)
def test_an_error_of_the_system_while_reading_is_typed(
    backend: LocalBackend,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[StorageError],
) -> None:
    backend.write("folder/file", [b"x"])
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", failing(number))
        patch.setattr(os, "scandir", failing(number))
        patch.setattr(os, "unlink", failing(number))

        for verb in (
            lambda: backend.read("folder/file"),
            lambda: backend.read_ranges("folder/file", [(0, 1)]),
            lambda: list(backend.list("folder")),
            lambda: backend.delete("folder/file"),
        ):
            with pytest.raises(expected):
                verb()


def test_a_file_above_a_limit_is_storage_full(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from strax_core import StorageFull
from strax_local.backend import LocalBackend
from strax_local.options import LocalOptions

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    LocalBackend(LocalOptions(path={str(tmp_path)!r})).write("file", [bytes(6_000), bytes(6_000)])
except StorageFull as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert str(tmp_path) in done.stdout
    assert everything(RawFolder(tmp_path)) == set()


def test_a_vanished_directory_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    gone = LocalBackend(LocalOptions(path=str(tmp_path / "mount")))
    for verb in (
        lambda: gone.read("file"),
        lambda: gone.read_ranges("file", [(0, 1)]),
        lambda: list(gone.list("")),
        lambda: list(gone.list("folder")),
        lambda: gone.write("file", [b"x"]),
        lambda: gone.write("folder/file", [b"x"], create_only=True),
        lambda: gone.delete("file"),
        lambda: gone.rename("a", "b"),
        lambda: gone.get_metadata("run_1-peaks-abc"),
    ):
        with pytest.raises(StorageUnavailable, match="mount"):
            verb()

    assert list(tmp_path.iterdir()) == []


def test_a_frontend_makes_the_last_part_of_its_path_only(tmp_path: Path) -> None:
    for path in ("new", "not/mounted"):
        LocalFrontend(LocalBackend(LocalOptions(path=str(tmp_path / path))))
    LocalFrontend(LocalBackend(LocalOptions(path=str(tmp_path / "other"))), readonly=True)

    assert [entry.name for entry in tmp_path.iterdir()] == ["new"]


def test_renaming_does_not_replace_an_empty_folder(backend: LocalBackend, tmp_path: Path) -> None:
    backend.write("source/file", [b"x"])
    (tmp_path / "target").mkdir()
    with pytest.raises(ObjectExists):
        backend.rename("source", "target")

    assert everything(RawFolder(tmp_path)) == {"source/file", "target"}


def test_a_link_out_of_a_folder_is_listed_as_a_link_and_refused(
    backend: LocalBackend, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    targets = {"to_file": "elsewhere/file", "to_folder": "elsewhere", "to_nothing": "missing"}
    for name, target in targets.items():
        (tmp_path / "folder" / name).symlink_to(tmp_path / target)
    entries = list(backend.list("folder"))

    assert {entry.name for entry in entries} == set(targets)
    assert all(entry.is_link and not entry.is_folder for entry in entries)
    assert list(backend.folder_names("folder")) == []
    for path in ("to_file", "to_nothing", "to_folder/file"):
        with pytest.raises(DataCorrupted, match=r"is a link to .*(file|missing|elsewhere); "):
            backend.read(f"folder/{path}")


def test_a_link_to_a_file_of_the_same_folder_is_read(backend: LocalBackend, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"12345")
    (tmp_path / "folder" / "link").symlink_to("file")
    (tmp_path / "folder" / "loop").symlink_to("loop")

    assert backend.read("folder/link") == b"12345"
    with pytest.raises(DataCorrupted, match="without end"):
        backend.read("folder/loop")


def test_deleting_a_link_leaves_what_it_points_to(backend: LocalBackend, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    backend.delete("link")
    backend.delete("folder")

    assert everything(RawFolder(tmp_path)) == {"elsewhere/file"}


@pytest.mark.parametrize(
    ("mask", "file_mode", "folder_mode"), [(0o027, 0o640, 0o750), (0, 0o666, 0o777)]
)
def test_files_and_folders_follow_the_umask(
    backend: LocalBackend, tmp_path: Path, mask: int, file_mode: int, folder_mode: int
) -> None:
    before = os.umask(mask)
    try:
        backend.write("a/b/file", [b"x"])
        backend.rename("a/b", "c")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "c" / "file").stat().st_mode) == file_mode
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == folder_mode


def test_folders_inherit_the_group_of_a_directory_with_setgid(
    backend: LocalBackend, tmp_path: Path
) -> None:
    tmp_path.chmod(0o2770)
    backend.write("a/b/file", [b"x"])

    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert path.stat().st_mode & stat.S_ISGID
    assert (tmp_path / "a" / "b" / "file").stat().st_gid == tmp_path.stat().st_gid


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """What is made durable and what is renamed, in order."""
    seen: list[tuple[str, str]] = []
    fsync = os.fsync

    def short(path: str) -> str:
        name = os.path.relpath(path, tmp_path)
        return ".staging/tmp" if name.startswith(".staging/tmp-") else name

    def path_of(descriptor: int) -> Path:
        inode = os.fstat(descriptor).st_ino
        return next(p for p in (tmp_path, *tmp_path.rglob("*")) if p.stat().st_ino == inode)

    def watched_fsync(descriptor: int) -> None:
        seen.append(("sync", short(str(path_of(descriptor)))))
        fsync(descriptor)

    def watched_rename(source: Name, target: Name) -> None:
        seen.append(("rename", short(str(path_of(target.folder) / target.name))))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr("strax_local.backend.rename", watched_rename)
    monkeypatch.setattr("strax_local.backend.rename_exclusive", watched_rename)
    return seen


@pytest.mark.weakness("W13")
@pytest.mark.parametrize("create_only", [False, True])
def test_a_file_is_durable_before_it_has_its_name_and_the_name_after(
    backend: LocalBackend, tmp_path: Path, steps: list[tuple[str, str]], *, create_only: bool
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".staging").mkdir()
    backend.write("a/file", [b"x"], create_only=create_only)

    assert steps == [("sync", ".staging/tmp"), ("rename", "a/file"), ("sync", "a")]


@pytest.mark.weakness("W13")
def test_new_folders_are_durable_in_their_parents(
    backend: LocalBackend, tmp_path: Path, steps: list[tuple[str, str]]
) -> None:
    (tmp_path / ".staging").mkdir()
    backend.write("a/b/file", [b"x"])

    assert steps == [
        ("sync", ".staging/tmp"),
        ("sync", "."),
        ("sync", "a"),
        ("rename", "a/b/file"),
        ("sync", "a/b"),
    ]


@pytest.mark.weakness("W13")
def test_a_folder_is_durable_before_it_is_renamed_and_both_parents_after(
    backend: LocalBackend, tmp_path: Path, steps: list[tuple[str, str]]
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    backend.rename("a/b", "c")

    assert steps == [("sync", "a/b"), ("rename", "c"), ("sync", "."), ("sync", "a")]


def test_the_option_fsync_false_waits_for_no_disk(
    tmp_path: Path, steps: list[tuple[str, str]]
) -> None:
    backend = LocalBackend(LocalOptions(path=str(tmp_path), fsync=False))
    backend.write("a/b/file", [b"x"])
    backend.write("a/b/other", [b"x"], create_only=True)
    backend.rename("a/b", "c")

    assert {step for step, _ in steps} == {"rename"}
    assert RawFolder(tmp_path).list("c") == {"file", "other"}


def test_a_temporary_file_of_a_killed_process_is_cleaned_up(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # as if killed: nothing of the tidying up happens
        patch.setattr("strax_local.folders.unlink", lambda *_: None)
        patch.setattr(os, "replace", failing(errno.EIO))
        with pytest.raises(StorageUnavailable):
            backend.write("run_1-peaks-abc/file", [b"x"])
    assert list(backend.list("run_1-peaks-abc")) == []
    (left,) = [path for path in everything(RawFolder(tmp_path)) if "tmp-" in path]

    assert [leftover.path for leftover in clean(backend, grace_s=0, dry_run=False)] == [left]
    assert everything(RawFolder(tmp_path)) <= {"run_1-peaks-abc"}


def test_a_name_too_long_for_the_file_system_is_refused(backend: LocalBackend) -> None:
    with pytest.raises(ConfigError, match="too long"):
        backend.write("x" * 256, [b"x"])


def test_a_tilde_in_the_path_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert LocalBackend(LocalOptions(path="~/data")).place == str(tmp_path / "data")


def test_a_pipe_is_no_file_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    backend = LocalBackend(LocalOptions(path=str(tmp_path)))
    with pytest.raises(DataCorrupted, match="pipe"):
        backend.read("pipe")
    with pytest.raises(DataCorrupted, match="pipe"):
        backend.read_ranges("pipe", [(0, 1)])
