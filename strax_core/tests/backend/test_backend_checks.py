from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from strax_core import (
    AccessDenied,
    Buffer,
    Check,
    Entry,
    MemoryBackend,
    MemoryOptions,
    ObjectMissing,
    StorageBackend,
    StorageUnavailable,
)
from strax_core.backend.memory import ConditionalMemoryBackend
from strax_core.cli import main
from strax_core.testing import RawMemory, clean, everything, sample_key, save_sample


def verdicts(backend: StorageBackend, *, writes: bool = True) -> dict[str, bool]:
    return {check.name: check.is_good for check in backend.checks(writes=writes)}


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (MemoryBackend, "rename, never replacing"),
        (ConditionalMemoryBackend, "create only what is new"),
    ],
)
def test_a_good_place_passes_and_nothing_stays(kind: type[MemoryBackend], how: str) -> None:
    backend = kind()
    names = ["list", "write", "read", "read a part", how, "delete"]

    assert verdicts(backend) == dict.fromkeys(names, True)
    assert verdicts(backend, writes=False) == {"list": True}
    assert everything(RawMemory(backend)) == set()


class Forgetful(ConditionalMemoryBackend):
    """Says yes to every write, and forgets the condition."""

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        super().write(path, buffers, create_only=create_only and "once" not in path)


class Replacing(MemoryBackend):
    def rename(self, source: str, target: str) -> None:
        self.delete(target)
        super().rename(source, target)


class Short(MemoryBackend):
    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        super().write(path, buffers[:1], create_only=create_only)


class Wrong(MemoryBackend):
    def read(self, path: str) -> bytes:
        return super().read(path)[::-1]


class Keeping(MemoryBackend):
    def delete(self, path: str) -> None:
        pass

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        super().write("kept/once", [b""])

    def read(self, path: str) -> bytes:
        return b"" if path.endswith("/once") else super().read(path)


class Refusing(MemoryBackend):
    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        super().write(path, buffers, create_only=create_only)
        self.delete(path)
        raise AccessDenied(f"{self.place}/{path} may not be used: ask for permission")


class Late(MemoryBackend):
    """Shows only later what was written."""

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        for entry in super().list(folder, starts_with=starts_with):
            if entry.is_folder:
                yield entry


class Gone(MemoryBackend):
    saver_class = None

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        yield from super().list(folder, starts_with=starts_with)
        raise StorageUnavailable(f"{self.place} is not there:\nis it mounted?")

    def read(self, path: str) -> bytes:
        raise ObjectMissing(path)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Forgetful, {"create only what is new"}),
        (Replacing, {"rename, never replacing"}),
        (Short, {"write"}),
        (Wrong, {"read", "read a part"}),
        (Keeping, {"delete"}),
        (Refusing, {"write"}),
        (Late, {"write"}),
        (Gone, {"list"}),
    ],
)
def test_each_fault_shows_in_the_check_that_is_about_it(
    kind: type[MemoryBackend], bad: set[str]
) -> None:
    assert {name for name, is_good in verdicts(kind()).items() if not is_good} == bad


def test_a_check_is_one_line_with_the_way_out() -> None:
    (check,) = Gone().checks(writes=True)

    assert check == Check("list", is_good=False, text="memory:// is not there: is it mounted?")


def test_the_command_tells_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    place = MemoryBackend(MemoryOptions(place="doctor"))
    assert main(["doctor", "memory://doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split(": ")[:2] for line in lines] == [
        ["ok  memory://doctor", name]
        for name in [
            *("list", "write", "read", "read a part"),
            *("rename, never replacing", "delete", "leftovers"),
        ]
    ]
    assert lines[-1].endswith("none that is old enough to be removed")
    assert everything(RawMemory(place)) == set()


def test_the_command_tells_what_writers_left_that_died(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "strax.toml"
    config.write_text('[storage.here]\nfrontend = "memory"\nplace = "ill"\ngrace_time_s = 1e-9\n')
    place = MemoryBackend(MemoryOptions(place="ill"))
    place.write(".staging/run_1-peaks-abc/0123456789abcdef/ticket.json", [b"{}"])
    assert main(["doctor", "here", "--config", str(config)]) == 0

    assert "leftovers: 1 of writers that died" in capsys.readouterr().out


def test_a_place_that_is_only_read_is_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "strax.toml"
    config.write_text(f'[storage.old]\nfrontend = "local"\npath = "{tmp_path}"\nreadonly = true\n')
    before = set(tmp_path.iterdir())
    assert main(["doctor", "old", "--config", str(config)]) == 0

    assert set(tmp_path.iterdir()) == before
    assert capsys.readouterr().out.count("ok ") == 1


def test_a_place_that_is_not_there_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "strax.toml"
    config.write_text('[storage.new]\nfrontend = "local"\npath = "new"\n')
    assert main(["doctor", "new", "--config", str(config)]) == 1
    told = capsys.readouterr()

    assert told.out.startswith("BAD ")
    assert "mkdir -p" in told.out
    assert "new is not well" in told.err
    assert not (tmp_path / "new").exists()


def test_a_place_that_does_not_show_the_time_is_told() -> None:
    with pytest.raises(StorageUnavailable, match="not listed"):
        clean(Late(), grace_s=0)


class Uploading(MemoryBackend):
    """Keeps parts of uploads that no listing shows."""

    def __init__(self) -> None:
        super().__init__()
        self.unfinished = {"folder/old": 0, "folder/new": 2**63}

    def drop_stale(self, *, before_ns: int, dry_run: bool) -> Iterator[str]:
        for path in [path for path, began in self.unfinished.items() if began <= before_ns]:
            if not dry_run:
                del self.unfinished[path]
            yield path


def test_cleaning_finds_what_no_listing_shows() -> None:
    backend = Uploading()
    save_sample(backend, sample_key())
    for dry_run, left in ((True, 2), (False, 1), (False, 1)):
        found = clean(backend, grace_s=3600, dry_run=dry_run)
        assert len(backend.unfinished) == left
        if left == 2:
            assert [each.path for each in found] == ["folder/old"]
