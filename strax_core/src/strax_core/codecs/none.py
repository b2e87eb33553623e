"""The codec `none`: rows as they lie in memory."""

from collections.abc import Generator, Sequence

from strax_core.codecs.codec import Into, Request, WholeFileCodec
from strax_core.medium import Buffer


class NoneCodec(WholeFileCodec):
    """The bytes of the rows, unchanged."""

    name = "none"

    def compress(self, rows: memoryview) -> Buffer:
        """Return the bytes themselves."""
        return rows

    def filling(self, out: memoryview) -> Generator[Request, Sequence[Buffer], None]:
        """Have the bytes put where they belong."""
        yield Into(out)
