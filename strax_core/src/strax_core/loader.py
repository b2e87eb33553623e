"""Reads one piece of data: planned from its metadata, checked, decoded into its final place."""

import copy
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Self

import numpy as np

from strax_core.chunk_info import ChunkInfo
from strax_core.chunk_io import read_rows, read_stored
from strax_core.chunks import Chunk, Rows
from strax_core.codecs import Codec, codec_named
from strax_core.errors import (
    ChunkError,
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ObjectMissing,
    StorageError,
)
from strax_core.medium import Medium
from strax_core.metadata import Metadata, read_metadata
from strax_core.tasks import end_all

Watch = Callable[[Iterator[ChunkInfo]], Iterator[ChunkInfo]]
READ_AHEAD_BYTES = 64 << 20
WAY_OUT = "if no other copy is left, Context.make(…, again=True) makes and replaces it"


class Loader:
    """Loads one piece of data. It pickles, so its `read_chunk` can run in another process.

    Raises:
        DataNotAvailable: the writing failed or has not ended, or strax was too old.
        DataCorrupted: the metadata cannot be true.
    """

    def __init__(self, medium: Medium, backend_key: str, metadata: Metadata) -> None:
        self._medium = medium
        self._backend_key = backend_key
        self.metadata = metadata
        self._check_state()
        for before, after in zip(metadata.chunks, metadata.chunks[1:], strict=False):
            if before.end != after.start:
                raise DataCorrupted(
                    f"{metadata.place}: chunk {after.chunk_i} starts at {after.start}, "
                    f"the one before ends at {before.end}"
                )

    def without_chunks(self) -> Self:
        """Return a small copy for `read_chunk`, which knows no chunks itself."""
        small = copy.copy(self)
        small.metadata = Metadata({**self.metadata, "chunks": []}, place=self.metadata.place)
        return small

    def _check_state(self) -> None:
        self.metadata.check_loadable()

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    def chunks(
        self,
        infos: Sequence[ChunkInfo] | None = None,
        *,
        executor: Executor | None = None,
        read_ahead_bytes: int = READ_AHEAD_BYTES,
    ) -> Generator[Chunk, None, None]:
        """Iterate over chunks in the order given, by default all in the order of time.

        Args:
            infos: entries of the metadata; None: all.
            executor: reads some ahead; None: each is read when its turn comes.
            read_ahead_bytes: how much is read ahead, uncompressed.
        """
        infos = self.metadata.chunks if infos is None else infos
        if executor is None:
            for info in infos:
                yield self.read_chunk(info)
            return
        waiting: deque[tuple[Future[Chunk], int]] = deque()
        ahead_bytes = 0
        try:
            for info in infos:
                while waiting and ahead_bytes + info.nbytes > read_ahead_bytes:
                    ahead_bytes -= waiting[0][1]
                    wait([waiting[0][0]])  # before it is off the list: this may be interrupted
                    # Not by way of a variable, which would keep the rows until the next are read.
                    yield waiting.popleft()[0].result()
                waiting.append((executor.submit(self.read_chunk, info), info.nbytes))
                ahead_bytes += info.nbytes
            while waiting:
                wait([waiting[0][0]])
                yield waiting.popleft()[0].result()
        finally:
            end_all(task for task, _ in waiting)

    def read_chunk(self, info: ChunkInfo) -> Chunk:
        """Read one chunk, and check it: size, checksum, every law of chunks.

        Raises:
            DataCorrupted: it does not fit; the message names run, data type, place and chunk.
            DataNotAvailable: the data were replaced or removed meanwhile.
        """
        rows: Rows = np.empty(info.n, self.metadata.dtype)
        return self._read_into(info, rows, self._codec())

    def read_all(self, *, executor: Executor | None = None, watch: Watch = iter) -> Rows:
        """Return all rows, decoded straight into one array; only threads can share it.

        Args:
            executor: threads to read in; None: one chunk after the other, here.
            watch: is given the entries of the chunks as they are read, and passes them on.
        """
        if executor is not None and not isinstance(executor, ThreadPoolExecutor):
            raise ConfigError(f"{type(executor).__name__} cannot fill an array of this process")
        out: Rows = np.empty(sum(info.n for info in self.metadata.chunks), self.metadata.dtype)
        for _ in watch(self._filled(out, executor)):
            pass
        return out

    def _filled(self, out: Rows, executor: Executor | None) -> Generator[ChunkInfo, None, None]:
        codec = self._codec()
        tasks: list[tuple[ChunkInfo, Future[Chunk]]] = []
        at = 0
        try:
            for info in self.metadata.chunks:
                part = out[at : at + info.n]
                at += info.n
                if executor is None:
                    self._read_into(info, part, codec)
                    yield info
                else:
                    tasks.append((info, executor.submit(self._read_into, info, part, codec)))
            for info, task in tasks:
                task.result()
                yield info
        finally:
            end_all(task for _, task in tasks)

    def _codec(self) -> Codec:
        try:
            return codec_named(self.metadata.compressor)
        except StorageError as error:
            raise type(error)(
                f"{self.metadata.place} is stored with the codec {self.metadata.compressor!r}, "
                f"which is not here: {error}"
            ) from error

    def read_stored(self, info: ChunkInfo) -> bytes:
        """Return the file of a chunk that has one, as it is stored; errors as `read_chunk`.

        Its size and checksum are compared, as far as the metadata say them.
        """
        with self._explained(info):
            return read_stored(self._medium, f"{self._backend_key}/{info.filename}", info)

    def _read_into(self, info: ChunkInfo, out: Rows, codec: Codec) -> Chunk:
        with self._explained(info):
            if info.n:
                self._read_file(info, out, codec)
            return Chunk(
                start=info.start,
                end=info.end,
                data=out,
                run_id=info.run_id,
                data_type=self.metadata.data_type,
                subruns=info.subruns,
            )

    @contextmanager
    def _explained(self, info: ChunkInfo) -> Iterator[None]:
        """Turn what goes wrong with a chunk into errors that name it, and the way out."""
        try:
            yield
        except ObjectMissing as error:
            self._check_still_there()
            raise DataCorrupted(
                f"{self._where(info)}: its file {info.filename} is missing; {WAY_OUT}"
            ) from error
        except (DataCorrupted, ChunkError) as error:
            raise DataCorrupted(f"{self._where(info)}: {error}; {WAY_OUT}") from error

    def _read_file(self, info: ChunkInfo, out: Rows, codec: Codec) -> None:
        read_rows(self._medium, f"{self._backend_key}/{info.filename}", info, codec, out)

    def _where(self, info: ChunkInfo) -> str:
        metadata = self.metadata
        return (
            f"{metadata.place}: run {metadata.run_id}, {metadata.data_type}, chunk {info.chunk_i}"
        )

    def _check_still_there(self) -> None:
        """A chunk is missing: is it damage, or did someone replace or remove the data meanwhile?"""
        try:
            write_id = read_metadata(self._medium, self._backend_key).write_id
        except ObjectMissing as error:
            raise DataNotAvailable(
                f"{self.metadata.place}: the data were removed while they were read"
            ) from error
        except StorageError:
            return
        if write_id != self.metadata.write_id:
            raise DataNotAvailable(
                f"{self.metadata.place}: the data were replaced while they were read; ask again"
            )
