"""The codec `bz2`: one stream of the standard library's bz2, as strax writes and reads it."""

import bz2

from strax_core.codecs.codec import WholeFileCodec
from strax_core.codecs.streams import fill
from strax_core.medium import Buffer

LEVEL = 9  # strax's level


class Bz2Codec(WholeFileCodec):
    """All rows as one bz2 stream, which has a checksum of its own. Small, and very slow."""

    name = "bz2"

    def compress(self, rows: memoryview) -> Buffer:
        """Compress into one stream."""
        return bz2.compress(rows, LEVEL)

    def decompress_into(self, stored: Buffer, out: memoryview) -> None:
        """Decompress one stream; bytes after it are passed over, as strax does."""
        fill(out, stored, bz2.BZ2Decompressor())
