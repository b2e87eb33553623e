"""Metadata of one piece of data: the JSON document beside its chunks, parsed and checked.

Stored metadata is untrusted: names are checked, dtypes are parsed and never evaluated, sizes must
fit. Source: metadata of strax 2.2.3, with more fields and none missing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    ObjectMissing,
)
from strax_core.format.chunk_info import ChunkInfo
from strax_core.format.dtypes import parse_dtype
from strax_core.format.keys import Lineage
from strax_core.format.layout import metadata_paths
from strax_core.format.lineage_text import LineageText, parse
from strax_core.medium import Medium

FORMAT_VERSION = 1
STRAX_VERSION = (
    "2.2.3"  # whose folders these are; strax refuses what is not a version, or is below 0.9
)

STRAX_VERSION_MIN = (0, 9)  # strax itself refuses to load what is older
STRAX_COMPRESSORS = ("blosc", "zstd", "lz4", "bz2")  # what strax can read
YEAR_10000_S = 253_402_300_800  # since the Unix epoch: no calendar of Python goes further
CHUNK_BYTES_MAX = 1 << 34  # a cap on what one chunk's entry may make us allocate
_TEXT_FIELDS = ("run_id", "data_type", "data_kind", "dtype", "compressor")


class Metadata(Mapping[str, Any]):
    """A read-only view of the document, with strax's field names, and typed properties on it."""

    def __init__(self, document: Mapping[str, Any], *, place: str) -> None:
        self._document = dict(document)
        self.place = place
        for field in _TEXT_FIELDS:
            if not isinstance(self._document.get(field), str):
                raise DataCorrupted(f"{place}: the metadata has no text {field!r}")

    @classmethod
    def parse(cls, raw: bytes, *, place: str) -> "Metadata":
        """Parse and check a document.

        Raises:
            DataCorrupted: it is not JSON, lacks a field, or what it says cannot be.
            NewerFormat: it was written in a newer format than this version reads.
        """
        try:
            document = parse(raw)
        except (ValueError, RecursionError) as error:
            raise DataCorrupted(f"{place}: the metadata is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise DataCorrupted(f"{place}: the metadata is not a JSON object")
        version = document.get("format_version", FORMAT_VERSION)
        if type(version) is not int or version < 1:
            raise DataCorrupted(f"{place}: format_version is {version!r}")
        if version > FORMAT_VERSION:
            raise NewerFormat(
                f"{place}: written in format {version!r}, this version reads up to "
                f"{FORMAT_VERSION}; install a newer strax-core"
            )
        metadata = cls(document, place=place)
        if metadata.is_complete:
            _ = metadata.chunks  # checked before anyone relies on it
        return metadata

    def __getitem__(self, field: str) -> Any:
        value = self._document[field]
        if isinstance(value, LineageText):
            value = self._document[field] = value.parsed()
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return f"<Metadata of {self.run_id} {self.data_type} at {self.place}>"

    def to_bytes(self) -> bytes:
        """Return the document as it is stored."""
        return encode_document(dict(self))

    @property
    def run_id(self) -> str:
        """Run that the rows belong to."""
        return str(self._document["run_id"])

    @property
    def data_type(self) -> str:
        """Name of the data type."""
        return str(self._document["data_type"])

    @property
    def data_kind(self) -> str:
        """Rows of one kind stand for the same things."""
        return str(self._document["data_kind"])

    @property
    def compressor(self) -> str:
        """Name of the codec."""
        return str(self._document["compressor"])

    @property
    def write_id(self) -> str | None:
        """Id of the writing that made these files; strax keeps none."""
        return self._text("write_id")

    @property
    def data_id(self) -> str | None:
        """Id of the dataset: every copy of the same rows keeps it."""
        return self._text("data_id")

    @property
    def exception(self) -> str | None:
        """Reason why the writing failed, if it did: strax gives failed data the final name."""
        return self._text("exception")

    @property
    def why_incomplete(self) -> str:
        """The last line of why the writing failed, or that it has not ended."""
        lines = (self.exception or "").strip().splitlines()
        return lines[-1] if lines else "its writing has not ended"

    @property
    def is_complete(self) -> bool:
        """True if the writing ended, and ended well."""
        return "writing_ended" in self._document and "exception" not in self._document

    @property
    def is_too_old(self) -> bool:
        """True if a strax wrote it whose data strax itself no longer loads."""
        version = re.match(r"(\d{1,9})\.(\d{1,9})", self._text("strax_version") or "")
        return version is not None and tuple(map(int, version.groups())) < STRAX_VERSION_MIN

    def check_loadable(self) -> None:
        """Refuse what must not be loaded.

        Raises:
            DataNotAvailable: its writing failed or has not ended, or it is too old.
        """
        if not self.is_complete:
            raise DataNotAvailable(f"{self.place}: not complete: {self.why_incomplete}")
        if self.is_too_old:
            raise DataNotAvailable(
                f"{self.place}: written by strax {self['strax_version']}; nobody loads what is "
                "older than strax 0.9.0: Context.make(…, again=True) makes and replaces it"
            )

    @property
    def chunk_target_bytes(self) -> int:
        """Target size of chunks, uncompressed; strax's default where it is not said."""
        target_mb = self._document.get("chunk_target_size_mb", 200)
        if not isinstance(target_mb, int | float) or not 0 < target_mb < CHUNK_BYTES_MAX / 1e6:
            raise DataCorrupted(f"{self.place}: chunk_target_size_mb is {target_mb!r}")
        return max(1, int(target_mb * 1e6))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the stored rows; it wins over what a data plugin declares now."""
        return parse_dtype(str(self._document["dtype"]), place=self.place)

    @cached_property
    def lineage(self) -> Lineage:
        """Lineage of the rows."""
        document = self._document.get("lineage")
        if not isinstance(document, dict | LineageText):
            raise DataCorrupted(f"{self.place}: the metadata has no lineage")
        text = document.json if isinstance(document, LineageText) else None
        try:
            return _lineage(text or json.dumps(document))
        except (ConfigError, DataCorrupted, RecursionError) as error:
            raise DataCorrupted(f"{self.place}: the lineage makes no sense: {error}") from error

    @cached_property
    def chunks(self) -> tuple[ChunkInfo, ...]:
        """The chunks in the order of time, each checked against the dtype."""
        entries = self._document.get("chunks")
        if not isinstance(entries, list) or not entries:
            raise DataCorrupted(f"{self.place}: the metadata lists no chunks")
        infos = tuple(ChunkInfo.from_json(entry, place=self.place) for entry in entries)
        for info in infos:
            if info.nbytes != info.n * self.dtype.itemsize or info.nbytes > CHUNK_BYTES_MAX:
                raise DataCorrupted(
                    f"{self.place}: chunk {info.chunk_i} claims {info.nbytes} bytes "
                    f"for {info.n} rows of {self.dtype.itemsize}"
                )
        self._check_order(infos)
        return infos

    def _check_order(self, infos: tuple[ChunkInfo, ...]) -> None:
        """Find out entries that were lost or belong elsewhere."""
        said = (
            self._document.get("start", infos[0].start),
            self._document.get("end", infos[-1].end),
        )
        if said != (infos[0].start, infos[-1].end):
            raise DataCorrupted(
                f"{self.place}: the chunks span {infos[0].start} to {infos[-1].end}, the data "
                f"{said[0]} to {said[1]}: chunks are missing"
            )
        for before, after in pairwise(infos):
            if after.chunk_i <= before.chunk_i:
                raise DataCorrupted(
                    f"{self.place}: chunk {after.chunk_i} comes after chunk {before.chunk_i}"
                )
        for info in infos:
            if info.run_id != self.run_id and info.subruns is None:
                raise DataCorrupted(f"{self.place}: chunk {info.chunk_i} is of run {info.run_id}")

    def _text(self, field: str) -> str | None:
        value = self._document.get(field)
        return value if isinstance(value, str) else None


def read_metadata(medium: Medium, backend_key: str) -> Metadata:
    """Read and parse the metadata of a piece of data; in one request, if it is there.

    Where an old strax may have written, a second request looks for the name it used.

    Raises:
        ObjectMissing: there are none, under no name that strax ever used.
        DataCorrupted, NewerFormat: as `Metadata.parse`.
    """
    name, older_name = metadata_paths(backend_key)
    try:
        raw = medium.read(name)
    except ObjectMissing:
        if not medium.may_hold_strax_folders:
            raise
        raw = medium.read(older_name)
    return Metadata.parse(raw, place=f"{medium.place}/{backend_key}")


def stored_time_s(value: object) -> float | None:
    """Return a time that stood in stored JSON, in s since the Unix epoch; None if it is none."""
    is_time = isinstance(value, int | float) and 0 <= value < YEAR_10000_S
    return float(value) if is_time else None  # type: ignore[arg-type]  # checked


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Return JSON that strax reads: ASCII, keys sorted, one line for each field and each chunk.

    Python indents JSON ten times slower than it writes a line.
    """
    lines = [f"    {json.dumps(name)}: {_as_lines(document[name])}" for name in sorted(document)]
    return "\n".join(("{", ",\n".join(lines), "}")).encode("ascii")


def _as_lines(value: Any) -> str:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value, sort_keys=True)
    items = ",\n".join(f"        {json.dumps(item, sort_keys=True)}" for item in value)
    return f"[\n{items}\n    ]"


@lru_cache(maxsize=256)
def _lineage(text: str) -> Lineage:
    """Parse a lineage: of thousands of runs, most have one of a few."""
    return Lineage.from_json(json.loads(text))
