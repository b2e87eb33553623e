"""The contract of pieces of data: saved whole, visible at the commit, and the first writer wins."""

import json
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ReadOnlyError,
    StorageError,
)
from strax_core.format import ChunkInfo
from strax_core.saver import Saver
from strax_core.testing.base import BackendBase
from strax_core.testing.faults import FaultyBackend
from strax_core.testing.levels import at_level
from strax_core.testing.race_checks import RACERS, race, the_winner
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import (
    DTYPES,
    bytes_of_chunks,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)

KEY = sample_key()
PREFIX = KEY.name.removeprefix("run_1-")
METADATA = f"{KEY.name}/{PREFIX}-metadata.json"  # where strax looks for it
SHAPES = ((3, 0, 2), (1,), (0,), (0, 0), (1, 1), (0, 4), (4, 0), (2, 3, 4, 5, 6, 7))


def new_saver(backend: StorageBackend, **options: Any) -> Saver:
    """Return a saver of the sample key, begun."""
    return backend.saver(KEY.name, sample_metadata(KEY), **options)


def stored_bytes(backend: StorageBackend) -> bytes:
    """Return the bytes of all rows of the sample key, as they are loaded."""
    return backend.loader(KEY.name).read_all().tobytes()


def whole_bytes(backend: StorageBackend) -> bytes | None:
    """Return the bytes of all rows, or None if there are no data; a part of them is a failure."""
    try:
        return stored_bytes(backend)
    except DataNotAvailable:
        return None
    except DataCorrupted as error:
        raise AssertionError(f"a part of the data is visible: {error}") from error


def sample_bytes(mark: int = 1) -> bytes:
    """Return the bytes of all rows of a sample, as they should be."""
    return bytes_of_chunks(sample_chunks(KEY, mark=mark))


def named_paths(raw: RawAccess) -> set[str]:
    """Return the path of the metadata and of every file that they name."""
    chunks = json.loads(raw.read(METADATA))["chunks"]
    return {METADATA, *(f"{KEY.name}/{c['filename']}" for c in chunks if "filename" in c)}


