"""The metadata's entry of one chunk. The field names are strax's; the last five are ours."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from strax_core.errors import DataCorrupted
from strax_core.format.layout import checked_file_name

_INTEGERS = ("chunk_i", "n", "start", "end", "nbytes")
_OPTIONAL_INTEGERS = (
    "filesize",
    "first_time",
    "first_endtime",
    "last_time",
    "last_endtime",
    "min_time",
    "max_endtime",
)

_OPTIONAL_TEXTS = ("filename", "checksum", "checksum_rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkInfo:
    """The entry of one chunk; also the receipt that saving it gives."""

    chunk_i: int
    n: int
    start: int
    end: int
    run_id: str
    nbytes: int
    subruns: Mapping[str, Any] | None = None
    filename: str | None = None
    filesize: int | None = None
    first_time: int | None = None
    first_endtime: int | None = None
    last_time: int | None = None
    last_endtime: int | None = None
    min_time: int | None = None
    max_endtime: int | None = None
    checksum: str | None = None
    """Of the stored bytes."""
    checksum_rows: str | None = None
    """Of the uncompressed rows, so that copies in different codecs can be compared."""
    codec: Mapping[str, Any] | None = None
    """Notes of the codec, for when it decodes."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry as metadata stores it; what is not known is left out."""
        values = ((name, getattr(self, name)) for name in _NAMES)
        document = {name: value for name, value in values if value is not None}
        document["subruns"] = self.subruns
        return document

    @classmethod
    def from_json(cls, document: object, *, place: str) -> "ChunkInfo":
        """Check and take an entry; fields that nobody knows are passed over.

        Raises:
            DataCorrupted: a field is missing or cannot be true.
        """
        if not isinstance(document, dict):
            raise DataCorrupted(f"{place}: a chunk's entry is not a JSON object")
        where = f"{place}: chunk {document.get('chunk_i')!r}"
        values = {name: document[name] for name in _NAMES if document.get(name) is not None}
        for name in (*_INTEGERS, *(name for name in _OPTIONAL_INTEGERS if name in values)):
            if type(values.get(name)) is not int:
                raise DataCorrupted(
                    f"{where}: {name} is {document.get(name)!r}, not a whole number"
                )
        for name in ("run_id", *(name for name in _OPTIONAL_TEXTS if name in values)):
            if not isinstance(values.get(name), str):
                raise DataCorrupted(f"{where}: {name} is {document.get(name)!r}, not a text")
        for name in ("subruns", "codec"):
            if not isinstance(values.get(name, {}), dict):
                raise DataCorrupted(f"{where}: {name} is not a JSON object")
        info = cls(**values)
        info._check(where)
        return info

    def _check(self, where: str) -> None:
        if min(self.chunk_i, self.n, self.start, self.nbytes, self.filesize or 0) < 0:
            raise DataCorrupted(f"{where}: a number in its entry is negative")
        if self.end < self.start:
            raise DataCorrupted(f"{where}: it ends at {self.end}, before it starts at {self.start}")
        self._check_times(where)
        if not self.n and self.filesize:
            raise DataCorrupted(f"{where}: it has a file of {self.filesize} bytes and no rows")
        if self.filename is not None:
            checked_file_name(self.filename, where=where)
        elif self.n:
            raise DataCorrupted(f"{where}: it has {self.n} rows and no file")

    def _check_times(self, where: str) -> None:
        """Check what a time range believes without reading; rows are sorted by `time`."""
        if self.min_time is None or self.max_endtime is None:
            return
        if not self.start <= self.min_time <= self.max_endtime <= self.end:
            raise DataCorrupted(
                f"{where}: rows from {self.min_time} to {self.max_endtime} do not lie in a chunk "
                f"from {self.start} to {self.end}"
            )
        if self.first_time not in (None, self.min_time):
            raise DataCorrupted(
                f"{where}: its first row is at {self.first_time}, its earliest at {self.min_time}"
            )


_NAMES = tuple(field.name for field in fields(ChunkInfo))
