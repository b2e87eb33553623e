"""The contract of damage: it ends in an error that names the place and chunk, never in rows."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import DataCorrupted
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import KEY, METADATA
from strax_core.testing.raw import RawAccess
from strax_core.testing.samples import sample_chunks, sample_metadata, save_sample

SIZES = (3, 3, 0, 2)


def flip(data: bytes, at: int) -> bytes:
    """Return the bytes with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[:-1],
    "emptied": lambda _: b"",
    "extra bytes": lambda data: data + b"\0",
    "first bit flipped": lambda data: flip(data, 0),
    "middle bit flipped": lambda data: flip(data, len(data) // 2),
    "last bit flipped": lambda data: flip(data, len(data) - 1),
    "other bytes": lambda data: bytes(len(data)),
}


def change_metadata(raw: RawAccess, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the stored metadata of the sample."""
    document = json.loads(raw.read(METADATA))
    change(document)
    raw.write(METADATA, json.dumps(document).encode())


def chunk_path(raw: RawAccess, chunk_i: int) -> str:
    """Return where a chunk of the sample lies."""
    return f"{KEY.name}/{json.loads(raw.read(METADATA))['chunks'][chunk_i]['filename']}"


def check_chunk_is_refused(backend: StorageBackend, chunk_i: int) -> None:
    """Every way of reading must name run, data type, place and chunk, and give no damaged rows."""
    chunks = iter(backend.loader(KEY.name))
    for _ in range(chunk_i):
        next(chunks)
    for read in (
        lambda: next(chunks),
        backend.loader(KEY.name).read_all,
        lambda: backend.verify(KEY.name),
    ):
        with pytest.raises(DataCorrupted) as caught:
            read()
        for word in ("run_1", "peaks", backend.place, f"chunk {chunk_i}"):
            assert word in str(caught.value)


class DamageChecks(BackendBase):
    """Changes that others made to the stored bytes are found."""

    @pytest.mark.parametrize("compressor", ["columns", "zstd"])
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_damaged_chunk_is_refused(
        self, backend: StorageBackend, raw: RawAccess, damage: str, compressor: str
    ) -> None:
        backend.saver(KEY.name, sample_metadata(KEY, compressor=compressor)).save_from(
            sample_chunks(KEY, sizes=SIZES)
        )
        path = chunk_path(raw, 1)
        raw.write(path, DAMAGES[damage](raw.read(path)))

        check_chunk_is_refused(backend, 1)

    def test_a_missing_chunk_is_refused(self, backend: StorageBackend, raw: RawAccess) -> None:
        save_sample(backend, KEY, sample_chunks(KEY, sizes=SIZES))
        raw.delete(chunk_path(raw, 3))

        check_chunk_is_refused(backend, 3)

    def test_swapped_chunks_are_refused(self, backend: StorageBackend, raw: RawAccess) -> None:
        backend.saver(KEY.name, sample_metadata(KEY, compressor="none")).save_from(
            sample_chunks(KEY, sizes=SIZES)
        )
        paths = [chunk_path(raw, i) for i in (0, 1)]
        first, second = (raw.read(path) for path in paths)
        raw.write(paths[0], second)
        raw.write(paths[1], first)

        assert len(first) == len(second)
        check_chunk_is_refused(backend, 0)

    @pytest.mark.parametrize(
        "broken", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b"[" * 100_000]
    )
    def test_metadata_that_make_no_sense_are_refused(
        self, backend: StorageBackend, raw: RawAccess, broken: bytes
    ) -> None:
        save_sample(backend, KEY)
        raw.write(METADATA, broken)

        for read in (backend.get_metadata, backend.loader, backend.verify):
            with pytest.raises(DataCorrupted) as caught:
                read(KEY.name)
            assert backend.place in str(caught.value)
            assert KEY.name in str(caught.value)

    @pytest.mark.parametrize(
        "change",
        [
            {"n": -1},
            {"n": 10**12, "nbytes": 20 * 10**12},
            {"n": 1},
            {"nbytes": 1},
            {"n": "3"},
            {"n": None},
            {"start": 5000},
            {"end": 500},
            {"end": 1001},
            {"filesize": 1},
            {"filename": None},
            {"filename": "../../outside"},
            {"filename": "../outside"},
            {"filename": "/etc/hostname"},
            {"filename": "a/b/c"},
            {"filename": ""},
            {"filename": 7},
            {"filename": "missing"},
            {"filename": METADATA.rpartition("/")[2]},
            {"n": 0, "nbytes": 0},
            {"chunk_i": 1},
            {"run_id": "run_2"},
            {"checksum": "xxh3_64:0"},
            {"checksum": "unknown:0"},
        ],
        ids=str,
    )
    def test_an_impossible_entry_of_a_chunk_is_refused(
        self, backend: StorageBackend, raw: RawAccess, change: dict[str, Any]
    ) -> None:
        save_sample(backend, KEY, sample_chunks(KEY, sizes=SIZES))
        raw.write("outside", b"a secret")
        change_metadata(raw, lambda document: document["chunks"][0].update(change))

        with pytest.raises(DataCorrupted) as caught:
            backend.loader(KEY.name).read_all()
        assert KEY.name in str(caught.value)
        assert "chunk " in str(caught.value)

    @pytest.mark.parametrize("lost", [0, 1, -1])
    def test_a_lost_entry_of_a_chunk_is_found_out(
        self, backend: StorageBackend, raw: RawAccess, lost: int
    ) -> None:
        save_sample(backend, KEY, sample_chunks(KEY, sizes=SIZES))
        change_metadata(raw, lambda document: document["chunks"].pop(lost))

        with pytest.raises(DataCorrupted, match=KEY.name):
            backend.loader(KEY.name).read_all()

    @pytest.mark.parametrize("version", [True, 0, -1, "1", 1.5, None])
    def test_a_format_version_that_makes_no_sense_is_refused(
        self, backend: StorageBackend, raw: RawAccess, version: object
    ) -> None:
        save_sample(backend, KEY, sample_chunks(KEY, sizes=SIZES))
        change_metadata(raw, lambda document: document.update(format_version=version))

        with pytest.raises(DataCorrupted, match="format_version"):
            backend.get_metadata(KEY.name)

    @pytest.mark.parametrize(
        "dtype",
        [
            "[('time', 'O')]",
            "__import__('os')",
            "'<i8'",
            "[]",
            "",
            "[('time', '<i8'), ('n', '<i4')]",
        ],
    )
    def test_an_impossible_dtype_is_refused(
        self, backend: StorageBackend, raw: RawAccess, dtype: str
    ) -> None:
        save_sample(backend, KEY)
        change_metadata(raw, lambda document: document.update(dtype=dtype))

        with pytest.raises(DataCorrupted):
            backend.loader(KEY.name).read_all()
