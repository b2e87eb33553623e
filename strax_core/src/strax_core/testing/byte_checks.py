"""The contract of the byte verbs: what is written comes back, and nothing else is touched."""

import pickle
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import DataCorrupted, ObjectExists, ObjectMissing, StorageError
from strax_core.format import STAGING
from strax_core.medium import Entry
from strax_core.testing.base import BackendBase
from strax_core.testing.levels import at_level
from strax_core.testing.race_checks import watched
from strax_core.testing.raw import RawAccess, everything

SIZES = at_level(
    quick=(0, 1, 32_767, 32_768, 32_769),
    full=(0, 1, 32_767, 32_768, 32_769, *((5 << 20) + i for i in (-1, 0, 1)), (10 << 20) + 1),
)
"""Around the block of SFTP; at full level also around the smallest part of an upload to S3."""


class BreakingSource(Sequence[bytes]):
    """Buffers of which the second cannot be had."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        if index:
            raise ZeroDivisionError("the second buffer is out of order")
        return b"first buffer"


def contents(size: int) -> bytes:
    """Return bytes that do not compress and in which every shift shows."""
    return np.random.default_rng(size).bytes(size)


def listed(backend: StorageBackend, folder: str, starts_with: str = "") -> dict[str, Entry]:
    """Return a listing by name, without the writers' own folder; no name may come twice."""
    entries = list(backend.list(folder, starts_with=starts_with))
    by_name = {entry.name: entry for entry in entries}

    assert len(by_name) == len(entries)
    if not folder:
        by_name.pop(STAGING, None)
    return by_name


