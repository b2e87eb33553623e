"""Role 3: writes one piece of data to one place, then commits it, once and whole."""

import json
import logging
import operator
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from types import TracebackType
from typing import Any, ClassVar, Self

from strax_core.chunks import Chunk
from strax_core.codecs import EncodedChunk, codec_named, encode_chunk
from strax_core.concurrency import WaitGroup
from strax_core.errors import (
    ChunkError,
    ConfigError,
    DataExistsError,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
)
from strax_core.format import (
    FORMAT_VERSION,
    STRAX_VERSION,
    ChunkInfo,
    Metadata,
    Staging,
    chunk_name,
    encode_document,
    metadata_path,
    packed,
)
from strax_core.medium import Buffer, Medium
from strax_core.old_names import Renamed
from strax_core.saver.journal import Journal
from strax_core.saver.own_files import remove_failure_notes, remove_own_files, remove_writer
from strax_core.saver.receipts import ordered_receipts
from strax_core.saver.save_all import save_all

OVERWRITE = ("never", "if_broken", "always")
_LISTENERS = ("before_commit", "after_commit", "after_failure")
_LOG = logging.getLogger("strax_core")


class Saver(Renamed):
    """Guides the writing of one piece of data to one place.

    - ``with saver:`` commits when left normally, and aborts on any exception.
    - Nothing is visible before `commit`; the first of two writers wins, the other gets
      `DataExistsError`.
    - `save` may be called in any thread, and in other processes on a pickled copy; `commit` only
      where the saver was made.

    To override for another kind of place: `_write`, `_publish`, `_discard`.

    Args:
        medium: the place's byte verbs.
        backend_key: folder of this piece of data.
        metadata: what is known before the first chunk; ``run_id data_type data_kind dtype
            compressor lineage lineage_hash`` at least.
        overwrite: what may be replaced: ``never``: nothing, ``if_broken``: what nobody can read,
            ``always``: anything.
        grace_time_s: after how long a silent writer counts as dead.
    """

    _renamed: ClassVar[Mapping[str, str]] = {"is_beaten": "is_superseded"}

    def __init__(
        self,
        medium: Medium,
        backend_key: str,
        metadata: Mapping[str, Any],
        *,
        overwrite: str = "if_broken",
        grace_time_s: float = 3600.0,
    ) -> None:
        if overwrite not in OVERWRITE:
            raise ConfigError(
                f"overwrite is {overwrite!r}; it may be one of {', '.join(OVERWRITE)}"
            )
        self.medium = medium
        self.backend_key = backend_key
        self.overwrite = overwrite
        self.write_id = secrets.token_hex(8)
        self.staging = Staging(backend_key, self.write_id)
        storage = f"{type(medium).__module__}:{type(medium).__qualname__}"
        self._draft = {
            "data_id": secrets.token_hex(8),
            **metadata,
            "writer": {**metadata.get("writer", {}), "storage": storage},
            "format_version": FORMAT_VERSION,
            "strax_version": STRAX_VERSION,
            "write_id": self.write_id,
            "writing_started": time.time(),
        }
        self.metadata = Metadata(self._draft, place=f"{medium.place}/{backend_key}")
        self._dtype = packed(self.metadata.dtype)
        self._journal = Journal(medium, self.staging, grace_time_s=grace_time_s)
        self._receipts: list[ChunkInfo] = []
        self._lock = threading.Lock()
        self._writing = WaitGroup()
        self._is_closed = False
        self.before_commit: Callable[[Metadata], None] = _ignore
        """Called when all is written and nothing is visible; an error of it ends the commit."""
        self.after_commit: Callable[[Metadata], None] = _ignore
        """Called with the final metadata; a frontend that wants to know sets it. Must not raise."""
        self.after_failure: Callable[[BaseException], None] = _ignore

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_lock", "_writing", *_LISTENERS):
            del state[name]
        state["_receipts"] = []
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._writing = WaitGroup()
        self.before_commit = self.after_commit = self.after_failure = _ignore

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.backend_key} at {self.medium.place}>"

    def open(self) -> Self:
        """Write the ticket; from here on others can see that this writer is at work."""
        self._journal.open(
            {**self._draft, "backend_key": self.backend_key, "saver": type(self).__name__}
        )
        return self

    # To override

    def _write(self, name: str, buffers: Sequence[Buffer]) -> None:
        """Store a chunk's file where no reader looks yet."""
        raise NotImplementedError(f"{type(self).__name__} must override Saver._write")

    def _publish(self, metadata: Metadata) -> None:
        """Make all of it visible in one step; DataExistsError if someone else did first.

        StorageUnavailable means that the outcome is unknown: then nothing is discarded.
        """
        raise NotImplementedError(f"{type(self).__name__} must override Saver._publish")

    def _discard(self) -> None:
        """Remove all that this writer wrote, its ticket last."""
        raise NotImplementedError(f"{type(self).__name__} must override Saver._discard")

    @property
    def folder(self) -> str:
        """Folder of the files until the commit; override it if `_write` puts them elsewhere."""
        return self.backend_key

    def _file_name(self, chunk_i: int) -> str:
        """Return the name of a chunk's file, perhaps in the folder `write_id`.

        What is added to the plain name is one or more times `-` and 8 or more hexadecimal digits:
        by that `clean`, `remove` and who replaces the data know that a writer made the file.
        """
        name = chunk_name(self.backend_key, chunk_i)
        return name if self._journal.is_owner else f"{name}-{secrets.token_hex(4)}"

    def _check_sizes(self, infos: Sequence[ChunkInfo]) -> None:
        """Compare what lies there with the receipts, and remove what no receipt names."""

    # For those who save

    def save(self, chunk: Chunk, chunk_i: int) -> ChunkInfo:
        """Encode and write a chunk; its receipt is under 10 kB and goes to `commit`.

        Raises:
            ChunkError: the chunk is of another run, data type or dtype.
            StorageError: the place did not take it; nothing is visible, `abort` tidies up.
        """
        encoded = encode_chunk(chunk, codec_named(self.metadata.compressor))
        info = self.save_encoded(encoded, chunk_i, chunk)
        if not self._journal.is_owner:
            self._journal.record(info)
        return info

    def save_encoded(self, encoded: EncodedChunk, chunk_i: int, chunk: Chunk) -> ChunkInfo:
        """Write a chunk that was encoded already, in this saver's codec.

        Of what a copy in another process writes so, nobody hears but by the receipt: `take` it.
        """
        self._check_chunk(chunk)
        return self.save_stored(encoded, chunk_i)

    def save_stored(self, encoded: EncodedChunk, chunk_i: int) -> ChunkInfo:
        """Write a chunk as `save_encoded` does; who calls this knows that it is of these data."""
        with self._writing:
            if self._is_closed:
                raise StorageError(f"{self!r} is closed and takes no more chunks")
            self._journal.check_alive()
            info = replace(encoded.info, chunk_i=_checked_number(chunk_i))
            if info.n:
                info = replace(info, filename=self._file_name(chunk_i))
                self._write(str(info.filename), encoded.buffers)
            if self._journal.is_owner:
                self.take(info)
            return info

    def take(self, receipt: ChunkInfo) -> None:
        """Take note of a chunk that a copy in another process wrote."""
        with self._lock:
            self._receipts.append(receipt)
        self._journal.record(receipt)

    def resume(self) -> None:
        """Go on in a copy that has paused, if its owner kept the heartbeat meanwhile.

        Raises:
            StorageUnavailable: it has ended.
        """
        self._journal.resume()

    def commit(self, receipts: Iterable[ChunkInfo] | None = None) -> Metadata:
        """Check that all is there, and make it visible.

        Args:
            receipts: of chunks 0 to n - 1, each once; left out, those that this saver and its
                copies in other processes gave.

        Raises:
            DataExistsError: someone else was first, or may not be replaced.
            StorageUnavailable: the outcome is unknown; nothing is discarded, `clean` settles it.
            ChunkError, DataCorrupted: chunks are missing, do not abut, or their files are short.
        """
        if not self._journal.is_owner or self._is_closed:
            raise StorageError(
                f"{self!r} cannot commit: it is closed, or a copy in another process"
            )
        if receipts is None:
            receipts = [*self._receipts, *self._journal.receipts_of_others()]
        infos = ordered_receipts(receipts, where=self.metadata.place)
        self._check_sizes(infos)
        metadata = self._final_metadata(infos)
        self.before_commit(metadata)
        self._journal.check_alive()
        try:
            self._publish(metadata)
        except StorageUnavailable as error:
            self._is_closed = True
            self._journal.close()
            self.after_failure(error)
            raise
        self._is_closed = True
        self._journal.close()
        self._tidy()
        self.after_commit(metadata)
        return metadata

    def is_superseded(self) -> bool:
        """Say whether good data stand under the final name, so that nothing is missing."""
        try:
            published = self._published()
            if published is None or not published.is_complete or published.is_too_old:
                return False
            _ = published.lineage  # of what has none, nobody can say whether it is good
        except StorageError:
            return False
        return True

    def abort(self, error: BaseException | None = None) -> None:
        """Discard all; an error leaves a note of why, which is never found as data."""
        if self._is_closed or not self._journal.is_owner:
            return
        self._is_closed = True
        self._writing.wait_for_none()  # or a late write would lie where this tidied up
        self._journal.close()
        answers = self._tries(self._discard)
        if answers and isinstance(error, Exception) and not isinstance(error, DataExistsError):
            self._tries(lambda: self._leave_note(error))
        if error is not None:
            self.after_failure(error)

    def close(self) -> None:
        """Release everything; without a commit this aborts."""
        self.abort()

    def save_from(
        self, chunks: Iterable[Chunk], *, rechunk: bool = False, executor: Executor | None = None
    ) -> Metadata:
        """Save all chunks, in the executor if one is given, and commit; an error aborts."""
        with self:
            target_bytes = self.metadata.chunk_target_bytes if rechunk else None
            save_all(self.save, chunks, target_bytes=target_bytes, executor=executor)
            return self.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and not self._is_closed:
            try:
                self.commit()
            except BaseException as failure:
                self.abort(failure)
                raise
        self.abort(error)

    # Inside

    def _tries(self, step: Callable[[], None]) -> bool:
        """Do a part of tidying up, and say whether the place answers.

        An earlier error is the one to tell, and `clean` removes what is left.
        """
        try:
            step()
        except StorageError as failure:
            _LOG.warning(
                "%s: could not tidy up after a failed save: %s", self.metadata.place, failure
            )
            return not isinstance(failure, StorageUnavailable)
        return True

    def _check_chunk(self, chunk: Chunk) -> None:
        promised = (self.metadata.run_id, self.metadata.data_type)
        if (chunk.run_id, chunk.data_type) != promised:
            raise ChunkError(
                f"{self!r} was given a chunk of {chunk.data_type} of run {chunk.run_id}"
            )
        if packed(chunk.dtype) != self._dtype:
            raise ChunkError(f"{self!r} was given rows of {chunk.dtype}, not of {self._dtype}")

    def _final_metadata(self, infos: Sequence[ChunkInfo]) -> Metadata:
        document = {
            **self._draft,
            "chunks": [info.as_json() for info in infos],
            "start": infos[0].start,
            "end": infos[-1].end,
            "writing_ended": time.time(),
        }
        place = self.metadata.place
        # As a reader will find it; not indented, which takes Python far longer to write.
        return Metadata.parse(json.dumps(document).encode(), place=place)

    def _published(self) -> Metadata | None:
        """Read what has the final name; None if nothing has, DataCorrupted if it is unreadable."""
        raw = self._published_bytes()
        return None if raw is None else Metadata.parse(raw, place=self.metadata.place)

    def _published_bytes(self) -> bytes | None:
        try:
            return self.medium.read(metadata_path(self.backend_key))
        except ObjectMissing:
            return None

    def _tidy(self) -> None:
        """After the commit: remove notes of earlier failures, then the ticket."""
        try:
            remove_failure_notes(self.medium, self.staging)
            self._remove_ticket()
        except StorageError as error:
            _LOG.warning("%s: committed, but its ticket stays: %s", self.metadata.place, error)

    def _remove_own(self, folder: str, *, keep: Collection[str] = ()) -> None:
        """Remove from a folder what writers of these data make; if it is empty then, it goes.

        Files named in `keep` stay.
        """
        remove_own_files(self.medium, self.backend_key, folder, keep=keep)

    def _remove_ticket(self) -> None:
        """Remove what this writing has in staging, its ticket last; what others put there stays."""
        remove_writer(self.medium, self.staging)

    def _leave_note(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        note = {
            **self._draft,
            "chunks": [],
            "exception": text,
            "reason": f"{type(error).__name__}: {error}",  # notes stand after it in the text
            "writing_ended": time.time(),
        }
        self.medium.write(self.staging.failure_note, [encode_document(note)])


def _ignore(_: object) -> None:
    """Nobody listens."""


def _checked_number(chunk_i: int) -> int:
    number = operator.index(chunk_i)
    if number < 0:
        raise ChunkError(f"chunks are counted from 0, not from {number}")
    return number
