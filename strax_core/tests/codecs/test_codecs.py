"""Codecs on damaged and hostile bytes; what good bytes are is said by the libraries themselves."""

import bz2
import struct
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import blosc
import lz4.frame
import numpy as np
import pytest
import zstandard

from strax_core import ConfigError, DataCorrupted
from strax_core.codecs import WholeFileCodec, codec_named

ROWS = np.random.default_rng(0).integers(0, 9, 600_000, dtype="u1").tobytes()
STRAX_WRITES: dict[str, Callable[[bytes], bytes]] = {
    "blosc": lambda rows: blosc.compress(rows, typesize=8, clevel=9, shuffle=0, cname="blosclz"),
    "zstd": lambda rows: zstandard.ZstdCompressor(level=3, threads=1).compress(rows),
    "lz4": lz4.frame.compress,
    "bz2": bz2.compress,
}
each = pytest.mark.parametrize("name", STRAX_WRITES)
each_stream = pytest.mark.parametrize("name", ["zstd", "lz4", "bz2"])


def decompressed(name: str, stored: bytes, size: int) -> bytes:
    codec = codec_named(name)
    assert isinstance(codec, WholeFileCodec)
    out = bytearray(size + 8)
    out[size:] = b"sentinel"
    codec.decompress_into(stored, memoryview(out)[:size])
    assert out[size:] == b"sentinel"
    return bytes(out[:size])


def compressed(name: str, rows: bytes) -> bytes:
    codec = codec_named(name)
    assert isinstance(codec, WholeFileCodec)
    return bytes(codec.compress(memoryview(rows)))


@each
@pytest.mark.parametrize("size", [0, 1, 7, 16, 1000, len(ROWS)])
def test_bytes_are_those_of_the_library_and_come_back(name: str, size: int) -> None:
    rows = ROWS[:size]
    stored = STRAX_WRITES[name](rows)

    assert compressed(name, rows) == stored
    assert decompressed(name, stored, size) == rows


@each
def test_many_threads_at_once_give_the_same_bytes(name: str) -> None:
    parts = [ROWS[i : i + 300_000] for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda part: compressed(name, part), parts * 4))
        rows = list(pool.map(lambda one: decompressed(name, one, 300_000), stored))

    assert stored == [STRAX_WRITES[name](part) for part in parts] * 4
    assert rows == parts * 4


def test_blosc_gives_the_same_bytes_after_someone_has_set_its_threads() -> None:
    one_thread = STRAX_WRITES["blosc"](ROWS)
    blosc.set_nthreads(4)
    blosc.set_releasegil(False)

    assert compressed("blosc", ROWS) == one_thread
    assert blosc.nthreads == 1
    assert blosc.set_releasegil(True)


@each
@pytest.mark.parametrize("size", [1, 1000, len(ROWS)])
def test_a_file_that_is_cut_off_is_damaged(name: str, size: int) -> None:
    stored = STRAX_WRITES[name](ROWS[:size])

    for kept in {0, 1, 3, 10, len(stored) // 2, len(stored) - 1} - {len(stored)}:
        with pytest.raises(DataCorrupted):
            decompressed(name, stored[:kept], size)


@each
def test_a_file_of_more_or_fewer_rows_is_damaged(name: str) -> None:
    for size in (len(ROWS) - 1, len(ROWS) + 1, 0, 2 * len(ROWS)):
        with pytest.raises(DataCorrupted, match=rf"{len(ROWS)}|more than"):
            decompressed(name, STRAX_WRITES[name](ROWS), size)


@each
def test_random_damage_is_an_error_or_other_rows_and_nothing_else(name: str, seed: int) -> None:
    random = np.random.default_rng(1 + seed)
    rows = ROWS[:5000]
    good = STRAX_WRITES[name](rows)
    n_errors = 0
    for _ in range(300):
        stored = bytearray(good)
        reach = random.choice([20, len(stored)])  # headers are where it hurts
        stored[random.integers(reach)] ^= 1 << random.integers(8)
        try:
            decompressed(name, bytes(stored), len(rows))
        except DataCorrupted:
            n_errors += 1

    assert n_errors > 50


@each
def test_what_is_no_compressed_file_is_damaged(name: str) -> None:
    for stored in (b"", b"x", b"no such thing, but long enough for a header" * 10, bytes(100)):
        with pytest.raises(DataCorrupted):
            decompressed(name, stored, 1000)


@each_stream
def test_bytes_after_the_frame_are_passed_over_as_strax_does(name: str) -> None:
    assert decompressed(name, STRAX_WRITES[name](ROWS) + b"more", len(ROWS)) == ROWS


def test_bytes_after_a_blosc_buffer_are_refused_as_strax_does() -> None:
    with pytest.raises(DataCorrupted, match="its header says"):
        decompressed("blosc", STRAX_WRITES["blosc"](ROWS) + b"more", len(ROWS))


@each
def test_a_file_that_expands_to_much_more_than_the_rows_takes_no_memory(name: str) -> None:
    bomb = STRAX_WRITES[name](bytes(200_000_000 if name != "bz2" else 60_000_000))
    tracemalloc.start()
    with pytest.raises(DataCorrupted):
        decompressed(name, bomb, 1000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 10_000_000


def test_a_zstd_frame_that_does_not_say_its_size_is_read_and_bounded() -> None:
    stored = zstandard.ZstdCompressor(write_content_size=False).compress(ROWS)

    assert decompressed("zstd", stored, len(ROWS)) == ROWS
    with pytest.raises(DataCorrupted, match="more"):
        decompressed("zstd", stored, len(ROWS) - 1)


def test_a_blosc_header_that_lies_is_found_out_before_anything_is_written() -> None:
    stored = STRAX_WRITES["blosc"](ROWS)
    for offset, value in ((4, 2**31 - 16), (4, 2**32 - 1), (12, 16), (12, 2**32 - 1)):
        lying = bytearray(stored)
        struct.pack_into("<I", lying, offset, value)
        with pytest.raises(DataCorrupted):
            decompressed("blosc", bytes(lying), len(ROWS))


@pytest.mark.weakness("W9")
@pytest.mark.parametrize("over", [0, 1, 10])
def test_blosc_refuses_what_strax_refuses_and_names_the_way_out(over: int) -> None:
    rows = np.zeros(2_147_483_631 + over, "u1")  # pages that nobody touches

    with pytest.raises(ConfigError, match=r'compressor = "zstd".*chunk_target_size_mb'):
        codec_named("blosc").encode(rows)