class ByteChecks(BackendBase):
    """`read`, `read_ranges`, `list`, `write`, `delete`, `rename`."""

    @pytest.mark.parametrize("size", SIZES)
    def test_bytes_come_back(self, backend: StorageBackend, raw: RawAccess, size: int) -> None:
        backend.write("folder/file", [contents(size)])

        assert raw.read("folder/file") == contents(size)
        assert backend.read("folder/file") == contents(size)

    def test_a_large_file_comes_back(self, backend: StorageBackend, raw: RawAccess) -> None:
        size = at_level(quick=self.large_bytes, full=max(self.large_bytes, 64 << 20))
        for data in (contents(size), bytes(size)):
            backend.write("folder/file", [data])

            assert raw.read("folder/file") == data
            assert backend.read("folder/file") == data

    def test_every_kind_of_buffer_is_written(self, backend: StorageBackend, raw: RawAccess) -> None:
        array = memoryview(np.arange(5, dtype=np.uint8))  # type: ignore[arg-type]
        array = array.toreadonly()
        backend.write("file", [b"bytes,", bytearray(b"bytearray,"), memoryview(b"view,"), array])
        backend.write("no buffers", [])
        backend.write("empty ones", [b"", b"x", memoryview(b"")])

        assert raw.read("file") == b"bytes,bytearray,view,\0\1\2\3\4"
        assert raw.read("no buffers") == b""
        assert raw.read("empty ones") == b"x"

    def test_a_buffer_may_be_used_again_after_writing(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        buffer = bytearray(b"old")
        backend.write("file", [buffer])
        buffer[:] = b"new"

        assert raw.read("file") == b"old"
        assert backend.read("file") == b"old"

    @pytest.mark.parametrize("is_new", [True, False])
    def test_a_source_that_fails_midway_leaves_things_as_they_were(
        self, backend: StorageBackend, raw: RawAccess, *, is_new: bool
    ) -> None:
        if not is_new:
            raw.write("folder/file", b"old")
        for create_only in (False, is_new):
            with pytest.raises(ZeroDivisionError):
                backend.write("folder/file", BreakingSource(), create_only=create_only)

        assert {p for p in everything(raw) if p != "folder"} == (
            set() if is_new else {"folder/file"}
        )
        assert is_new or backend.read("folder/file") == b"old"
        assert set(listed(backend, "folder")) == (set() if is_new else {"file"})

    def test_reading_what_is_missing_says_so(self, backend: StorageBackend) -> None:
        backend.write("folder/file", [b"x"])

        for path in ("missing", "folder/missing", "missing/file", "folder", "folder/file/below"):
            with pytest.raises(ObjectMissing):
                backend.read(path)
            with pytest.raises(ObjectMissing):
                backend.read_ranges(path, [(0, 1)])
            with pytest.raises(ObjectMissing):
                backend.read_into(path, memoryview(bytearray(1)))

    def test_ranges_come_in_the_order_asked(self, backend: StorageBackend, raw: RawAccess) -> None:
        data = contents(70_000)
        raw.write("file", data)
        ranges = [(69_999, 1), (0, 3), (32_760, 20), (1, 40_000), (5, 0), (70_000, 0), (0, 3)]

        assert backend.read_ranges("file", ranges) == [data[at : at + n] for at, n in ranges]
        assert backend.read_ranges("file", [(0, 70_000)]) == [data]
        assert backend.read_ranges("file", []) == []

    def test_any_range_is_a_part_of_the_whole(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        data = contents(100_000)
        raw.write("file", data)
        cuts = np.random.default_rng(7).integers(0, len(data) + 1, (50, 2))
        ranges = [(int(min(pair)), int(abs(pair[1] - pair[0]))) for pair in cuts]

        assert backend.read_ranges("file", ranges) == [data[at : at + n] for at, n in ranges]

    @pytest.mark.parametrize("bad", [(8, 3), (10, 1), (11, 0), (100, 5), (0, 11), (-1, 3), (2, -1)])
    def test_a_range_beyond_the_end_is_never_short(
        self, backend: StorageBackend, raw: RawAccess, bad: tuple[int, int]
    ) -> None:
        raw.write("file", b"0123456789")

        with pytest.raises(DataCorrupted):
            backend.read_ranges("file", [(0, 2), bad])

    @pytest.mark.parametrize("ranges", [[(0, 2)], [(8, 2), (0, 10)], [(3, 0), (3, 1)]])
    def test_ranges_are_of_a_file_of_the_size_that_is_told(
        self, backend: StorageBackend, raw: RawAccess, ranges: list[tuple[int, int]]
    ) -> None:
        raw.write("folder/file", b"0123456789")

        right = backend.read_ranges("folder/file", ranges, file_bytes=10)
        assert right == [b"0123456789"[at : at + n] for at, n in ranges]
        for other in (0, 9, 11, 10**15):
            with pytest.raises(DataCorrupted):
                backend.read_ranges("folder/file", ranges, file_bytes=other)

    @pytest.mark.parametrize("size", [0, 1, 10, 3_000_000])
    def test_memory_is_filled_with_a_file_of_its_size(
        self, backend: StorageBackend, raw: RawAccess, size: int
    ) -> None:
        data = contents(size)
        raw.write("folder/file", data)
        memory = bytearray(b"?" * (size + 20))

        backend.read_into("folder/file", memoryview(memory)[10 : size + 10])

        assert memory == b"?" * 10 + data + b"?" * 10
        for other in {0, max(0, size - 1), size + 1, size + 10} - {size}:
            with pytest.raises(DataCorrupted):
                backend.read_into("folder/file", memoryview(bytearray(other)))

    def test_a_listing_is_one_level(self, backend: StorageBackend, raw: RawAccess) -> None:
        for path in ("top", "a/file", "a/other", "a/deep/file", "b/file"):
            raw.write(path, b"12345")
        root, folder = listed(backend, ""), listed(backend, "a")

        assert {name: entry.is_folder for name, entry in root.items()} == {
            "top": False,
            "a": True,
            "b": True,
        }
        assert {name: entry.is_folder for name, entry in folder.items()} == {
            "file": False,
            "other": False,
            "deep": True,
        }
        assert set(listed(backend, "a/deep")) == {"file"}
        assert list(backend.folder_names("a")) == ["deep"]
        assert list(backend.folder_names("a", starts_with="f")) == []

    def test_a_folder_that_is_not_there_lists_as_empty(self, backend: StorageBackend) -> None:
        assert listed(backend, "") == {}
        assert listed(backend, "missing") == {}
        assert listed(backend, "missing/deep", starts_with="x") == {}

    def test_entries_tell_size_and_time(self, backend: StorageBackend) -> None:
        tolerance_ns = int(self.clock_tolerance_s * 1e9)
        backend.write("folder/first", [b"12345", b"678"])
        backend.write("folder/second", [b""])
        entries = listed(backend, "folder")

        assert {name: entry.size_bytes for name, entry in entries.items()} == {
            "first": 8,
            "second": 0,
        }
        assert listed(backend, "")["folder"].size_bytes == 0
        assert entries["second"].modified_ns >= entries["first"].modified_ns
        for entry in entries.values():
            assert abs(entry.modified_ns - time.time_ns()) < tolerance_ns

    def test_writing_again_makes_a_file_newer(self, backend: StorageBackend) -> None:
        backend.write("file", [b"old"])
        before = listed(backend, "")["file"].modified_ns
        backend.write("file", [b"newer"])

        assert listed(backend, "")["file"].modified_ns >= before
        assert listed(backend, "")["file"].size_bytes == 5

    def test_a_listing_can_be_narrowed(self, backend: StorageBackend, raw: RawAccess) -> None:
        for path in ("f/abc", "f/abd/x", "f/b", "f/Abc", "fabc"):
            raw.write(path, b"")

        assert set(listed(backend, "f", "ab")) == {"abc", "abd"}
        assert set(listed(backend, "f", "abc")) == {"abc"}
        assert set(listed(backend, "f", "abcd")) == set()
        assert set(listed(backend, "", "f")) == {"f", "fabc"}

    @pytest.mark.parametrize("n_files", at_level(quick=[1001], full=[1, 999, 1000, 1001, 2500]))
    def test_a_long_listing_is_whole(
        self, backend: StorageBackend, raw: RawAccess, n_files: int
    ) -> None:
        names = {f"file-{i:04d}" for i in range(n_files)}
        for name in names:
            raw.write(f"folder/{name}", b"")

        assert set(listed(backend, "folder")) == names

    def test_a_listing_that_is_not_read_to_its_end_hurts_nobody(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        for i in range(20):
            raw.write(f"folder/file-{i}", b"x")
        for _ in range(5):
            assert next(iter(backend.list("folder"))).name.startswith("file-")

        assert len(listed(backend, "folder")) == 20
        assert backend.read("folder/file-7") == b"x"

    def test_a_name_is_not_mistaken_for_one_it_begins(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        for folder in ("run_1", "run_10", "run_1x", "run_1/run_1"):
            raw.write(f"{folder}/of_{folder.replace('/', '_')}", b"x")

        assert set(listed(backend, "run_1")) == {"of_run_1", "run_1"}
        assert set(listed(backend, "run_1", "of_")) == {"of_run_1"}
        assert set(listed(backend, "run")) == set()
        backend.delete("run_1")
        assert everything(raw) == {"run_10/of_run_10", "run_1x/of_run_1x"}
        backend.delete("run")
        assert everything(raw) == {"run_10/of_run_10", "run_1x/of_run_1x"}

    def test_writing_replaces(self, backend: StorageBackend, raw: RawAccess) -> None:
        backend.write("file", [b"a long old one"])
        backend.write("file", [b"new"])

        assert raw.read("file") == b"new"
        assert everything(raw) == {"file"}

    def test_a_reader_sees_the_old_bytes_or_the_new(
        self, backend: StorageBackend, second: StorageBackend
    ) -> None:
        versions = [bytes([letter]) * 300_000 for letter in b"ab"]
        backend.write("folder/file", [versions[0]])

        def replace_often() -> None:
            for i in range(30):
                backend.write("folder/file", [versions[i % 2][:150_000], versions[i % 2][150_000:]])

        def look() -> None:
            is_whole = second.read("folder/file") in versions
            assert is_whole, "a reader saw neither the old bytes nor the new"
            assert [entry.name for entry in second.list("folder")] == ["file"]

        watched(replace_often, look)

    def test_create_only_writes_what_is_new(self, backend: StorageBackend, raw: RawAccess) -> None:
        backend.write("folder/file", [b"first"], create_only=True)

        with pytest.raises(ObjectExists):
            backend.write("folder/file", [b"second"], create_only=True)
        assert raw.read("folder/file") == b"first"
        assert everything(raw) == {"folder/file"}
        backend.delete("folder/file")
        backend.write("folder/file", [b"third"], create_only=True)
        assert raw.read("folder/file") == b"third"

    def test_deleting_a_file_touches_no_other(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        for path in ("a/file", "a/file2", "a/file.old", "a/fil", "file"):
            raw.write(path, b"x")
        backend.delete("a/file")
        backend.delete("a/file")

        assert everything(raw) == {"a/file2", "a/file.old", "a/fil", "file"}

    def test_deleting_a_folder_takes_all_in_it_and_nothing_else(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        for path in ("a/b/c/deep", "a/b/file", "a/bb/file", "a/b.txt", "b/file"):
            raw.write(path, b"x")
        backend.delete("a/b")

        assert everything(raw) == {"a/bb/file", "a/b.txt", "b/file"}

    def test_deleting_nothing_is_fine(self, backend: StorageBackend, raw: RawAccess) -> None:
        raw.write("file", b"x")
        for path in ("missing", "missing/deep/file", "fil"):
            backend.delete(path)

        assert everything(raw) == {"file"}

    def test_deleting_several_files_takes_these_and_nothing_else(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        doomed = [f"a/b/file{i}" for i in range(10)]
        for path in (*doomed, "a/b/file10", "a/b/fil", "a/file1", "file1"):
            raw.write(path, b"x")
        backend.delete_files([*doomed[:5], "a/b/missing", "missing/file", *doomed[5:]])
        backend.delete_files([])

        assert everything(raw) == {"a/b/file10", "a/b/fil", "a/file1", "file1"}

    def test_deleting_several_files_leaves_a_folder_of_that_name(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        for path in ("folder/thesis", "a/folder/deep/thesis", "a/file"):
            raw.write(path, b"x")
        backend.delete_files(["folder", "a/file", "a/folder"])
        backend.delete_files(["a/folder/deep"])

        assert everything(raw) == {"folder/thesis", "a/folder/deep/thesis"}

    def test_only_an_empty_folder_is_dropped(self, backend: StorageBackend, raw: RawAccess) -> None:
        for path in ("folder/nothing/thesis", "a/file", "file"):
            raw.write(path, b"x")
        for folder in ("folder", "a", "folder/nothing", "missing", "missing/deep", "file"):
            backend.drop_empty(folder)

        assert everything(raw) == {"folder/nothing/thesis", "a/file", "file"}

    def test_it_has_a_name(self, backend: StorageBackend) -> None:
        assert backend.place
        assert backend.place in repr(backend)
        assert type(backend).__name__ in repr(backend)

    def test_it_pickles_or_says_that_it_does_not(self, backend: StorageBackend) -> None:
        backend.write("folder/file", [b"x"])

        if self.pickles:
            copy = pickle.loads(pickle.dumps(backend))
            assert copy.place == backend.place
            assert copy.read("folder/file") == b"x"
        else:
            with pytest.raises(StorageError):
                pickle.dumps(backend)
