"""The codec `lz4`: one LZ4 frame, as strax writes and reads it. Needs the package lz4."""

import lz4.frame

from strax_core.codecs.codec import WholeFileCodec
from strax_core.codecs.streams import fill
from strax_core.medium import Buffer


class Lz4Codec(WholeFileCodec):
    """All rows as one LZ4 frame with its size in the header and no checksum of its own. Fast."""

    name = "lz4"

    def compress(self, rows: memoryview) -> Buffer:
        """Compress into one frame."""
        frame: bytes = lz4.frame.compress(rows)
        return frame

    def decompress_into(self, stored: Buffer, out: memoryview) -> None:
        """Decompress one frame; bytes after it are passed over, as strax does."""
        fill(out, stored, lz4.frame.LZ4FrameDecompressor())
