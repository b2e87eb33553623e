import errno
import json
import os
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strax_core import (
    AccessDenied,
    Chunk,
    ConfigError,
    Context,
    DataCorrupted,
    DataExistsError,
    DataKey,
    DataNotAvailable,
    DirectoryFrontend,
    MemoryBackend,
    ObjectMissing,
    Plugin,
    ReadOnlyError,
    RunMetadataNotAvailable,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_core.testing import (
    DistributionContract,
    FrontendContract,
    RawAccess,
    RawFolder,
    ReadingContract,
    sample_chunks,
    save_sample,
)
from strax_zip import ZipBackend, ZipOptions, zip_run
from strax_zip.archive import Archive

RUN = "run_7"


def write_zip(path: Path, members: dict[str, bytes], **options: Any) -> None:
    with zipfile.ZipFile(path, "w", **options) as opened:
        for name, data in members.items():
            opened.writestr(name, data)


class TestReading(ReadingContract):
    @pytest.fixture
    def put_files(self, tmp_path: Path) -> Callable[[Mapping[str, bytes]], ZipBackend]:
        def put(files: Mapping[str, bytes]) -> ZipBackend:
            for run_id in {path.partition("-")[0] for path in files}:
                own = {path: data for path, data in files.items() if path.startswith(f"{run_id}-")}
                write_zip(tmp_path / f"{run_id}.zip", own)
            return ZipBackend(ZipOptions(path=str(tmp_path)))

        return put


class TestDistribution(DistributionContract):
    distribution = "strax-zip"


class TestFinding(FrontendContract):
    """`DirectoryFrontend` on archives, which are packed from another place."""

    takes_data = False
    keeps_run_documents = False

    @pytest.fixture
    def open_frontend(self, tmp_path: Path) -> Callable[..., DirectoryFrontend]:
        backend = ZipBackend(ZipOptions(path=str(tmp_path)))
        return lambda **options: DirectoryFrontend(backend, **options)

    @pytest.fixture
    def put(self, tmp_path: Path) -> Callable[[DataKey, int], None]:
        source = DirectoryFrontend(MemoryBackend())

        def put(key: DataKey, mark: int) -> None:
            save_sample(source.backends["main"], key, sample_chunks(key, mark=mark))
            zip_run(source, key.run_id, tmp_path, replace=True)

        return put

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path)


@pytest.fixture
def backend(tmp_path: Path) -> ZipBackend:
    return ZipBackend(ZipOptions(path=str(tmp_path)))


class Records(Plugin):
    """Ten pulses in two chunks."""

    provides = "records"
    dtype = (("time", "i8"), ("endtime", "i8"), ("adc", "i4"))
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for start in (0, 5000):
            rows = np.zeros(5, self.dtype)
            rows["time"] = start + np.arange(5) * 1000
            rows["endtime"] = rows["time"] + 100
            rows["adc"] = rows["time"] // 1000
            yield self.chunk(start=start, end=start + 5000, data=rows)


ADC = list(range(10))


def made(source: Path, *run_ids: str) -> Context:
    ctx = Context(storage=[source], plugins=[Records])
    for run_id in run_ids or [RUN]:
        ctx.make(run_id, "records")
        ctx.write_run_metadata(run_id, {"mode": run_id})
    return ctx


def zipped(folder: Path) -> Context:
    place = {"frontend": "zip", "path": str(folder)}
    return Context(storage=[place], plugins=[Records], forbid_creation_of="*")


def test_a_packed_run_is_found_and_loaded_by_name_and_by_url(tmp_path: Path) -> None:
    ctx = made(tmp_path / "data", RUN, "run_8")
    assert zip_run(tmp_path / "data", RUN, tmp_path / "zips") == tmp_path / "zips" / "run_7.zip"
    by_url = Context(storage=[f"zip://{tmp_path}/zips"], plugins=[Records], forbid_creation_of="*")

    for reader in (zipped(tmp_path / "zips"), by_url):
        assert reader.get_array(RUN, "records")["adc"].tolist() == ADC
        assert reader.get_metadata(RUN, "records") == ctx.get_metadata(RUN, "records")
        assert reader.run_metadata(RUN) == {"name": RUN, "mode": RUN}
        assert not reader.is_stored("run_8", "records")
        with pytest.raises(RunMetadataNotAvailable):
            reader.run_metadata("run_8")
    assert sorted(path.name for path in (tmp_path / "zips").iterdir()) == ["run_7.zip"]


