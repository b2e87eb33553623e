"""Reads data that are still being written, or whose writer died: as far as they are there."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from strax_core.errors import (
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    ObjectMissing,
    StorageError,
)
from strax_core.format import TEMPORARY, ChunkInfo, Metadata, Staging, metadata_path, read_metadata
from strax_core.loader import Loader
from strax_core.medium import Medium
from strax_core.saver import is_there, read_json, read_ticket, receipts_in, writings_of

_NOT_YET_TRUE = ("writing_ended", "start", "end", "backend_key", "saver")
"""Fields to drop: copied from the source, or needed by the writer only."""

_LOG = logging.getLogger("strax_core")


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A piece of data as far as it is written."""

    metadata: Metadata
    folder: str
    """Folder of its chunks until they are committed."""


def find_unfinished(medium: Medium, backend_key: str) -> Unfinished | None:
    """Return what writers of this piece of data have written so far: of several, the most chunks.

    Only chunks that follow one another from the first on count; a writer that has none yet does
    not. What cannot be read is logged, and no error.

    Args:
        medium: where to look.
        backend_key: the final folder, in which nothing complete was found.
    """
    readers: list[Callable[[], Unfinished]] = [
        lambda: _of_temporary(medium, f"{backend_key}{TEMPORARY}")
    ]
    try:
        writings = writings_of(medium, backend_key)
    except StorageError as error:
        _LOG.warning("%s: who writes %s is not known: %s", medium.place, backend_key, error)
        writings = []
    readers += [partial(_of_ticket, medium, staging) for staging in writings]
    found: list[Unfinished] = []
    for read in readers:
        try:
            found.append(read())
        except DataNotAvailable as error:
            _LOG.debug("%s", error)
        except StorageError as error:
            _LOG.warning("unfinished data are left out: %s", error)
    return max(found, key=lambda each: len(each.metadata.chunks), default=None)


def _of_ticket(medium: Medium, staging: Staging) -> Unfinished:
    ticket = read_ticket(medium, staging)
    if ticket.document.get("backend_key") != staging.backend_key:
        raise DataNotAvailable(f"{medium.place}/{staging.folder}: is of other data, or has ended")
    folder = staging.data if ticket.has_chunks_inside else staging.backend_key
    document = {**ticket.document, "write_id": staging.write_id}
    return _so_far(document, ticket.infos, medium, folder)


def _of_temporary(medium: Medium, folder: str) -> Unfinished:
    """What strax has written so far: it rewrites the metadata in place, so they may be cut off."""
    document = read_json(medium, metadata_path(folder))
    place = f"{medium.place}/{folder}"
    if not document or "exception" in document:
        raise DataNotAvailable(f"{place}: has no metadata of a writing that goes on")
    infos = list(receipts_in(document, place=place))
    names = {entry.name for entry in medium.list(folder)}
    for name in sorted(names):
        # From the several processes of a forked saver, one document a chunk.
        if name.startswith("metadata_") and name.endswith(".json"):
            entry = read_json(medium, f"{folder}/{name}")
            infos += receipts_in({"chunks": [entry]}, place=place)
    # A chunk is listed before its file is there, if an executor writes it.
    there = [info for info in infos if info.filename is None or info.filename in names]
    return _so_far(document, there, medium, folder)


def _so_far(
    document: Mapping[str, Any], infos: Iterable[ChunkInfo], medium: Medium, folder: str
) -> Unfinished:
    """Return metadata with the chunks that follow one another from the first on."""
    place = f"{medium.place}/{folder}"
    by_number = {info.chunk_i: info for info in infos}
    following: list[ChunkInfo] = []
    while (info := by_number.get(len(following))) is not None:
        if following and following[-1].end != info.start:
            break
        following.append(info)
    if not following:
        raise DataNotAvailable(f"{place}: no chunk is written yet")
    known = {name: value for name, value in document.items() if name not in _NOT_YET_TRUE}
    raw = json.dumps({**known, "chunks": [info.as_json() for info in following]}).encode()
    metadata = Metadata.parse(raw, place=place)
    _ = metadata.chunks  # checked before anyone relies on it
    return Unfinished(metadata=metadata, folder=folder)


class LiveLoader(Loader):
    """Loads what was written of a piece of data when it was found.

    If its files vanish meanwhile, it goes on in the data that their writer committed.

    Args:
        medium: where the data lie.
        backend_key: the final folder.
        metadata: as far as they were written.
        folder: where the chunks lie until they are committed.
    """

    def __init__(
        self, medium: Medium, backend_key: str, metadata: Metadata, *, folder: str
    ) -> None:
        super().__init__(medium, backend_key, metadata)
        self._folder = folder
        self._committed: Metadata | None = None

    def _check_state(self) -> None:
        """Unfinished is what they are."""

    def _at_path(self, info: ChunkInfo, read: Callable[[str], int]) -> int:
        if self._committed is None:
            try:
                return read(f"{self._folder}/{info.filename}")
            except ObjectMissing as error:
                return read(self._new_path(info, error))
        return read(self._new_path(info))

    def _new_path(self, info: ChunkInfo, missing: ObjectMissing | None = None) -> str:
        """Return where the commit has put a chunk.

        Raises:
            DataNotAvailable: its writer gave up, or what it committed was replaced or removed.
        """
        if self._committed is None:
            self._committed = self._find_committed()
        for final in () if self._committed is None else self._committed.chunks:
            if _span(final) == _span(info):
                return f"{self._backend_key}/{final.filename}"
        # Data that replace others move into a sub-folder before the metadata say so.
        moved = f"{self._backend_key}/{self.metadata.write_id}/{info.filename}"
        if self.metadata.write_id is not None and is_there(self._medium, moved):
            return moved
        raise DataNotAvailable(
            f"{self._where(info)}: the unfinished data are gone: their writer gave up, or what it "
            "committed was removed or replaced; ask again"
        ) from missing

    def _find_committed(self) -> Metadata | None:
        """Read what is complete by now, if it is of the same writing.

        strax notes no id of a writing: there the chunks are compared.
        """
        try:
            metadata = read_metadata(self._medium, self._backend_key)
        except (ObjectMissing, DataCorrupted, NewerFormat):
            return None
        is_ours = metadata.is_complete and metadata.write_id == self.metadata.write_id
        return metadata if is_ours else None


def _span(info: ChunkInfo) -> tuple[int, int, int, int]:
    return info.chunk_i, info.start, info.end, info.n
