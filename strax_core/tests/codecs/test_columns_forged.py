"""Files of the codec `columns` that somebody made on purpose, with checksums that fit."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from forged_segments import Frame, Segment, forged, opened
from test_columns import Answered, Cut, decoded, stored, waves

from strax_core import DataCorrupted, Selection
from strax_core.codecs import ALL
from strax_core.codecs.columns import decoding, plain
from strax_core.format.chunk_info import ChunkInfo

Rows = np.ndarray[Any, np.dtype[Any]]
N = 200
ROWS = waves(N)
DTYPE = ROWS.dtype
NAMES = DTYPE.names or ()
FIELD = {name: i for i, name in enumerate(NAMES)}
INFO, DATA = stored(Cut(segment_bytes=10**9, block_bytes=100 * DTYPE.itemsize), ROWS)
ROWS_INFO, ROWS_DATA = stored(Cut(segment_bytes=10**9, block_bytes=1, small_bytes=10**6), ROWS)
Change = Callable[[Segment], object]


def taken_apart(info: ChunkInfo = INFO, data: bytes = DATA) -> Segment:
    return opened(data, (info.codec or {})["segments"][0][2])


def frame(segment: Segment, name: str, block: int = 0) -> Frame:
    one = segment.frames[FIELD[name]][block]
    assert isinstance(one, Frame)
    return one


@pytest.fixture(params=["kernels", "numpy"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What decodes."""
    from strax_core.codecs.columns.kernels.decoding import decode_block

    chosen = decode_block if request.param == "kernels" else plain.decode_block
    monkeypatch.setattr(decoding, "_block_decoder", lambda _: chosen)
    monkeypatch.setattr(decoding, "WHOLE_BYTES", 0)
    return str(request.param)


def told_from(segment: Segment, name: str, reference: str | int, width: int | None = None) -> None:
    """Say that a field is told from another one, as bytes perhaps."""
    at = FIELD[reference] if isinstance(reference, str) else reference
    segment.fields[FIELD[name]]["reference"] = at
    segment.fields[FIELD[name]]["filters"] = 0
    if width is not None:
        segment.fields[FIELD[str(reference)]]["width"] = width
        segment.fields[FIELD[str(reference)]]["filters"] = 0
        size = DTYPE[str(reference)].itemsize
        for block in range(2):
            segment.frames[FIELD[str(reference)]][block] = Frame(0, 100 * size, 0, [])


def with_fields(name: str, key: str, value: int) -> Change:
    return lambda segment: segment.fields[key].__setitem__(FIELD[name], value)


def with_frame(name: str, **values: Any) -> Change:
    def change(segment: Segment) -> None:
        for key, value in values.items():
            setattr(frame(segment, name), key, value)

    return change


def with_bytes(name: str, stored: bytes) -> Change:
    return lambda segment: segment.frames[FIELD[name]].__setitem__(0, stored)


def without_a_block(segment: Segment) -> None:
    segment.blocks = segment.blocks[:1]
    for of_field in segment.frames:
        of_field.pop()


FORGED: dict[str, Change] = {
    "as it is": lambda _: None,
    "told from a field that is stored as bytes": lambda s: told_from(s, "data", "baseline", 1),
    "told from itself": lambda s: told_from(s, "data", "data"),
    "told from a later field": lambda s: told_from(s, "time", "baseline"),
    "told from floats": lambda s: told_from(s, "data", "area"),
    "told from an array": lambda s: told_from(s, "per_channel", "data"),
    "told from no field": lambda s: told_from(s, "data", 10**6),
    "told from a field before the first": lambda s: told_from(s, "data", -2),
    "another width": with_fields("area", "width", 2),
    "no width": with_fields("area", "width", 0),
    "an unknown filter": with_fields("area", "filters", 8),
    "bytes with a filter": with_fields("label", "filters", 2),
    "a mask that is none": with_fields("data", "filters", 1),
    "no planes but their bytes": with_frame("area", n_planes=0),
    "more planes than bytes": with_frame("area", n_planes=5, parts=[b"x" * 100] * 5),
    "many planes": with_frame("area", n_planes=2**32 - 1),
    "too many values": with_frame("area", n_values=101),
    "most values": with_frame("area", n_values=2**32 - 1),
    "too few values": with_frame("area", n_values=99),
    "values but no mask bit": with_frame("per_channel", n_values=3000),
    "a plane that is too short": with_frame("area", n_planes=1, parts=[b"x" * 99]),
    "a plane that is too long": with_frame("area", n_planes=1, parts=[b"x" * 101]),
    "a frame without bytes": with_bytes("label", b""),
    "a frame of 15 bytes": with_bytes("label", bytes(15)),
    "no sizes of parts": with_bytes("area", struct.pack("<qII", 0, 100, 4)),
    "parts that are larger": with_bytes("area", struct.pack("<qIII", 0, 100, 1, 2**32 - 1)),
    "no rows a block": lambda s: setattr(s, "block_rows", 0),
    "too many rows a block": lambda s: setattr(s, "block_rows", 2**64 - 1),
    "one row a block": lambda s: setattr(s, "block_rows", 1),
    "blocks that are not there": lambda s: setattr(s, "n_blocks", 2**32 - 1),
    "a block is missing": without_a_block,
    "another number of rows": lambda s: setattr(s, "n", N + 1),
    "rows as they are": lambda s: setattr(s, "layout", 1),
    "an unknown layout": lambda s: setattr(s, "layout", 2),
}
SELECTIONS = [ALL, *(Selection((name,)) for name in NAMES), Selection(None, (10**18, 10**18 + 1))]


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_segment_is_refused_whatever_is_read_of_it(what: str, decoder: str) -> None:
    segment = taken_apart()
    FORGED[what](segment)
    info, data = forged(segment, DTYPE, N)
    refused = 0
    for selection in SELECTIONS:
        try:
            (rows,) = decoded(Cut(segment_bytes=1, block_bytes=1), info, data, ROWS, selection)
        except DataCorrupted:
            refused += 1
            continue
        # What is wrong was not read.
        expected = ROWS[: len(rows)]
        for name in rows.dtype.names or ():
            assert rows[name].tobytes() == expected[name].tobytes(), decoder

    assert (refused == 0) == (what == "as it is")


