"""Reads one piece of data: planned from its metadata, checked, decoded into its final place."""

import copy
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Self, cast

import numpy as np

from strax_core.chunks import Chunk, Rows, stacked
from strax_core.codecs import Codec, Out, Segment, Selection, check_entry, codec_named
from strax_core.concurrency import in_order
from strax_core.errors import (
    ChunkError,
    ConfigError,
    DataCorrupted,
    DataNotAvailable,
    ObjectMissing,
    StorageError,
)
from strax_core.format import ChunkInfo, Metadata, read_metadata
from strax_core.loader.chunk_file import ChunkFile, read_segment, read_stored
from strax_core.loader.into_array import ArrayFiller
from strax_core.loader.report import ReadReport
from strax_core.loader.segments import Assembly, Reader, ReadOptions
from strax_core.medium import Medium
from strax_core.selection import WHOLE_ROWS, Scan

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
        scan: Scan = WHOLE_ROWS,
        executor: Executor | None = None,
        read_ahead_bytes: int = READ_AHEAD_BYTES,
        report: ReadReport | None = None,
    ) -> Generator[Chunk, None, None]:
        """Iterate over chunks in the order given, by default all in the order of time.

        Args:
            infos: entries of the metadata; None: all.
            scan: which rows and columns of them; no more is read than that needs.
            executor: threads that read some ahead; None: each is read when its turn comes.
            read_ahead_bytes: how much is read ahead, uncompressed; stored, it is never more than
                `reading.AHEAD_BYTES`. One segment always may be.
            report: counts what is read.
        """
        reader = self._reader(scan, ReadOptions(report=report or ReadReport()))
        infos = self.metadata.chunks if infos is None else infos
        jobs = (
            job for info in infos for job in self._assembly(reader, info).jobs(read_ahead_bytes)
        )
        with closing(in_order(jobs, executor)) as given:
            for assembled in given:
                assembly = assembled.assembly
                assembly.take(assembled)
                is_last = assembled.is_last
                del assembled  # its rows may be many
                if is_last:
                    chunk = [assembly.chunk.with_rows(stacked(assembly.rows()))]
                    del assembly
                    yield chunk.pop()  # not by way of a variable, which would keep the rows

    def read_chunk(self, info: ChunkInfo) -> Chunk:
        """Read one chunk, and check it: size, checksum, every invariant of chunks.

        Raises:
            DataCorrupted: it does not fit; the message names run, data type, place and chunk.
            DataNotAvailable: the data were replaced or removed meanwhile.
        """
        return next(self.chunks([info]))

    def check_chunk(self, info: ChunkInfo) -> None:
        """Read one chunk, as `read_chunk`, and compare all that its entry says of its rows.

        Raises:
            DataCorrupted: something does not fit.
        """
        chunk = self.read_chunk(info)
        with self._told(info):
            check_entry(info, chunk.data, self._codec().segments(info) if info.n else ())

    def read_all(self, *, executor: Executor | None = None) -> Rows:
        """Return all rows, decoded straight into one array."""
        options = ReadOptions(executor=executor)
        return cast("Rows", self.read(self.metadata.chunks, WHOLE_ROWS, options))

    def read(
        self,
        infos: Sequence[ChunkInfo],
        scan: Scan,
        options: ReadOptions,
        *,
        as_columns: bool = False,
        watch: Watch = iter,
    ) -> Out:
        """Return the wanted rows of these chunks in one array, or in one array for each column.

        What is wanted as a whole is decoded straight into its place. Only the edges of a time
        range go by way of small arrays.

        Args:
            infos: entries of the metadata.
            scan: which rows and columns; no more is read than that needs.
            options: in what.
            as_columns: give a contiguous array for each column.
            watch: is given the entries of the chunks as they are read, and passes them on.
        """
        threads = _threads(options.executor)
        reader = self._reader(scan, options)
        filling = ArrayFiller(
            reader, [self._assembly(reader, info) for info in infos], as_columns=as_columns
        )
        with closing(filling.chunks_done(threads)) as done:
            for _ in watch(done):
                pass
        return filling.out

    # Inside

    def _reader(self, scan: Scan, options: ReadOptions) -> Reader:
        codec, dtype = self._codec(), self.metadata.dtype

        def decode(info: ChunkInfo, segment: Segment, selection: Selection, out: Out) -> int:
            options.check_cancelled()

            def at(path: str) -> int:
                file = ChunkFile(self._medium, path, info, codec, dtype)
                return read_segment(file, segment, selection, out, options.report)

            return self._at_path(info, at)

        return Reader(codec, dtype, scan, decode=decode, told=self._told)

    def _assembly(self, reader: Reader, info: ChunkInfo) -> Assembly:
        with self._told(info):
            chunk = Chunk(
                start=info.start,
                end=info.end,
                data=np.empty(0, self.metadata.dtype),
                run_id=info.run_id,
                data_type=self.metadata.data_type,
                subruns=info.subruns,
            )
            return Assembly(reader, chunk, info)

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
        with self._told(info):
            return read_stored(self._medium, f"{self._backend_key}/{info.filename}", info)

    @contextmanager
    def _told(self, info: ChunkInfo) -> Iterator[None]:
        """Name run, data type, place and chunk in the errors of this block."""
        try:
            yield
        except ObjectMissing as error:
            self._check_still_there()
            raise DataCorrupted(
                f"{self._where(info)}: its file {info.filename} is missing; {WAY_OUT}"
            ) from error
        except (DataCorrupted, ChunkError) as error:
            raise DataCorrupted(f"{self._where(info)}: {error}; {WAY_OUT}") from error

    def _at_path(self, info: ChunkInfo, read: Callable[[str], int]) -> int:
        """Read the file of a chunk, wherever it lies."""
        return read(f"{self._backend_key}/{info.filename}")

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


def _threads(executor: Executor | None) -> ThreadPoolExecutor | None:
    if executor is None or isinstance(executor, ThreadPoolExecutor):
        return executor
    raise ConfigError(f"{type(executor).__name__} cannot fill an array of this process")
