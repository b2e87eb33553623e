"""The codec `blosc`: one blosc buffer, as strax writes and reads it. Needs the package blosc."""

import struct

import blosc
import numpy as np

from strax_core.codecs.codec import WholeFileCodec
from strax_core.errors import ConfigError, DataCorrupted
from strax_core.medium import Buffer

TYPE_BYTES = 8  # these four are strax's
LEVEL = 9
FILTER = blosc.NOSHUFFLE
INSIDE = "blosclz"
ROWS_BYTES_MAX = blosc.MAX_BUFFERSIZE - 1  # strax refuses the last byte that blosc would take
HEADER = struct.Struct("<4xIII")  # after versions, flags, type size: the bytes of rows, block, all


class BloscCodec(WholeFileCodec):
    """All rows as one blosc buffer without a checksum: strax's default; less than 2.1 GB a chunk.

    What blosc does with threads is a setting of the whole process, made anew with each codec:

    - one thread inside a call: with more, the blocks lie in the order in which they were ready,
      so that the same rows would not give the same bytes. We call it in several threads instead;
    - without the interpreter's lock: so that those run at once. Each call then has a context of its
      own; else all calls share one, behind a lock.
    """

    name = "blosc"

    def __init__(self) -> None:
        blosc.set_nthreads(1)
        blosc.set_releasegil(True)

    def compress(self, rows: memoryview) -> Buffer:
        """Compress into one buffer.

        Raises:
            ConfigError: the rows are more than blosc takes.
        """
        if len(rows) > ROWS_BYTES_MAX:
            raise ConfigError(
                f"a chunk has {len(rows)} bytes of rows, the codec 'blosc' takes at most "
                f'{ROWS_BYTES_MAX}: choose compressor = "zstd" for the place or the data plugin, '
                "or make smaller chunks (chunk_target_size_mb, with rechunk_on_save)"
            )
        packed: bytes = blosc.compress(
            rows, typesize=TYPE_BYTES, clevel=LEVEL, shuffle=FILTER, cname=INSIDE
        )
        return packed

    def decompress_into(self, stored: Buffer, out: memoryview) -> None:
        """Decompress one buffer; as with strax, nothing may come after it."""
        if len(stored) < HEADER.size:
            raise DataCorrupted(f"not a blosc buffer: it has only {len(stored)} bytes")
        rows_bytes, _, stored_bytes = HEADER.unpack_from(stored)
        # Before blosc writes where we tell it to: it believes its header.
        if rows_bytes != len(out):
            raise DataCorrupted(f"the blosc buffer holds {rows_bytes} bytes, not {len(out)}")
        if stored_bytes != len(stored):
            raise DataCorrupted(
                f"the blosc buffer has {len(stored)} bytes, its header says {stored_bytes}"
            )
        try:
            blosc.decompress_ptr(bytes(stored), np.asarray(out).ctypes.data)
        except (blosc.blosc_extension.error, ValueError) as error:
            raise DataCorrupted(f"the blosc buffer is damaged: {error}") from error
