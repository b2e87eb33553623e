"""The contract of codecs: rows go there and back, and damage never comes back as rows."""

import json
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from strax_core.backend import MemoryBackend
from strax_core.chunks import Chunk
from strax_core.codecs import ALL, Codec, Decoder, Into, Selection, Whole, codec_named, encode_chunk
from strax_core.errors import DataCorrupted
from strax_core.format import ChunkInfo, packed
from strax_core.loader import ChunkFile, ReadReport, read_segment
from strax_core.medium import Buffer
from strax_core.testing.base import ContractBase
from strax_core.testing.levels import at_level
from strax_core.testing.samples import DTYPES, PEAKS, sample_rows

Rows = np.ndarray[Any, np.dtype[Any]]
LENGTHS = at_level(quick=(1, 2, 1000, 100_000), full=(1, 2, 3, 255, 256, 1000, 100_000, 3_000_000))
INFO_BYTES_MAX = 8000
"""A receipt has at most 10 kB; this much of it is for the codec."""
PATH = "folder/chunk"
each_length = pytest.mark.parametrize("n", LENGTHS)
each_dtype = pytest.mark.parametrize("dtype_name", DTYPES)


@dataclass(frozen=True)
class Stored:
    """A chunk that was encoded: its entry in the metadata, and its bytes."""

    info: ChunkInfo
    data: bytes
    rows: Rows


def stored(codec: Codec, rows: Rows) -> Stored:
    """Encode rows as a saver does."""
    chunk = Chunk(0, int(rows["time"][-1]) + 1000, rows, "run_1", "peaks")
    encoded = encode_chunk(chunk, codec)
    # As it comes out of the metadata, where it is JSON.
    info = ChunkInfo.from_json(
        json.loads(json.dumps(replace(encoded.info, filename="chunk").as_json())), place="here"
    )
    return Stored(info, b"".join(encoded.buffers), np.ascontiguousarray(rows, packed(rows.dtype)))


def decoded(codec: Codec, chunk: Stored, selection: Selection = ALL) -> Rows:
    """Decode by the codec alone, without what a loader checks; the rows it gave."""
    dtype = chunk.rows.dtype
    wanted = chunk.rows[:0] if selection.columns is None else chunk.rows[:0][[*selection.columns]]
    out: Rows = np.empty(chunk.info.n, packed(wanted.dtype))
    filled = 0
    for segment in codec.segments(chunk.info):
        part = out[filled : filled + segment.n]
        decoder = codec.decode(chunk.info, segment, selection, part, dtype=dtype)
        filled += _answered(decoder, chunk.data)
    return out[:filled]


def _answered(decoder: Decoder, data: bytes, asked: list[tuple[int, int]] | None = None) -> int:
    """Give a decoder the bytes that it asks for; how many rows it says it gave.

    The ranges that it asks for are added to `asked`.
    """
    answer: Sequence[Buffer] | None = None
    while True:
        try:
            request = next(decoder) if answer is None else decoder.send(answer)
        except StopIteration as end:
            return int(end.value)
        if asked is not None:
            asked += [(0, len(data))] if isinstance(request, Whole | Into) else request
        if isinstance(request, Whole):
            answer = [data]
        elif isinstance(request, Into):
            if len(request.memory) != len(data):
                raise DataCorrupted("a backend has no such file")
            request.memory[:] = data
            answer = [request.memory]
        else:
            if not all(0 <= at <= at + n <= len(data) for at, n in request):
                raise DataCorrupted("a backend has no such range")
            answer = [data[at : at + n] for at, n in request]


def loaded(codec: Codec, chunk: Stored) -> Rows:
    """Decode as a loader does, with the checks of the loader."""
    out: Rows = np.empty(chunk.info.n, chunk.rows.dtype)
    load_into(out, codec, chunk)
    return out


def load_into(out: Rows, codec: Codec, chunk: Stored) -> None:
    """Decode as a loader does, straight into an array."""
    place = MemoryBackend()
    place.write(PATH, [chunk.data])
    file = ChunkFile(place, PATH, chunk.info, codec, out.dtype)
    for segment in codec.segments(chunk.info):
        part = out[segment.first_row : segment.first_row + segment.n]
        if read_segment(file, segment, ALL, part, ReadReport()) != segment.n:
            raise DataCorrupted("not all rows of a segment came")


