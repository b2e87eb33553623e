"""The contract of backends that only read: archives, published data, other people's folders."""

import pickle
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from strax_core.backend import MemoryBackend, StorageBackend
from strax_core.chunks import Chunk
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
)
from strax_core.format import DataKey, packed
from strax_core.frontend import DirectoryFrontend
from strax_core.testing.base import ContractBase
from strax_core.testing.damage_checks import DAMAGES, SIZES, check_chunk_is_refused
from strax_core.testing.dataset_checks import KEY, METADATA, SHAPES
from strax_core.testing.name_checks import OUTSIDE
from strax_core.testing.part_checks import CODECS, check_parts, rows_of_many_fields
from strax_core.testing.raw import RawMemory, everything
from strax_core.testing.samples import (
    DTYPES,
    bytes_of_chunks,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_core.testing.secret_checks import holds

Files = dict[str, bytes]
PutFiles = Callable[[Mapping[str, bytes]], StorageBackend]
FOLDERS = ("run_1-peaks-aaaaaaaaaa", "run_1-peaks_more-aaaaaaaaaa", "run_10-peaks-aaaaaaaaaa")


def files_of_sample(key: DataKey = KEY, *, sizes: tuple[int, ...] = SIZES, **options: Any) -> Files:
    """Return the files of a piece of data as a saver leaves them, by path."""
    return files_of(key, sample_chunks(key, sizes=sizes, **options))


def files_of(key: DataKey, chunks: list[Chunk], *, compressor: str = "zstd") -> Files:
    """Return the files of these chunks."""
    memory = MemoryBackend()
    metadata = sample_metadata(key, dtype=chunks[0].dtype, compressor=compressor)
    memory.saver(key.name, metadata).save_from(chunks)
    raw = RawMemory(memory)
    return {path: raw.read(path) for path in everything(raw)}


def plain_files() -> Files:
    """Return files in three folders whose names begin alike."""
    return {f"{folder}/of_{folder}": folder.encode() * 100 for folder in FOLDERS}


class ReadingContract(ContractBase):
    """Subclass it, give the fixture `put_files`, and pytest runs every check.

    - `put_files`: a function that puts files (bytes by path) on a fresh place, as others would have
      put them there, and returns your backend on it. All lie in folders named as pieces of data
      are: ``run_1-peaks-aaaaaaaaaa``.
    - `secret`: the secret that the backend uses, if it takes one.
    """

    pickles = True
    """True if it can go to another process and is the same place there."""

    @pytest.fixture
    def put_files(self) -> PutFiles:
        """A function that puts files on a fresh place and returns a backend on it."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture `put_files`")

    @pytest.fixture
    def secret(self) -> str | None:
        """The secret that the backend uses, a text found nowhere else; None if it takes none."""
        return None

    @pytest.fixture
    def backend(self, put_files: PutFiles) -> StorageBackend:
        """The backend under test, on a place with a few files."""
        return put_files(plain_files())

    def test_files_are_read_as_they_are(self, backend: StorageBackend) -> None:
        for path, data in plain_files().items():
            assert backend.read(path) == data
            ranges = [(len(data) - 1, 1), (0, 3), (7, 100), (5, 0), (len(data), 0), (0, len(data))]
            assert backend.read_ranges(path, ranges) == [data[at : at + n] for at, n in ranges]

    def test_reading_what_is_missing_says_so(self, backend: StorageBackend) -> None:
        for path in (
            *("missing", "run_2-peaks-aaaaaaaaaa/file", f"{FOLDERS[0]}/missing", FOLDERS[0]),
            *(f"{FOLDERS[0]}/of_{FOLDERS[0]}/below", "run_1", "run_1-peaks-aaaaaaaaa/file"),
        ):
            with pytest.raises(ObjectMissing):
                backend.read(path)
            with pytest.raises(ObjectMissing):
                backend.read_ranges(path, [(0, 1)])
            with pytest.raises(ObjectMissing):
                backend.read_into(path, memoryview(bytearray(1)))

    @pytest.mark.parametrize("past", [(-1, 2), (0, 1), (100, 5)])
    def test_a_range_beyond_the_end_is_never_short(
        self, backend: StorageBackend, past: tuple[int, int]
    ) -> None:
        path, data = next(iter(plain_files().items()))

        with pytest.raises(DataCorrupted):
            backend.read_ranges(path, [(0, 2), (len(data) + past[0], past[1])])

    def test_ranges_are_of_a_file_of_the_size_that_is_told(self, backend: StorageBackend) -> None:
        path, data = next(iter(plain_files().items()))

        assert backend.read_ranges(path, [(3, 2)], file_bytes=len(data)) == [data[3:5]]
        for other in (len(data) - 1, len(data) + 1):
            with pytest.raises(DataCorrupted):
                backend.read_ranges(path, [(3, 2)], file_bytes=other)

    def test_memory_is_filled_with_a_file_of_its_size(self, backend: StorageBackend) -> None:
        path, data = next(iter(plain_files().items()))
        memory = bytearray(len(data))

        backend.read_into(path, memoryview(memory))

        assert memory == data
        for other in (len(data) - 1, len(data) + 1):
            with pytest.raises(DataCorrupted):
                backend.read_into(path, memoryview(bytearray(other)))

    def test_a_listing_is_one_level_and_of_one_folder(self, backend: StorageBackend) -> None:
        assert {(e.name, e.is_folder) for e in backend.list("")} >= {(f, True) for f in FOLDERS}
        for folder in FOLDERS:
            (entry,) = backend.list(folder)
            assert (entry.name, entry.is_folder) == (f"of_{folder}", False)
            assert entry.size_bytes == len(folder) * 100
        narrowed = [entry.name for entry in backend.list("", starts_with="run_1-peaks-")]
        assert narrowed == [FOLDERS[0]]
        assert set(backend.folder_names("")) >= set(FOLDERS)
        assert list(backend.folder_names("", starts_with="run_1-peaks-")) == [FOLDERS[0]]
        assert list(backend.folder_names(FOLDERS[0])) == []
        for folder in ("missing", "run_1", "run_1-peaks", "run_2-peaks-aaaaaaaaaa", ".staging"):
            assert list(backend.list(folder)) == []
            assert list(backend.folder_names(folder)) == []

    @pytest.mark.parametrize("path", OUTSIDE)
    def test_a_path_that_leaves_the_place_is_refused(
        self, backend: StorageBackend, path: str
    ) -> None:
        for verb in (
            lambda: backend.read(path),
            lambda: backend.read_ranges(path, [(0, 1)]),
            lambda: backend.read_into(path, memoryview(bytearray(1))),
            lambda: list(backend.list(path)) if path else backend.read(path),
        ):
            with pytest.raises(ConfigError):
                verb()

    @pytest.mark.parametrize("sizes", SHAPES)
    def test_data_are_loaded_as_they_were_saved(
        self, put_files: PutFiles, sizes: tuple[int, ...]
    ) -> None:
        others = [sample_key("run_10"), sample_key("run_1", "peaks_more"), sample_key("run_2")]
        files = files_of_sample(sizes=sizes)
        for i, key in enumerate(others):
            files |= files_of_sample(key, mark=i + 2)
        backend = put_files(files)
        chunks = sample_chunks(KEY, sizes=sizes)
        loaded = list(backend.loader(KEY.name))

        assert [(c.start, c.end, c.n) for c in loaded] == [(c.start, c.end, c.n) for c in chunks]
        assert bytes_of_chunks(loaded) == bytes_of_chunks(chunks)
        for i, key in enumerate(others):
            rows = backend.loader(key.name).read_all().tobytes()
            assert rows == bytes_of_chunks(sample_chunks(key, sizes=SIZES, mark=i + 2))
            backend.verify(key.name)
        frontend = DirectoryFrontend(backend, readonly=True)
        missing = sample_key("run_3")
        found = frontend.find_several([missing, KEY, *others])
        assert [one and one.backend_key for one in found] == [
            None,
            *(k.name for k in (KEY, *others)),
        ]
        with pytest.raises(DataNotAvailable):
            frontend.find(missing)

    @pytest.mark.parametrize("dtype_name", DTYPES)
    def test_rows_of_any_dtype_are_loaded(self, put_files: PutFiles, dtype_name: str) -> None:
        dtype = DTYPES[dtype_name]
        rows = put_files(files_of_sample(dtype=dtype)).loader(KEY.name).read_all()

        assert rows.dtype == packed(dtype)
        assert rows.tobytes() == bytes_of_chunks(sample_chunks(KEY, sizes=SIZES, dtype=dtype))

    @pytest.mark.parametrize("compressor", CODECS)
    def test_a_part_is_that_of_the_whole(self, put_files: PutFiles, compressor: str) -> None:
        chunks = rows_of_many_fields()

        check_parts(put_files(files_of(KEY, chunks, compressor=compressor)), chunks)

    @pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
    def test_a_damaged_chunk_is_refused(self, put_files: PutFiles, damage: str) -> None:
        files = files_of_sample()
        path = next(path for path in files if path.endswith("-000001"))
        data = files.pop(path)
        if damage in DAMAGES:
            files[path] = DAMAGES[damage](data)

        check_chunk_is_refused(put_files(files), 1)

    @pytest.mark.parametrize("broken", [b"", b"{", b"\xff\xfe", b"[]", b"{}"])
    def test_metadata_that_make_no_sense_are_refused(
        self, put_files: PutFiles, broken: bytes
    ) -> None:
        backend = put_files({**files_of_sample(), METADATA: broken})

        with pytest.raises(DataCorrupted, match=KEY.name):
            backend.loader(KEY.name)

    def test_nothing_can_be_written(self, put_files: PutFiles) -> None:
        backend = put_files(files_of_sample())
        before = backend.loader(KEY.name).read_all().tobytes()

        assert backend.saver_class is None
        for refused in (
            lambda: save_sample(backend, sample_key("run_2")),
            lambda: backend.remove(KEY.name),
            lambda: DirectoryFrontend(backend).write_run_metadata("run_1", {}),
        ):
            with pytest.raises(ReadOnlyError):
                refused()
        assert backend.loader(KEY.name).read_all().tobytes() == before

    def test_many_threads_read_at_once(self, put_files: PutFiles) -> None:
        chunks = sample_chunks(KEY, sizes=tuple(range(20)))
        backend = put_files(files_of_sample(sizes=tuple(range(20))))
        with ThreadPoolExecutor(8) as pool:
            read = [
                pool.submit(lambda: backend.loader(KEY.name).read_all().tobytes())
                for _ in range(24)
            ]

            assert {one.result() for one in read} == {bytes_of_chunks(chunks)}

    def test_it_pickles_or_says_that_it_does_not(self, backend: StorageBackend) -> None:
        if not self.pickles:
            with pytest.raises(StorageError):
                pickle.dumps(backend)
            return
        copy = pickle.loads(pickle.dumps(backend))

        assert copy.place == backend.place
        assert {path: copy.read(path) for path in plain_files()} == plain_files()

    def test_it_has_a_name_and_tells_no_secret(
        self, backend: StorageBackend, secret: str | None
    ) -> None:
        told = [repr(backend), str(backend), backend.place, repr(vars(backend))]
        if self.pickles:
            told.append(pickle.dumps(backend).decode("latin-1"))
        for path in ("missing", "../outside"):
            with pytest.raises(StorageError) as caught:
                backend.read(path)
            told.append("".join(traceback.format_exception(caught.value)))

        assert backend.place
        assert backend.place in repr(backend)
        assert not [text for text in told if holds(text, secret)]
