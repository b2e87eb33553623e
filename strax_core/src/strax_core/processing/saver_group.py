"""Keeps one data type in several places at once while it is made."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from strax_core.chunks import Chunk, Rechunker
from strax_core.codecs import codec_named, encode_chunk
from strax_core.concurrency import InFlight, WorkSharing, n_workers
from strax_core.errors import DataExistsError
from strax_core.format import ChunkInfo
from strax_core.saver import Saver

_LOG = logging.getLogger("strax_core")


class SaverGroup:
    """Rechunks once, encodes once a codec, and pushes each chunk to all savers.

    A saver that fails is aborted and reported, the others go on; if none is left, that raises at
    once.

    Args:
        savers: open savers of one data type, in different places.
        target_bytes: size of stored chunks; None: as they come.
        executor: where encoding and writing run; None: here.
        in_flight: the writes under way of all keepers of a request, which share a budget, and are
            all cancelled if one keeper aborts: then the request has failed.
    """

    def __init__(
        self,
        savers: Sequence[Saver],
        *,
        target_bytes: int | None,
        executor: Executor | None,
        in_flight: InFlight,
    ) -> None:
        self._savers = list(savers)
        self._failures: dict[Saver, Exception] = {}
        self._aborted: set[Saver] = set()
        self._rechunker = None if target_bytes is None else Rechunker(target_bytes)
        self._executor = executor
        # A chunk is encoded by all threads: it may be the only one for a long time.
        self._crew = WorkSharing(executor, n_workers(executor) - 1)
        self._in_flight = in_flight
        self._chunk_i = 0

    def receive(self, chunk: Chunk) -> None:
        """Keep the next chunk; whoever calls this aborts the keeper if it raises."""
        self._push(self._rechunked(chunk))

    def note(self, receipts: Mapping[str, ChunkInfo | Exception]) -> None:
        """Take note of a chunk that was written elsewhere.

        A saver that fails is aborted only at the end: tasks under way may still write there.

        Args:
            receipts: by the savers' `write_id`, a receipt, or why there is none.
        """
        for saver in self._savers:
            receipt = receipts.get(saver.write_id)
            if isinstance(receipt, Exception):
                self._report(saver, receipt)
            elif receipt is not None and saver not in self._failures:
                saver.take(receipt)
        self._check_one_is_left()

    @property
    def given_up(self) -> frozenset[str]:
        """The `write_id` of those savers that failed."""
        return frozenset(saver.write_id for saver in self._failures)

    def finish(self) -> None:
        """Keep what is still held, and commit; that was the last chunk."""
        pieces = [] if self._rechunker is None else self._rechunker.flush()
        if self._in_flight.is_idle:
            self._executor = None  # run here: we would wait for the thread anyway
        self._push(pieces)
        self._in_flight.drain()
        self._commit()

    def abort(self, error: BaseException | None) -> None:
        """Discard everything that is not committed, for this reason; safe to call again."""
        self._in_flight.cancel()
        for saver in self._savers:
            self._abort(saver, self._failures.get(saver, error))

    def _rechunked(self, chunk: Chunk) -> list[Chunk]:
        if self._rechunker is None:
            return [chunk]
        held_before = self._rechunker.pending_bytes
        pieces = self._rechunker.receive(chunk)
        self._in_flight.budget.held_bytes += self._rechunker.pending_bytes - held_before
        return pieces

    def _push(self, pieces: list[Chunk]) -> None:
        # A method, so that no loop variable keeps the last piece until the next comes.
        for piece in pieces:
            self._push_one(piece)

    def _push_one(self, piece: Chunk) -> None:
        self._drop_failed()
        by_codec: dict[str, list[Saver]] = {}
        for saver in self._savers:
            if saver not in self._failures:
                by_codec.setdefault(saver.metadata.compressor, []).append(saver)
        for codec, savers in by_codec.items():
            if self._executor is None:
                self._write(piece, self._chunk_i, codec, savers)
                continue
            self._in_flight.make_room(piece.nbytes)
            task = self._executor.submit(self._write, piece, self._chunk_i, codec, savers)
            self._in_flight.add(task, piece.nbytes)
        self._chunk_i += 1

    def _write(self, piece: Chunk, chunk_i: int, codec: str, savers: Sequence[Saver]) -> None:
        """Runs in a thread: encode once, write to each place; a place's failure is its own."""
        try:
            encoded = encode_chunk(piece, codec_named(codec), run=self._crew)
        except Exception as error:  # noqa: BLE001 - those with another codec go on
            for saver in savers:
                self._report(saver, error)
            return
        for saver in savers:
            if saver not in self._failures:
                try:
                    saver.save_encoded(encoded, chunk_i, piece)
                except Exception as error:  # noqa: BLE001 - also what a storage plugin left untranslated
                    self._report(saver, error)

    def _commit(self) -> None:
        for saver in self._savers:
            if saver in self._failures:
                continue
            try:
                saver.commit()
            except DataExistsError as error:
                if saver.is_superseded():
                    # Someone else made the same data meanwhile: they are kept, which was the aim.
                    _LOG.info("%s", error)
                    saver.abort()
                else:
                    self._report(saver, error)
            except Exception as error:  # noqa: BLE001 - the places that come next are still to commit
                self._report(saver, error)
        self._drop_failed()

    def _drop_failed(self) -> None:
        """Abort the savers that failed since; raise if that leaves none."""
        if len(self._failures) == len(self._aborted):
            return
        self._in_flight.drain()  # so that no task writes where the abort tidies up
        for saver, error in list(self._failures.items()):
            self._abort(saver, error)
        self._check_one_is_left()

    def _check_one_is_left(self) -> None:
        if len(self._failures) == len(self._savers):
            raise next(iter(self._failures.values()))

    def _abort(self, saver: Saver, error: BaseException | None) -> None:
        if saver in self._aborted:
            return
        self._aborted.add(saver)
        try:
            saver.abort(error)
        except Exception:  # noqa: BLE001 - the first error is the one to tell; others are to abort too
            _LOG.exception("%r could not be aborted", saver)

    def _report(self, saver: Saver, error: Exception) -> None:
        is_first = self._failures.setdefault(saver, error) is error
        if is_first and len(self._savers) > 1:
            _LOG.warning("saving goes on without %r: %s", saver, error)
