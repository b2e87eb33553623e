"""What a directory does when the system answers otherwise; each was found by changing the code."""

import ctypes
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from strax_core import (
    AccessDenied,
    ConfigError,
    Context,
    ObjectExists,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.testing import RawFolder, everything
from strax_local import rename_exclusive as renaming
from strax_local.backend import LocalBackend
from strax_local.errors import storage_error
from strax_local.frontend import LocalFrontend
from strax_local.options import LocalOptions
from strax_local.rename_exclusive import Name, rename_exclusive


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(LocalOptions(path=str(tmp_path)))


def failing(number: int, *, times: int | None = None, then: Callable[..., Any] = id) -> Any:
    """Return a function that raises an error of the system, for ever or a few times."""
    left = [0] * times if times is not None else None

    def fail(*arguments: Any, **options: Any) -> Any:
        if left is None or left:
            if left:
                left.pop()
            raise OSError(number, os.strerror(number))
        return then(*arguments, **options)

    return fail


# Options and the frontend


def test_an_url_names_a_directory_of_this_machine() -> None:
    for url in ("file:///my%20data/x", "file://localhost/my%20data/x"):
        assert LocalOptions.from_url(url) == {"path": "/my data/x"}
    with pytest.raises(ConfigError, match="file://host/data: a file URL names no machine"):
        LocalOptions.from_url("file://host/data")


def test_options_do_not_change_and_wait_for_the_disk_by_default(tmp_path: Path) -> None:
    options = LocalOptions(path=str(tmp_path))

    assert options.fsync is True
    with pytest.raises(FrozenInstanceError):
        options.path = "elsewhere"  # type: ignore[misc]
    with pytest.raises(TypeError):
        LocalOptions(str(tmp_path))  # type: ignore[misc]


def test_a_path_in_a_settings_file_begins_where_the_file_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "elsewhere").mkdir()
    settings = tmp_path / "settings" / "strax.toml"
    settings.write_text(
        '[storage.here]\nfrontend = "local"\npath = "./data"\n'
        '[context.analysis]\nstorage = ["here"]\n'
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("STRAX_CONFIG", str(settings))
    (place,) = Context.from_config("analysis").storage

    assert place.backends["main"].place == str(tmp_path / "settings" / "data")
    assert (tmp_path / "settings" / "data").is_dir()


def test_a_frontend_opens_where_the_directory_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", failing(errno.EACCES))
        place = LocalFrontend(LocalBackend(LocalOptions(path=str(tmp_path / "new"))))

    with pytest.raises(StorageUnavailable, match="is not there"):
        place.run_metadata("run_1")


# Errors


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, ObjectMissing),
        (errno.ENOTDIR, ObjectMissing),
        (errno.EISDIR, ObjectMissing),
        (errno.EEXIST, ObjectExists),
        (errno.ENOTEMPTY, ObjectExists),
        (errno.EACCES, AccessDenied),
        (errno.EPERM, AccessDenied),
        (errno.EROFS, ReadOnlyError),
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.ENAMETOOLONG, ConfigError),
        (errno.EXDEV, ConfigError),
        (errno.EINVAL, ConfigError),
        (errno.EIO, StorageUnavailable),
        (errno.EMFILE, StorageUnavailable),
        (None, StorageUnavailable),
    ],
)
def test_every_error_of_the_system_has_one_of_ours(
    number: int | None, expected: type[Exception]
) -> None:
    error = OSError("no number") if number is None else OSError(number, "what the system said")
    text = r"^/data/x .*\((no number|what the system said)\)$"
    ours = storage_error(error, "/data/x")

    assert type(ours) is expected
    assert re.search(text, str(ours))


def test_a_directory_that_vanished_has_the_systems_error_as_cause(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="mkdir -p") as caught:
        LocalBackend(LocalOptions(path=str(tmp_path / "gone"))).read("file")

    assert isinstance(caught.value.__cause__, FileNotFoundError)


