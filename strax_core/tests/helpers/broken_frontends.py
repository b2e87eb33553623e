"""Broken frontends and codecs, each in one thing; test_twins.py runs the kit on all."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import zstandard

from strax_core import (
    ALL,
    ChunkInfo,
    DataKey,
    DirectoryFrontend,
    Encoded,
    Location,
    Match,
    MemoryBackend,
    Segment,
    Selection,
)
from strax_core.codecs import Decoder, Out, RunJobs, run_here
from strax_core.codecs.zstd import ZstdCodec
from strax_core.testing import CodecContract, FaultyBackend, FrontendContract

Rows = np.ndarray[Any, np.dtype[Any]]


class Remembers(DirectoryFrontend):
    """Answers from what it saw once: others' news it never hears."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.answers: dict[str, Location | None] = {}

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:
        if match.is_fuzzy:
            return super()._find(key, match)
        if key.name not in self.answers:
            there = any(e.name == key.name for e in self._backend.list("", starts_with=key.name))
            self.answers[key.name] = (
                Location(backend="main", backend_key=key.name) if there else None
            )
        answer = self.answers[key.name]
        return [answer] if answer else []


class MixesUpMany(DirectoryFrontend):
    """Answers a request for many in an order of its own."""

    def _find_several(self, keys: Sequence[DataKey], match: Match) -> Iterator[Sequence[Location]]:
        return super()._find_several(sorted(keys, key=str), match)


class TakesLettersForFields(DirectoryFrontend):
    """Asked for the field `mode`, gives every field whose name stands in that word."""

    def run_metadata(
        self, run_id: str, fields: str | Iterable[str] | None = None
    ) -> dict[str, Any]:
        document = super().run_metadata(run_id)
        if isinstance(fields, str):
            return {name: value for name, value in document.items() if name in fields}
        return super().run_metadata(run_id, fields)


class LosesMicroseconds(DirectoryFrontend):
    """Keeps times to the millisecond."""

    def _run_metadata(self, run_id: str) -> Mapping[str, Any]:
        document = super()._run_metadata(run_id)
        return {
            name: value.replace(microsecond=value.microsecond // 1000 * 1000)
            if hasattr(value, "microsecond")
            else value
            for name, value in document.items()
        }


class TestHonestFrontend(FrontendContract):
    frontend_class: type[DirectoryFrontend] = DirectoryFrontend
    requests_for_many = 2

    @pytest.fixture
    def watched(self) -> FaultyBackend:
        return FaultyBackend(MemoryBackend())

    @pytest.fixture
    def open_frontend(self, watched: FaultyBackend) -> Callable[..., DirectoryFrontend]:
        return lambda **options: self.frontend_class(watched, **options)

    @pytest.fixture
    def requests(self, watched: FaultyBackend) -> Callable[[], int]:
        return lambda: len(watched.calls)


class TestRemembers(TestHonestFrontend):
    frontend_class = Remembers


class TestMixesUpMany(TestHonestFrontend):
    frontend_class = MixesUpMany


class TestTakesLettersForFields(TestHonestFrontend):
    frontend_class = TakesLettersForFields


class TestLosesMicroseconds(TestHonestFrontend):
    frontend_class = LosesMicroseconds


class AllocatesWhatAHeaderSays(ZstdCodec):
    """Makes room for as much as the bytes claim to hold."""

    def decompress_into(self, stored: Any, out: memoryview) -> None:
        with suppress(zstandard.ZstdError):
            _ = bytearray(zstandard.get_frame_parameters(stored).content_size % (1 << 30))
        super().decompress_into(stored, out)


class NotesEveryRow(ZstdCodec):
    """Writes far too much into the metadata."""

    def encode(self, rows: Rows, *, run: RunJobs = run_here) -> Encoded:
        return Encoded(
            super().encode(rows, run=run).buffers, {"times": [int(t) for t in rows["time"]]}
        )


class SortsColumns(ZstdCodec):
    """Gives columns in another order than asked."""

    def decode(
        self,
        info: ChunkInfo,
        segment: Segment,
        selection: Selection,
        out: Out,
        *,
        dtype: np.dtype[Any],
    ) -> Decoder:
        rows: Rows = np.empty(segment.n, dtype)
        n = yield from super().decode(info, segment, ALL, rows, dtype=dtype)
        wanted = dtype.names or () if selection.columns is None else selection.columns
        given = wanted if selection.columns is None else sorted(wanted)
        for name, of_rows in zip(wanted, given, strict=True):
            if rows[of_rows].dtype == out[name].dtype:
                out[name][...] = rows[of_rows]
        return n


class SharesItsBuffer(ZstdCodec):
    """Keeps what it works on in the object, where another thread overwrites it."""

    kept: Any = None

    def encode(self, rows: Rows, *, run: RunJobs = run_here) -> Encoded:
        self.kept = rows
        time.sleep(0.001)  # a long computation
        return super().encode(self.kept, run=run)


class TestHonestCodec(CodecContract):
    codec_class: type[ZstdCodec] = ZstdCodec

    @pytest.fixture
    def codec(self) -> ZstdCodec:
        return self.codec_class()


class TestAllocatesWhatAHeaderSays(TestHonestCodec):
    codec_class = AllocatesWhatAHeaderSays


class TestNotesEveryRow(TestHonestCodec):
    codec_class = NotesEveryRow


class TestSortsColumns(TestHonestCodec):
    codec_class = SortsColumns


class TestSharesItsBuffer(TestHonestCodec):
    codec_class = SharesItsBuffer