def test_runs_of_many_archives_are_listed(tmp_path: Path) -> None:
    runs = ["run_7", "run_70", "run_8", "a run"]
    made(tmp_path / "data", *runs)
    for run_id in runs:
        zip_run(tmp_path / "data", run_id, tmp_path / "zips")
    reader = zipped(tmp_path / "zips")

    assert [document["name"] for document in reader.scan_runs()] == sorted(runs)
    assert reader.availability(runs, "records")["records"].tolist() == [reader.storage[0].name] * 4
    gained = reader.new_context(fuzzy_for=["records"])
    assert gained.is_stored("run_70", "records")


def test_everything_is_stored_and_nothing_else_is_packed(tmp_path: Path) -> None:
    ctx = made(tmp_path / "data")
    ctx.make(RUN, "records", again=True)  # now the chunks lie in a sub-folder
    name = ctx.key_for(RUN, "records").name
    (tmp_path / "data" / name / "debris").write_bytes(b"x")
    for folder in (f"{name}_temp", f"{RUN}-peaks-aaaaaaaaaa", ".hidden"):
        (tmp_path / "data" / folder).mkdir()
        (tmp_path / "data" / folder / "file").write_bytes(b"x")
    failed = {**ctx.get_metadata(RUN, "records"), "exception": "Traceback: the disk was full"}
    (tmp_path / "data" / f"{RUN}-records-bbbbbbbbbb").mkdir()
    (
        tmp_path / "data" / f"{RUN}-records-bbbbbbbbbb" / "records-bbbbbbbbbb-metadata.json"
    ).write_text(json.dumps(failed), encoding="utf-8")
    archive = zip_run(tmp_path / "data", RUN, tmp_path / "zips")

    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
    assert {info.compress_type for info in members} == {zipfile.ZIP_STORED}
    stored = {
        path.relative_to(tmp_path / "data").as_posix()
        for path in (tmp_path / "data" / name).rglob("*")
        if path.is_file() and path.name != "debris"
    }
    assert {info.filename for info in members} == {*stored, f"{RUN}-metadata.json"}
    assert zipped(tmp_path / "zips").get_array(RUN, "records")["adc"].tolist() == ADC


def test_any_place_can_be_packed(tmp_path: Path) -> None:
    place = {"frontend": "memory", "place": "packed"}
    Context(storage=[place], plugins=[Records]).make(RUN, "records")
    zip_run(place, RUN, tmp_path)

    assert zipped(tmp_path).get_array(RUN, "records")["adc"].tolist() == ADC


def test_an_archive_is_replaced_only_if_asked(tmp_path: Path) -> None:
    ctx = made(tmp_path / "data")
    archive = zip_run(tmp_path / "data", RUN, tmp_path / "zips")
    reader = zipped(tmp_path / "zips")
    assert reader.run_metadata(RUN)["mode"] == RUN
    before = archive.read_bytes()
    ctx.write_run_metadata(RUN, {"mode": "another"})
    with pytest.raises(DataExistsError, match="replace=True"):
        zip_run(tmp_path / "data", RUN, tmp_path / "zips")

    assert archive.read_bytes() == before
    zip_run(tmp_path / "data", RUN, tmp_path / "zips", replace=True)
    assert reader.run_metadata(RUN)["mode"] == "another"


@pytest.mark.parametrize("run_id", ["run_8", "run_", "run"])
def test_a_run_without_data_makes_no_archive(tmp_path: Path, run_id: str) -> None:
    made(tmp_path / "data")
    with pytest.raises(DataNotAvailable, match="no complete data"):
        zip_run(tmp_path / "data", run_id, tmp_path / "zips")

    assert not (tmp_path / "zips").exists()


@pytest.mark.parametrize("run_id", ["../x", "a/b", "run-7", ""])
def test_what_is_no_run_id_touches_nothing(tmp_path: Path, run_id: str) -> None:
    made(tmp_path / "data")
    with pytest.raises(ConfigError):
        zip_run(tmp_path / "data", run_id, tmp_path / "zips")

    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_packing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    ctx = made(tmp_path / "data")
    next((tmp_path / "data" / ctx.key_for(RUN, "records").name).glob("*1")).unlink()
    with pytest.raises(StorageError):
        zip_run(tmp_path / "data", RUN, tmp_path / "zips")

    assert list((tmp_path / "zips").iterdir()) == []


def test_it_takes_no_data_and_says_so(tmp_path: Path, backend: ZipBackend) -> None:
    ctx = Context(storage=[{"frontend": "zip", "path": str(tmp_path)}], plugins=[Records])
    with pytest.raises(ReadOnlyError, match="cannot be kept"):
        ctx.make(RUN, "records")
    with pytest.raises(ReadOnlyError):
        ctx.write_run_metadata(RUN, {})
    with pytest.raises(ReadOnlyError):
        backend.remove("run_7-records-aaaaaaaaaa")

    assert list(tmp_path.iterdir()) == []