def test_rows_as_they_are_lie_in_one_block() -> None:
    segment = taken_apart(ROWS_INFO, ROWS_DATA)
    segment.blocks = np.repeat(segment.blocks, 2)
    segment.block_rows = N // 2
    segment.frames = [segment.frames[0] * 2]
    info, data = forged(segment, DTYPE, N)

    with pytest.raises(DataCorrupted, match="one block, not in 2"):
        decoded(Cut(segment_bytes=1, block_bytes=1), info, data, ROWS)


def test_no_range_without_bytes_is_asked_for() -> None:
    segment = taken_apart()
    segment.frames[FIELD["label"]] = [b"", b""]
    info, data = forged(segment, DTYPE, N)
    codec = Cut(segment_bytes=1, block_bytes=1)
    (one,) = codec.segments(info)
    places = Answered(data)
    out: Rows = np.zeros(N, [("label", "S4")])
    with pytest.raises(DataCorrupted, match="a frame of 0 bytes"):
        places.fill(codec.decode(info, one, Selection(("label",)), out, dtype=DTYPE))

    assert all(size for request in places.requests for _, size in request)


def test_an_entry_of_very_many_segments_is_refused() -> None:
    told = [1, 100, 90, "0", None, None]
    many = replace(
        INFO, n=1025, filesize=1025 * 100, codec={"version": 1, "segments": [told] * 1025}
    )
    with pytest.raises(DataCorrupted, match="lists 1025 segments"):
        Cut(segment_bytes=1, block_bytes=1).segments(many)


def test_an_entry_without_the_size_of_the_file_is_refused() -> None:
    with pytest.raises(DataCorrupted, match=r"segments have \d+ bytes, its entry does not say"):
        decoded(Cut(segment_bytes=1, block_bytes=1), replace(INFO, filesize=None), DATA, ROWS)


def _changed(one: Frame, random: np.random.Generator) -> Frame:
    """Change a frame at random."""
    way = random.integers(7)
    if way == 0:
        one.n_values = max(0, one.n_values + int(random.integers(-2, 3)))
    elif way == 1:
        one.n_planes = int(random.integers(9))
    elif way == 2:
        one.base = int(random.choice([0, 1, -1, 2**63 - 1, -(2**63)]))
    elif way == 3 and one.parts:
        one.parts.pop(random.integers(len(one.parts)))
        one.n_planes = max(0, one.n_planes - 1)
    elif way == 4:
        one.parts.append(random.bytes(one.n_values))
        one.n_planes += 1
    elif one.parts:
        at = random.integers(len(one.parts))
        sizes = [len(one.parts[at]), one.n_values, (100 * 30 + 7) // 8, (100 * 40 + 7) // 8]
        one.parts[at] = random.bytes(int(random.choice(sizes)))
    return one


def _guarded(n: int) -> tuple[Rows, Rows]:
    """Return rows in the middle of memory, and that memory."""
    memory = np.full((n + 2) * DTYPE.itemsize, 0x55, np.uint8)
    return memory.view(DTYPE)[1:-1], memory


def test_whatever_a_frame_says_kernels_and_numpy_give_the_same_within_their_memory(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    from strax_core.codecs.columns.kernels.decoding import decode_block

    random = np.random.default_rng(1 + seed)
    came = {"rows": 0, "refused": 0}
    for _ in range(150):
        segment = taken_apart()
        of_field = segment.frames[random.integers(len(NAMES))]
        assert isinstance(of_field[0], Frame)
        of_field[0] = _changed(of_field[0], random)
        if random.integers(2):
            segment.fields["filters"][random.integers(len(NAMES))] = random.integers(8)
        info, data = forged(segment, DTYPE, N)
        given = []
        for decode in (decode_block, plain.decode_block):
            monkeypatch.setattr(decoding, "_block_decoder", lambda _, decode=decode: decode)
            out, memory = _guarded(N)
            codec = Cut(segment_bytes=1, block_bytes=1)
            (one,) = codec.segments(info)
            working = codec.decode(info, one, ALL, out, dtype=DTYPE)
            next(working)
            try:
                working.send([data])
            except StopIteration:
                given.append(out.tobytes())
            except DataCorrupted:
                given.append(b"refused")
            assert set(memory[: DTYPE.itemsize]) == set(memory[-DTYPE.itemsize :]) == {0x55}
        assert given[0] == given[1]
        came["refused" if given[0] == b"refused" else "rows"] += 1

    assert min(came.values()) > 20