def big(n: int, *, dtype: np.dtype[Any] = PEAKS) -> Rows:
    """Return rows of which some repeat and some do not, as those of a detector."""
    rows = sample_rows(n, dtype=dtype, mark=n)
    rows[n // 2 :]["area"] = 1.0
    return rows


class CodecContract(ContractBase):
    """Subclass it, give the fixture `codec`, and pytest runs every check.

    - `codec`: your codec, or the name under which an installed storage plugin provides it.
    """

    @pytest.fixture
    def codec(self) -> Codec | str:
        """The codec, or its name."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture `codec`")

    @pytest.fixture
    def coder(self, codec: Codec | str) -> Codec:
        """The codec itself."""
        return codec_named(codec) if isinstance(codec, str) else codec

    def test_it_has_a_name(self, codec: Codec | str, coder: Codec) -> None:
        assert coder.name
        assert codec in (coder, coder.name)

    @each_dtype
    def test_rows_of_any_dtype_come_back(self, coder: Codec, dtype_name: str) -> None:
        for n in (1, 7, 3000):
            chunk = stored(coder, sample_rows(n, dtype=DTYPES[dtype_name]))

            assert decoded(coder, chunk).tobytes() == chunk.rows.tobytes()
            assert loaded(coder, chunk).tobytes() == chunk.rows.tobytes()

    @each_length
    def test_any_number_of_rows_comes_back(self, coder: Codec, n: int) -> None:
        for rows in (big(n), _zeros(n)):
            chunk = stored(coder, rows)

            assert loaded(coder, chunk).tobytes() == rows.tobytes()

    def test_encoding_changes_no_rows_and_gives_the_same_bytes_again(self, coder: Codec) -> None:
        rows = big(1000)
        before = rows.tobytes()
        rows.setflags(write=False)
        encoded = coder.encode(rows)
        data = b"".join(encoded.buffers)

        assert rows.tobytes() == before
        assert b"".join(coder.encode(rows).buffers) == data

    def test_what_it_wants_to_know_again_is_small_json(self, coder: Codec) -> None:
        for dtype in DTYPES.values():
            for n in (1, LENGTHS[-1] // 10):
                info = coder.encode(_contiguous(sample_rows(n, dtype=dtype))).info
                text = json.dumps(dict(info), allow_nan=False)

                assert json.loads(text) == dict(info)
                assert len(text) <= INFO_BYTES_MAX

    def test_rows_are_decoded_into_the_middle_of_an_array(self, coder: Codec) -> None:
        chunk = stored(coder, big(1000))
        whole: Rows = np.full(3000, 77, chunk.rows.dtype)
        load_into(whole[1000:2000], coder, chunk)

        assert whole[1000:2000].tobytes() == chunk.rows.tobytes()
        assert set(whole["time"][:1000]) == set(whole["time"][2000:]) == {77}

    @pytest.mark.parametrize(
        "dtype_name",
        ["plain", "sub_arrays", "texts", "nested", "big_endian", "zero_length", "odd"],
    )
    def test_columns_are_those_of_the_whole_rows(self, coder: Codec, dtype_name: str) -> None:
        chunk = stored(coder, sample_rows(3000, dtype=DTYPES[dtype_name]))
        names = chunk.rows.dtype.names or ()
        for columns in (*((name,) for name in names), names[::-1], names, names[1:]):
            rows = decoded(coder, chunk, Selection(columns=columns))

            expected = chunk.rows[[*columns]]
            assert rows.dtype.names == columns
            assert rows.tobytes() == _contiguous(expected).tobytes()

    @pytest.mark.parametrize("columns", [None, ("area",), ("endtime", "time")])
    @pytest.mark.parametrize("cut", [(0, 30), (10_000, 15_000), (29_990, 10**9), (-5, 0), (15, 15)])
    def test_a_time_range_gives_the_rows_that_touch_it(
        self, coder: Codec, cut: tuple[int, int], columns: tuple[str, ...] | None
    ) -> None:
        chunk = stored(coder, big(3000))
        rows = decoded(coder, chunk, Selection(columns=columns, time_range=cut))
        start, end = cut
        touched = (chunk.rows["endtime"] > start) & (chunk.rows["time"] < end)
        at = np.flatnonzero(touched)
        expected = chunk.rows if columns is None else _contiguous(chunk.rows[[*columns]])

        if len(at) == 0:
            return
        needed = expected[at[0] : at[-1] + 1].tobytes()
        assert needed in rows.tobytes()  # more rows may be given: whole blocks, say
        assert rows.tobytes() in expected.tobytes()

    @each_length
    def test_segments_are_all_rows_once_and_in_order(self, coder: Codec, n: int) -> None:
        chunk = stored(coder, big(n))
        next_row = stored_bytes = 0
        for segment in coder.segments(chunk.info):
            rows = chunk.rows[segment.first_row : segment.first_row + segment.n]
            assert segment.first_row == next_row
            assert segment.n > 0
            if segment.extrema is not None:
                assert segment.extrema == (rows["time"].min(), rows["endtime"].max())
            next_row += segment.n
            stored_bytes += segment.stored_bytes

        assert next_row == n
        assert stored_bytes <= len(chunk.data)  # what is read ahead is bounded by it

    @pytest.mark.parametrize("dtype_name", ["plain", "sub_arrays", "texts", "nested", "odd"])
    def test_an_array_for_each_column_gets_what_rows_get(
        self, coder: Codec, dtype_name: str
    ) -> None:
        chunk = stored(coder, sample_rows(3000, dtype=DTYPES[dtype_name]))
        names = chunk.rows.dtype.names or ()
        for columns in (None, names[-1:], names[::2]):
            wanted = names if columns is None else columns
            for segment in coder.segments(chunk.info):
                out = {name: np.empty(segment.n, chunk.rows.dtype[name]) for name in wanted}
                decoder = coder.decode(
                    chunk.info, segment, Selection(columns), out, dtype=chunk.rows.dtype
                )
                rows = chunk.rows[segment.first_row : segment.first_row + segment.n]

                assert _answered(decoder, chunk.data) == segment.n
                for name in wanted:
                    assert out[name].tobytes() == rows[name].tobytes()

    @pytest.mark.parametrize("selection", [ALL, Selection(("area",)), Selection(None, (0, 50))])
    def test_a_segment_asks_for_few_bytes_and_none_outside_the_file(
        self, coder: Codec, selection: Selection
    ) -> None:
        chunk = stored(coder, big(LENGTHS[-1]))
        for segment in coder.segments(chunk.info):
            out: Rows = np.empty(segment.n, chunk.rows.dtype)
            asked: list[tuple[int, int]] = []
            decoder = coder.decode(chunk.info, segment, selection, out, dtype=chunk.rows.dtype)
            _answered(decoder, chunk.data, asked)

            assert all(0 <= at <= at + n <= len(chunk.data) for at, n in asked)
            assert sum(n for _, n in asked) <= 1.1 * segment.stored_bytes + 1000

    def test_the_bytes_are_the_same_whatever_does_the_jobs(self, coder: Codec) -> None:
        rows = big(LENGTHS[-1])
        here = coder.encode(rows)

        def last_first(jobs: Sequence[Callable[[], Any]], /) -> list[Any]:
            return [job() for job in [*jobs][::-1]][::-1]

        with ThreadPoolExecutor(4) as pool:
            for run in (last_first, lambda jobs: list(pool.map(lambda job: job(), jobs))):
                encoded = coder.encode(rows, run=run)

                assert b"".join(encoded.buffers) == b"".join(here.buffers)
                assert encoded.info == here.info

    @pytest.mark.parametrize("cut", [(100, 200), (0, 100), (100, 101), (99, 100), (100, 100)])
    def test_rows_of_zero_duration_on_a_border_are_given(
        self, coder: Codec, cut: tuple[int, int]
    ) -> None:
        rows: Rows = np.zeros(3000, PEAKS)
        rows["time"] = rows["endtime"] = np.arange(3000)
        chunk = stored(coder, rows)
        given = decoded(coder, chunk, Selection(time_range=cut))
        start, end = cut
        # Core asks for a range that is 1 ns wider on each side, where these rows count.
        asked_inside = np.arange(start + 1, end)

        assert set(asked_inside) <= set(given["time"])
        assert given.tobytes() in rows.tobytes()

    @pytest.mark.parametrize("n", [1, 1000, 20_000])
    def test_damaged_bytes_are_never_loaded(self, coder: Codec, n: int) -> None:
        chunk = stored(coder, big(n))
        size = len(chunk.data)
        cuts = {0, 1, size // 2, size - 1} - {size}
        damaged = [chunk.data[:kept] for kept in cuts]
        damaged += [chunk.data + b"\0", chunk.data * 2, bytes(size)]
        damaged += [_flipped(chunk.data, bit) for bit in _some_bits(size)]
        for data in damaged:
            with pytest.raises(DataCorrupted):
                loaded(coder, replace(chunk, data=data))

    def test_damaged_bytes_end_in_a_typed_error_without_the_loaders_checks_too(
        self, coder: Codec
    ) -> None:
        chunk = stored(coder, big(1000))
        size = len(chunk.data)
        for kept in {0, 1, 3, size // 2, size - 1}:
            with pytest.raises(DataCorrupted):
                decoded(coder, replace(chunk, data=chunk.data[:kept]))
        for data in (
            chunk.data + b"more",
            *(_flipped(chunk.data, bit) for bit in _some_bits(size)),
        ):
            try:
                rows = decoded(coder, replace(chunk, data=data))
            except DataCorrupted:
                continue
            # Without a checksum of its own it may give other rows, and no other error.
            assert rows.dtype == chunk.rows.dtype

    def test_bytes_of_more_or_fewer_rows_are_refused(self, coder: Codec) -> None:
        chunk = stored(coder, big(1000))
        for n in (1, 999, 1001, 2000):
            info = replace(chunk.info, n=n, nbytes=n * PEAKS.itemsize)
            with pytest.raises(DataCorrupted):
                decoded(coder, replace(chunk, info=info))

    @pytest.mark.parametrize("wrong", [{"n": -1}, {"blocks": "many"}, {"offset": 10**15}, None])
    def test_wrong_info_of_the_codec_ends_in_a_typed_error(self, coder: Codec, wrong: Any) -> None:
        chunk = stored(coder, big(1000))
        info = replace(chunk.info, codec=wrong)
        for document in (info, *_broken_infos(chunk.info)):
            try:
                rows = decoded(coder, replace(chunk, info=document))
            except DataCorrupted:
                continue
            assert rows.tobytes() == chunk.rows.tobytes()

    def test_bytes_that_expand_to_much_more_than_the_rows_take_no_memory(
        self, coder: Codec
    ) -> None:
        bomb = stored(coder, _zeros(2_000_000))  # 40 MB
        small = stored(coder, _zeros(100))
        lying = Stored(replace(small.info, codec=bomb.info.codec), bomb.data, small.rows)
        tracemalloc.start()
        try:
            with pytest.raises(DataCorrupted):
                decoded(coder, lying)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak_bytes < 10_000_000

    def test_many_threads_work_at_once(self, coder: Codec) -> None:
        parts = [big(20_000 + i) for i in range(8)]
        chunks = [stored(coder, rows) for rows in parts]
        with ThreadPoolExecutor(8) as pool:
            encoded = list(pool.map(lambda rows: stored(coder, rows).data, parts * 4))
            rows = list(pool.map(lambda one: loaded(coder, one).tobytes(), chunks * 4))

        assert encoded == [one.data for one in chunks] * 4
        assert rows == [one.tobytes() for one in parts] * 4


def _zeros(n: int) -> Rows:
    rows: Rows = np.zeros(n, PEAKS)
    return rows


def _contiguous(rows: Rows) -> Rows:
    return np.ascontiguousarray(rows, packed(rows.dtype))


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _some_bits(size: int) -> list[int]:
    """Return bits of the beginning, where headers are, of the end, and of anywhere."""
    random = np.random.default_rng(size)
    anywhere = random.integers(0, 8 * size, at_level(quick=40, full=1000))
    edges = [*range(0, min(160, 8 * size), 7), *range(max(0, 8 * size - 160), 8 * size, 7)]
    return sorted({*edges, *map(int, anywhere)})


def _broken_infos(info: ChunkInfo) -> list[ChunkInfo]:
    """Return the entry with each value that the codec noted missing, or made something else."""
    noted = dict(info.codec or {})
    others: list[Callable[[Any], Any]] = [lambda _: None, lambda _: -1, lambda _: "x", lambda _: []]
    broken = [{k: v for k, v in noted.items() if k != name} for name in noted]
    broken += [{**noted, name: other(noted[name])} for name in noted for other in others]
    return [replace(info, codec=one) for one in broken]