# Renaming


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Stand in for the C library; it has only what a test gives it."""
    made = SimpleNamespace()
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: made)
    renaming._system_call.cache_clear()
    yield made
    renaming._system_call.cache_clear()


def answering(number: int, calls: list[tuple[Any, ...]]) -> Callable[..., int]:
    def call(*arguments: Any) -> int:
        calls.append(arguments)
        ctypes.set_errno(number)
        return -1 if number else 0

    return call


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_a_rename_is_from_folder_to_folder(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "here" / "source").write_bytes(b"x")
    with opened(tmp_path / "here") as here, opened(tmp_path / "there") as there:
        rename_exclusive(Name(here, "source"), Name(there, "target"))

    assert everything(RawFolder(tmp_path)) == {"here", "there/target"}


def test_only_a_folder_that_is_there_is_renamed(backend: LocalBackend, tmp_path: Path) -> None:
    backend.write("file", [b"x"])
    for source in ("file", "missing"):
        with pytest.raises(ObjectMissing, match=f"^{tmp_path}/{source} is not there"):
            backend.rename(source, "folder/target")

    assert [path.name for path in tmp_path.iterdir() if path.name != ".staging"] == ["file"]


@pytest.mark.parametrize(
    ("platform", "name", "arguments"),
    [
        ("darwin", "renameatx_np", (5, b"a", 6, b"b", 4)),  # RENAME_EXCL
        ("linux", "renameat2", (5, b"a", 6, b"b", 1)),  # RENAME_NOREPLACE
    ],
)
def test_the_system_is_asked_to_replace_nothing(
    library: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    name: str,
    arguments: tuple[Any, ...],
) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(sys, "platform", platform)
    setattr(library, name, answering(0, calls))
    rename_exclusive(Name(5, "a"), Name(6, "b"))
    setattr(library, name, answering(errno.EEXIST, calls))
    renaming._system_call.cache_clear()
    with pytest.raises(FileExistsError) as caught:
        rename_exclusive(Name(5, "a"), Name(6, "b"))

    assert calls == [arguments, arguments]
    assert (caught.value.filename, caught.value.filename2) == ("a", "b")


NOT_OFFERED = [None, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP]


@pytest.mark.parametrize("platform", ["darwin", "linux"])
@pytest.mark.parametrize("number", NOT_OFFERED)
def test_without_the_call_nothing_is_replaced_either(
    library: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    platform: str,
    number: int | None,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    if number is not None:
        library.renameatx_np = library.renameat2 = answering(number, [])
    raw = RawFolder(tmp_path)
    for path in ("file", "other", "folder/file", "full/file"):
        raw.write(path, path.encode())
    with opened(tmp_path) as root:
        with pytest.raises(FileExistsError):
            rename_exclusive(Name(root, "file"), Name(root, "other"))
        with pytest.raises(OSError, match="full"):
            rename_exclusive(Name(root, "folder"), Name(root, "full"))
    assert {path: raw.read(path) for path in everything(raw)} == {
        path: path.encode() for path in ("file", "other", "folder/file", "full/file")
    }
    with opened(tmp_path) as root:
        rename_exclusive(Name(root, "file"), Name(root, "file_2"))
        rename_exclusive(Name(root, "folder"), Name(root, "folder_2"))

    assert everything(raw) == {"file_2", "other", "folder_2/file", "full/file"}
    assert raw.read("file_2") == b"file"


# Writing and deleting while others do


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTEMPTY])
def test_a_folder_that_comes_or_goes_under_a_write_is_no_failure(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "replace", failing(number, times=5, then=os.replace))
    backend.write("folder/file", [b"x"])

    assert (tmp_path / "folder" / "file").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOENT, ObjectMissing), (errno.ENOTEMPTY, ObjectExists)]
)
def test_who_never_succeeds_gives_up_and_says_so(
    backend: LocalBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[Exception],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(number))
        with pytest.raises(expected):
            backend.write("file", [b"x"])

    assert everything(RawFolder(tmp_path)) == set()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_what_no_other_process_can_have_caused_is_not_tried_again(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    calls: list[str] = []

    def fail(_: str, target: str, **_folders: int) -> None:
        calls.append(target)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(StorageError):
            backend.write("file", [b"x"])

    assert len(calls) == 1


def test_a_source_that_is_gone_is_not_looked_for_again(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    calls: list[str] = []

    def gone(source: Name, target: Name) -> None:
        calls.append(target.name)
        os.rmdir(source.name, dir_fd=source.folder)
        raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr("strax_local.backend.rename_exclusive", gone)
    with pytest.raises(ObjectMissing):
        backend.rename("folder", "other")

    assert calls == ["other"]


def test_a_parent_that_others_tidy_up_need_not_be_made_durable(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def open_unless_to_sync(path: Any, *arguments: Any, **options: Any) -> int:
        if path == ".":
            raise FileNotFoundError(errno.ENOENT, "tidied up")
        return really_open(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_unless_to_sync)
        backend.write("folder/file", [b"x"])

    assert (tmp_path / "folder" / "file").read_bytes() == b"x"


def test_a_write_leaves_no_open_file(backend: LocalBackend) -> None:
    backend.write("folder/file", [b"x"])
    before = set(os.listdir("/dev/fd"))
    for _ in range(5):
        backend.write("folder/file", [b"x"])

    assert len(set(os.listdir("/dev/fd"))) == len(before)


def test_all_bytes_are_with_the_system_when_the_disk_is_waited_for(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    backend.write("file", [b"123", b"45"])

    assert 5 in sizes


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_interrupted_write_leaves_nothing(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def interrupted(*_: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            backend.write("file", [b"x"])

    assert everything(RawFolder(tmp_path)) == set()


def test_a_listing_passes_over_what_is_gone(backend: LocalBackend, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"gone_{number}").symlink_to(tmp_path / "nowhere")
        (tmp_path / f"file_{number}").write_bytes(b"x")

    assert {entry.name for entry in backend.list("")} == {f"file_{i}" for i in range(20)}


def test_deleting_takes_the_folders_that_are_empty_then(
    backend: LocalBackend, tmp_path: Path
) -> None:
    for path in ("a/b/c/file", "a/other"):
        backend.write(path, [b"x"])
    backend.delete("a/b/c/file")

    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["other"]
    backend.delete("a/other")
    assert not (tmp_path / "a").exists()
    assert tmp_path.is_dir()