class DatasetChecks(BackendBase):
    """`saver`, `loader`, `get_metadata`, `verify`, `remove`."""

    @pytest.mark.parametrize("dtype_name", DTYPES)
    def test_rows_of_any_dtype_come_back(self, backend: StorageBackend, dtype_name: str) -> None:
        chunks = sample_chunks(KEY, dtype=DTYPES[dtype_name])
        save_sample(backend, KEY, chunks)
        loaded = list(backend.loader(KEY.name))

        assert bytes_of_chunks(loaded) == bytes_of_chunks(chunks)
        for before, after in zip(chunks, loaded, strict=True):
            assert after.dtype.fields is not None
            assert before.dtype.fields is not None
            assert (after.start, after.end) == (before.start, before.end)
            assert [
                (name, field[0].str, *field[2:]) for name, field in after.dtype.fields.items()
            ] == [(name, field[0].str, *field[2:]) for name, field in before.dtype.fields.items()]

    @pytest.mark.parametrize("sizes", SHAPES)
    @pytest.mark.parametrize("compressor", ["columns", "none"])
    def test_chunks_of_any_size_come_back(
        self, backend: StorageBackend, raw: RawAccess, sizes: tuple[int, ...], compressor: str
    ) -> None:
        chunks = sample_chunks(KEY, sizes=sizes)
        saver = backend.saver(KEY.name, sample_metadata(KEY, compressor=compressor))
        saver.save_from(chunks)
        loaded = list(backend.loader(KEY.name))

        assert [(c.start, c.end, c.n) for c in loaded] == [(c.start, c.end, c.n) for c in chunks]
        assert bytes_of_chunks(loaded) == bytes_of_chunks(chunks)
        assert stored_bytes(backend) == bytes_of_chunks(chunks)
        assert everything(raw) == named_paths(raw)
        backend.verify(KEY.name)

    def test_nothing_is_found_before_the_commit(
        self, backend: StorageBackend, second: StorageBackend
    ) -> None:
        with new_saver(backend) as saver:
            for chunk_i, chunk in enumerate(sample_chunks(KEY)):
                saver.save(chunk, chunk_i)
                for reader in (backend, second):
                    with pytest.raises(DataNotAvailable):
                        reader.get_metadata(KEY.name)
                    with pytest.raises(DataNotAvailable):
                        reader.loader(KEY.name)

        assert stored_bytes(second) == sample_bytes()

    def test_no_name_of_a_folder_begins_like_unfinished_data(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        with new_saver(backend) as saver:
            saver.save(sample_chunks(KEY, sizes=(3,))[0], 0)
            names = raw.list("")

        assert names <= {".staging", KEY.name}

    def test_chunks_may_be_saved_in_any_order(self, backend: StorageBackend) -> None:
        chunks = sample_chunks(KEY)
        with new_saver(backend) as saver:
            for chunk_i in (2, 0, 1):
                saver.save(chunks[chunk_i], chunk_i)

        assert stored_bytes(backend) == sample_bytes()

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit, SystemExit])
    def test_an_interrupted_save_leaves_nothing(
        self, backend: StorageBackend, raw: RawAccess, stop: type[BaseException]
    ) -> None:
        with pytest.raises(stop), new_saver(backend) as saver:  # noqa: PT012 - `with` is tested
            saver.save(sample_chunks(KEY)[0], 0)
            raise stop

        assert everything(raw) == set()

    def test_a_failed_save_leaves_a_note_that_is_never_found_as_data(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        with pytest.raises(ZeroDivisionError), new_saver(backend) as saver:  # noqa: PT012 - as above
            saver.save(sample_chunks(KEY)[0], 0)
            raise ZeroDivisionError("gain of 0")
        (note,) = everything(raw)

        assert note.startswith(f".staging/{KEY.name}/")
        assert "gain of 0" in json.loads(raw.read(note))["exception"]
        with pytest.raises(DataNotAvailable):
            backend.get_metadata(KEY.name)
        save_sample(backend, KEY)
        assert everything(raw) == named_paths(raw)

    def test_the_first_of_two_writers_wins(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess
    ) -> None:
        first, late = new_saver(backend), new_saver(second)
        for mark, saver in ((1, first), (2, late)):
            for chunk_i, chunk in enumerate(sample_chunks(KEY, mark=mark)):
                saver.save(chunk, chunk_i)
        first.commit()
        with pytest.raises(DataExistsError), late:
            pass

        assert stored_bytes(backend) == sample_bytes(mark=1)
        assert {p for p in everything(raw) if "/failed-" not in p} == named_paths(raw)

    def test_of_many_who_commit_at_once_exactly_one_wins(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess
    ) -> None:
        savers = [new_saver((backend, second)[i % 2]) for i in range(RACERS)]

        def finish(number: int) -> None:
            savers[number].save_from(sample_chunks(KEY, mark=number))

        outcomes = race([lambda number=i: finish(number) for i in range(RACERS)])  # type: ignore[misc]
        winner = the_winner(outcomes, DataExistsError)

        assert stored_bytes(backend) == sample_bytes(mark=winner)
        assert {p for p in everything(raw) if "/failed-" not in p} == named_paths(raw)

    @pytest.mark.parametrize("overwrite", ["never", "if_broken"])
    def test_good_data_are_not_replaced(
        self, backend: StorageBackend, raw: RawAccess, overwrite: str
    ) -> None:
        save_sample(backend, KEY)
        before = {path: raw.read(path) for path in everything(raw)}
        with pytest.raises(DataExistsError):
            save_sample(backend, KEY, sample_chunks(KEY, mark=2), overwrite=overwrite)

        assert {path: raw.read(path) for path in named_paths(raw)} == before

    def test_data_are_replaced_if_that_is_asked(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        save_sample(backend, KEY)
        for mark, sizes in ((2, (4, 1)), (3, (0,)), (4, (2, 2, 2))):
            chunks = sample_chunks(KEY, sizes=sizes, mark=mark)
            save_sample(backend, KEY, chunks, overwrite="always")

            assert stored_bytes(backend) == bytes_of_chunks(chunks)
            assert everything(raw) == named_paths(raw)

    @pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"null", b'{"run_id": "run_1"}'])
    def test_unreadable_data_are_replaced_unless_never(
        self, backend: StorageBackend, raw: RawAccess, broken: bytes
    ) -> None:
        raw.write(METADATA, broken)
        with pytest.raises(DataExistsError):
            save_sample(backend, KEY, overwrite="never")
        assert raw.read(METADATA) == broken

        save_sample(backend, KEY, overwrite="if_broken")
        assert stored_bytes(backend) == sample_bytes()

    def test_data_whose_writing_failed_are_replaced(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        failed = {**sample_metadata(KEY), "chunks": [], "exception": "boom", "writing_ended": 1.0}
        raw.write(METADATA, json.dumps(failed).encode())
        with pytest.raises(DataNotAvailable, match="boom"):
            backend.loader(KEY.name)
        save_sample(backend, KEY)

        assert stored_bytes(backend) == sample_bytes()

    def test_a_folder_without_metadata_is_in_nobodys_way(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        raw.write(f"{KEY.name}/junk", b"junk")
        raw.write(f"{KEY.name}/{PREFIX}-000000", b"a chunk of someone who died")
        save_sample(backend, KEY)

        assert stored_bytes(backend) == sample_bytes()
        assert f"{KEY.name}/junk" in everything(raw)

    def test_a_chunk_file_that_is_short_is_found_before_the_commit(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        with pytest.raises(DataCorrupted, match="chunk 0"), new_saver(backend) as saver:  # noqa: PT012 - as above
            info = saver.save(sample_chunks(KEY)[0], 0)
            (path,) = [p for p in everything(raw) if p.endswith(f"/{info.filename}")]
            raw.write(path, raw.read(path)[:-1])

        with pytest.raises(DataNotAvailable):
            backend.get_metadata(KEY.name)

    def test_removed_data_are_gone_and_others_stay(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        others = [sample_key("run_10"), sample_key("peaks_more")]
        for key in (KEY, *others):
            save_sample(backend, key)
        backend.remove(KEY.name)

        assert {path.partition("/")[0] for path in everything(raw)} == {k.name for k in others}
        with pytest.raises(DataNotAvailable):
            backend.get_metadata(KEY.name)
        for key in others:
            backend.verify(key.name)

    @pytest.mark.parametrize("bad", [".staging", "", "..", "../x"])
    def test_only_pieces_of_data_can_be_removed(
        self, backend: StorageBackend, raw: RawAccess, bad: str
    ) -> None:
        save_sample(backend, KEY)
        with pytest.raises(ConfigError):
            backend.remove(bad)

        assert everything(raw) == named_paths(raw)

    def test_a_read_only_backend_refuses_before_it_does_anything(
        self, backend: StorageBackend
    ) -> None:
        save_sample(backend, KEY)
        readonly = FaultyBackend(backend)
        readonly.saver_class = None  # type: ignore[misc]

        with pytest.raises(ReadOnlyError):
            new_saver(readonly)
        with pytest.raises(ReadOnlyError):
            readonly.remove(KEY.name)
        assert readonly.calls == []
        assert stored_bytes(readonly) == sample_bytes()

    @pytest.mark.parametrize("start", at_level(quick=["spawn"], full=["spawn", "forkserver"]))
    def test_copies_in_other_processes_save_and_the_parent_commits(
        self, backend: StorageBackend, raw: RawAccess, start: str
    ) -> None:
        if not self.pickles:
            return
        chunks = sample_chunks(KEY, sizes=(3, 0, 2, 4))
        by_receipts, by_journal = new_saver(backend), new_saver(backend, overwrite="always")
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(start)) as pool:
            tasks = [
                [pool.submit(saver.save, chunk, i) for i, chunk in enumerate(chunks)]
                # A task that was tried again gives a second receipt for the same rows.
                + [pool.submit(saver.save, chunks[0], 0)]
                for saver in (by_receipts, by_journal)
            ]
            receipts: list[ChunkInfo] = [task.result() for task in tasks[0]]
            assert all(task.result() for task in tasks[1])
        copy = pickle.loads(pickle.dumps(by_receipts))
        with pytest.raises(StorageError, match="cannot commit"):
            copy.commit(receipts)
        copy.abort()

        assert max(len(pickle.dumps(receipt)) for receipt in receipts) < 10_000
        by_receipts.commit(receipts)
        assert stored_bytes(backend) == bytes_of_chunks(chunks)
        by_journal.commit()
        assert stored_bytes(backend) == bytes_of_chunks(chunks)
        assert everything(raw) == named_paths(raw)
