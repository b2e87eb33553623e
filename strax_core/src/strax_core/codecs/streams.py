"""Decompressing piece by piece into memory of a known size, for codecs with a stream format."""

from typing import Protocol

from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer

INPUT_BYTES = 1 << 18  # given at a time; what a decompressor keeps of it, it copies each time
OUTPUT_BYTES = 1 << 22  # taken at a time


class Decompressor(Protocol):
    """The common part of the decompressors of the modules bz2 and lz4.frame."""

    @property
    def eof(self) -> bool: ...  # noqa: D102 - as in the standard library
    @property
    def needs_input(self) -> bool: ...  # noqa: D102 - as in the standard library
    def decompress(self, data: bytes, /, max_length: int = -1) -> Buffer: ...  # noqa: D102 - as above


def fill(out: memoryview, stored: Buffer, decompressor: Decompressor) -> None:
    """Fill `out` from one stream; bytes after its end are passed over, as strax does.

    Never holds more than `OUTPUT_BYTES` beside `out`, whatever the stream claims or expands to.

    Raises:
        DataCorrupted: the stream is no such stream, is cut off, or holds fewer or more bytes.
    """
    source = memoryview(stored)
    taken = filled = 0
    while not decompressor.eof:
        given = b""
        if decompressor.needs_input:
            given = bytes(source[taken : taken + INPUT_BYTES])
            taken += len(given)
            if not given:
                raise DataCorrupted(f"the compressed stream is cut off after {filled} bytes")
        room = len(out) - filled
        try:
            # One byte at least, so that the end of a stream that fits exactly is seen.
            piece = decompressor.decompress(given, max_length=max(1, min(room, OUTPUT_BYTES)))
        except (OSError, ValueError, RuntimeError) as error:  # bz2: OSError; lz4: RuntimeError
            raise DataCorrupted(f"the compressed stream is damaged: {error}") from error
        if len(piece) > room:
            raise DataCorrupted(f"the compressed stream holds more than {len(out)} bytes")
        out[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled < len(out):
        raise DataCorrupted(f"the compressed stream holds {filled} bytes, not {len(out)}")