def test_members_of_other_runs_and_bad_names_are_not_there(
    tmp_path: Path, backend: ZipBackend
) -> None:
    bad = [
        "../evil",
        "/etc/passwd",
        "run_7-a/../../evil",
        "run_7-a\\evil",
        "run_7-a//x",
        "run_7-b/.",
    ]
    write_zip(tmp_path / "run_7.zip", dict.fromkeys(["run_7-a/x", "run_8-a/x", *bad], b"x"))

    assert [entry.name for entry in backend.list("")] == ["run_7-a"]
    assert [entry.name for entry in backend.list("run_7-a")] == ["x"]
    with pytest.raises(ObjectMissing):
        backend.read("run_8-a/x")
    for name in bad:
        with pytest.raises(ConfigError):
            backend.read(name)


def test_a_compressed_member_is_refused_with_the_way_out(
    tmp_path: Path, backend: ZipBackend
) -> None:
    write_zip(tmp_path / "run_7.zip", {"run_7-a/x": bytes(999)}, compression=zipfile.ZIP_DEFLATED)

    for ask in (backend.read, lambda path: backend.read_ranges(path, [(0, 1)])):
        with pytest.raises(DataCorrupted, match=r"compressed.*zip_run or `zip -0`"):
            ask("run_7-a/x")


def test_a_member_that_is_a_link_is_refused(tmp_path: Path, backend: ZipBackend) -> None:
    link = zipfile.ZipInfo("run_7-a/x")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16  # what `zip -y` writes
    with zipfile.ZipFile(tmp_path / "run_7.zip", "w") as archive:
        archive.writestr(link, b"../run_8-a/x")

    for read in (backend.read, lambda path: backend.read_ranges(path, [(0, 4)])):
        with pytest.raises(DataCorrupted, match="it is a link"):
            read("run_7-a/x")


def hurt(archive: Path, at: int, new: bytes) -> None:
    """Change bytes; counted from the end if `at` is negative."""
    data = bytearray(archive.read_bytes())
    at = at if at >= 0 else len(data) + at
    data[at : at + len(new)] = new
    archive.write_bytes(bytes(data))


