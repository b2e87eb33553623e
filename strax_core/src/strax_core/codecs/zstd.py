"""The codec `zstd`: one plain frame, which strax reads and writes too."""

import zstandard

from strax_core.codecs.codec import WholeFileCodec
from strax_core.errors import DataCorrupted
from strax_core.medium import Buffer

LEVEL = 3  # strax's level
THREADS = 1  # as strax; with 0, more than 8 MB would give other bytes


class ZstdCodec(WholeFileCodec):
    """All rows as one zstd frame with its size in the header and no checksum of its own."""

    name = "zstd"

    def compress(self, rows: memoryview) -> Buffer:
        """Compress into one frame."""
        return zstandard.ZstdCompressor(level=LEVEL, threads=THREADS).compress(rows)

    def decompress_into(self, stored: Buffer, out: memoryview) -> None:
        """Decompress one frame; bytes after it are passed over, as strax does."""
        try:
            said = zstandard.get_frame_parameters(stored).content_size
            is_said = said != zstandard.CONTENTSIZE_UNKNOWN
            if is_said and said != len(out):
                raise DataCorrupted(f"the zstd frame holds {said} bytes, not {len(out)}")
            with zstandard.ZstdDecompressor().stream_reader(stored) as frame:
                filled = 0
                while filled < len(out) and (got := frame.readinto(out[filled:])):
                    filled += got
                # A frame that says its size, as ours and strax's do, can hold no more than that;
                # to read on would be to read what comes after the frame.
                rest = b"" if is_said else frame.read(1)
        except zstandard.ZstdError as error:
            raise DataCorrupted(f"not a zstd frame: {error}") from error
        if filled < len(out) or rest:
            raise DataCorrupted(
                f"the zstd frame holds {'more' if rest else filled} than {len(out)} bytes"
            )
