"""Keeps one data type in several places at once while it is made."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future

from strax_core.chunk_io import encode_chunk
from strax_core.chunks import Chunk
from strax_core.codecs import codec_named
from strax_core.errors import DataExistsError, StorageError
from strax_core.rechunk import Rechunker
from strax_core.saver import Saver
from strax_core.saving import InFlight

_LOG = logging.getLogger("strax_core")


class Keeper:
    """Rechunks once, encodes once a codec, and pushes each chunk to all savers.

    A saver that fails is aborted and reported, the others go on; when none is left, that raises at once.

    Args:
        savers: open savers of one data type, in different places.
        target_bytes: size of stored chunks; None: as they come.
        executor: where encoding and writing run; None: here.
        in_flight_bytes: how many bytes of rows may be on their way.
    """

    def __init__(
        self,
        savers: Sequence[Saver],
        *,
        target_bytes: int | None,
        executor: Executor | None,
        in_flight_bytes: int,
    ) -> None:
        self._savers = list(savers)
        self._failures: dict[Saver, BaseException] = {}
        self._rechunker = None if target_bytes is None else Rechunker(target_bytes)
        self._executor = executor
        self._in_flight = InFlight(in_flight_bytes)
        self._chunk_i = 0

    def keeping(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Pass chunks through while they are kept; the end commits, anything else aborts."""
        try:
            for chunk in chunks:
                for piece in [chunk] if self._rechunker is None else self._rechunker.receive(chunk):
                    self._push(piece)
                yield chunk
            for piece in [] if self._rechunker is None else self._rechunker.flush():
                self._push(piece)
            self._in_flight.drain()
            self._commit()
        except BaseException as error:
            self.abort(error)
            raise

    def abort(self, error: BaseException) -> None:
        """Discard everything that is not committed; safe to call again."""
        self._in_flight.cancel()
        for saver in self._savers:
            saver.abort(self._failures.get(saver, error))

    def _push(self, piece: Chunk) -> None:
        self._raise_if_all_failed()
        by_codec: dict[str, list[Saver]] = {}
        for saver in self._savers:
            if saver not in self._failures:
                by_codec.setdefault(saver.metadata.compressor, []).append(saver)
        for codec, savers in by_codec.items():
            if self._executor is None:
                self._write(piece, self._chunk_i, codec, savers)
                continue
            self._in_flight.make_room(piece.nbytes)
            task: Future[None] = self._executor.submit(
                self._write, piece, self._chunk_i, codec, savers
            )
            self._in_flight.add(task, piece.nbytes)
        self._chunk_i += 1

    def _write(self, piece: Chunk, chunk_i: int, codec: str, savers: Sequence[Saver]) -> None:
        """Runs in a thread: encode once, write to each place; a place's failure is its own."""
        encoded = encode_chunk(piece, codec_named(codec))
        for saver in savers:
            if saver not in self._failures:
                try:
                    saver.save_encoded(encoded, chunk_i, piece)
                except StorageError as error:
                    self._report(saver, error)

    def _commit(self) -> None:
        for saver in self._savers:
            if saver in self._failures:
                continue
            try:
                saver.commit()
            except DataExistsError as error:
                # Someone else made the same data meanwhile: they are kept, which is what was wanted.
                _LOG.info("%s", error)
                saver.abort()
            except StorageError as error:
                self._report(saver, error)
        for saver, error in self._failures.items():
            saver.abort(error)
        self._raise_if_all_failed()

    def _report(self, saver: Saver, error: StorageError) -> None:
        self._failures[saver] = error
        if len(self._savers) > 1:
            _LOG.warning("saving goes on without %r: %s", saver, error)

    def _raise_if_all_failed(self) -> None:
        if self._savers and len(self._failures) == len(self._savers):
            raise next(iter(self._failures.values()))