DATA_AT = 30 + len("run_7-a/x")
CENTRAL_FROM_END = -22 - 46 - len("run_7-a/x")
DAMAGES = {
    "a flipped bit": (DATA_AT + 3, b"!"),
    "not a header": (0, b"XX"),
    "a long name in the header": (26, b"\xff\xff"),
    "an offset beyond the end": (CENTRAL_FROM_END + 42, b"\xff\xff\x00\x00"),
    "sizes beyond the end": (CENTRAL_FROM_END + 20, b"\xff\xff\xff\x7f" * 2),
    "sizes that differ": (CENTRAL_FROM_END + 24, b"\xff\xff\xff\x7f"),
    "a packed size that differs": (CENTRAL_FROM_END + 20, b"\x05"),
    "called compressed": (CENTRAL_FROM_END + 10, b"\x08"),
    "encrypted": (CENTRAL_FROM_END + 8, b"\x01"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_a_typed_error_and_asks_for_no_memory(
    tmp_path: Path, backend: ZipBackend, damage: str
) -> None:
    write_zip(tmp_path / "run_7.zip", {"run_7-a/x": b"0123456789"})
    assert backend.read("run_7-a/x") == b"0123456789"
    hurt(tmp_path / "run_7.zip", *DAMAGES[damage])

    with pytest.raises(DataCorrupted, match=r"run_7\.zip"):
        ZipBackend(ZipOptions(path=str(tmp_path))).read("run_7-a/x")
    if damage != "a flipped bit":  # a part has no check sum
        with pytest.raises(DataCorrupted, match=r"run_7\.zip"):
            ZipBackend(ZipOptions(path=str(tmp_path))).read_ranges("run_7-a/x", [(0, 10)])


def test_what_is_no_archive_hides_no_other(
    tmp_path: Path, backend: ZipBackend, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run_1.zip").write_bytes(b"no archive")
    write_zip(tmp_path / "run_7.zip", {"run_7-a/x": b"x"})
    (tmp_path / "run_9.zip").mkdir()

    assert [entry.name for entry in backend.list("")] == ["run_7-a"]
    assert "run_1.zip" in caplog.text
    for ask in (lambda: backend.read("run_1-a/x"), lambda: list(backend.list("run_1-a"))):
        with pytest.raises(DataCorrupted, match=r"run_1\.zip"):
            ask()


def test_an_archive_that_is_cut_off_while_it_is_read_gives_nothing_short(tmp_path: Path) -> None:
    path = tmp_path / "run_7.zip"
    write_zip(path, {"run_7-a/x": b"0123456789"})
    with path.open("rb") as file:
        archive = Archive.of(str(path), file)
        os.truncate(path, DATA_AT + 5)
        with pytest.raises(DataCorrupted, match="cut off"):
            archive.read_ranges(file, "run_7-a/x", [(0, 2), (3, 5)])
        with pytest.raises(DataCorrupted, match="check sum"):
            archive.read(file, "run_7-a/x")


def test_a_table_of_contents_is_read_once_until_the_archive_is_replaced(
    tmp_path: Path, backend: ZipBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_read = []
    of = Archive.of
    monkeypatch.setattr(Archive, "of", lambda *what: n_read.append(1) or of(*what))
    write_zip(tmp_path / "run_7.zip", {f"run_7-a/{i}": b"old" for i in range(20)})
    for i in range(20):
        assert backend.read(f"run_7-a/{i}") == b"old"
    assert len(list(backend.list("run_7-a"))) == 20
    assert len(n_read) == 1

    write_zip(tmp_path / "new.part", {"run_7-a/0": b"new"})
    (tmp_path / "new.part").replace(tmp_path / "run_7.zip")
    assert backend.read("run_7-a/0") == b"new"
    assert [entry.name for entry in backend.list("run_7-a")] == ["0"]
    assert len(n_read) == 2


def test_asking_for_one_run_opens_only_its_archive(tmp_path: Path, backend: ZipBackend) -> None:
    write_zip(tmp_path / "run_7.zip", {"run_7-a/x": b"x"})
    (tmp_path / "run_70.zip").write_bytes(b"never looked at")

    assert [entry.name for entry in backend.list("", starts_with="run_7-")] == ["run_7-a"]
    assert [entry.name for entry in backend.list("run_7-a")] == ["x"]


def test_a_reader_in_many_threads_sees_one_archive_or_the_other(
    tmp_path: Path, backend: ZipBackend
) -> None:
    versions = [{f"run_7-a/{i}": text * 1000 * (i + 1) for i in range(8)} for text in (b"a", b"b")]
    seen: set[tuple[int, bytes, int]] = set()
    write_zip(tmp_path / "run_7.zip", versions[0])
    stop = threading.Event()

    def keep_reading() -> None:
        while not stop.is_set():
            for i in range(8):
                data = backend.read(f"run_7-a/{i}")
                seen.add((i, data[:1], len(data) if len(set(data)) == 1 else 0))

    readers = [threading.Thread(target=keep_reading) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(30):
        write_zip(tmp_path / "new.part", versions[n % 2])
        (tmp_path / "new.part").replace(tmp_path / "run_7.zip")
    stop.set()
    for reader in readers:
        reader.join()

    assert {(i, size) for i, _, size in seen} == {(i, 1000 * (i + 1)) for i in range(8)}


def test_a_folder_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    backend = ZipBackend(ZipOptions(path=str(tmp_path / "missing")))

    for ask in (lambda: list(backend.list("")), lambda: backend.read("run_7-a/x")):
        with pytest.raises(StorageUnavailable, match="is it mounted"):
            ask()


def test_errors_of_the_system_are_typed(
    tmp_path: Path, backend: ZipBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(tmp_path / "run_7.zip", {"run_7-a/x": b"x"})
    for number, expected in (
        (errno.EACCES, AccessDenied),
        (errno.EIO, StorageUnavailable),
        (errno.ENOSPC, StorageFull),
    ):
        error = OSError(number, os.strerror(number))
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", lambda *_, error=error: (_ for _ in ()).throw(error))
            with pytest.raises(expected, match=r"run_7\.zip"):
                backend.read("run_7-a/x")


@pytest.mark.parametrize("what", ["pipe", "link to a device"])
def test_what_is_no_file_is_no_archive(tmp_path: Path, backend: ZipBackend, what: str) -> None:
    if what == "pipe":
        os.mkfifo(tmp_path / "run_7.zip")
    else:
        (tmp_path / "run_7.zip").symlink_to("/dev/zero")
    write_zip(tmp_path / "run_8.zip", {"run_8-a/x": b"x"})

    with pytest.raises(DataCorrupted, match="no archive"):
        backend.read("run_7-a/x")
    assert [entry.name for entry in backend.list("")] == ["run_8-a"]


def test_an_archive_may_be_a_link_to_another_disk(tmp_path: Path, backend: ZipBackend) -> None:
    (tmp_path / "elsewhere").mkdir()
    write_zip(tmp_path / "elsewhere" / "run_7.zip", {"run_7-a/x": b"x"})
    (tmp_path / "run_7.zip").symlink_to("elsewhere/run_7.zip")

    assert backend.read("run_7-a/x") == b"x"


def test_a_zip_url_names_no_machine() -> None:
    assert ZipOptions.from_url("zip:///a/b%20c") == {"path": "/a/b c"}
    with pytest.raises(ConfigError, match="zip:///"):
        ZipOptions.from_url("zip://host/a")
