"""Fills one array, or one for each column, with the wanted rows of many chunks."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from strax_core.chunks import Rows, put_rows
from strax_core.codecs import Out
from strax_core.concurrency import Job, in_order
from strax_core.format import ChunkInfo
from strax_core.loader.segments import Assembly, Decoded, Part, Reader

AT_LEAST = 2  # pieces under way, so that two cores have work where a piece is a whole large chunk


class ArrayFiller:
    """Fills final arrays: what is wanted as a whole is decoded straight into its place.

    The edges of a time range go by way of small arrays, so that their rows are counted before the
    final array is made.

    Args:
        reader: reads the pieces.
        assemblies: the chunks.
        as_columns: give an array for each column.
    """

    def __init__(self, reader: Reader, assemblies: Sequence[Assembly], *, as_columns: bool) -> None:
        self._reader = reader
        self._assemblies = assemblies
        self._as_columns = as_columns
        self.out: Out = {}
        """The wanted rows, once all chunks are done."""

    def chunks_done(self, threads: Executor | None) -> Generator[ChunkInfo, None, None]:
        """Do the work; iterate over the entries of the chunks as they are done.

        Args:
            threads: where pieces are read; None: here.
        """
        edges = self._edges(threads)
        n = sum(
            len(edges[id(piece)].rows) if piece.is_edge else piece.segment.n
            for assembly in self._assemblies
            for piece in assembly.pieces
        )
        self.out = _empty(n, self._reader.given_dtype, as_columns=self._as_columns)
        jobs = self._jobs(edges)
        with closing(in_order(jobs, threads, at_least=AT_LEAST, are_held=False)) as done:
            for assembly in self._assemblies:
                assembly.check([next(done) for _ in assembly.pieces])
                yield assembly.info

    def _edges(self, threads: Executor | None) -> dict[int, Part]:
        """Read the pieces of which not all rows may be wanted; by the `id` of the piece."""
        edges = [
            piece for assembly in self._assemblies for piece in assembly.pieces if piece.is_edge
        ]
        jobs = (Job(partial(self._reader.read_apart, piece), piece.share) for piece in edges)
        with closing(in_order(jobs, threads, at_least=AT_LEAST)) as parts:
            return dict(zip(map(id, edges), parts, strict=True))

    def _jobs(self, edges: dict[int, Part]) -> Iterator[Job[Decoded]]:
        at = 0
        for assembly in self._assemblies:
            for piece in assembly.pieces:
                if piece.is_edge:
                    part = edges.pop(id(piece))
                    end = at + len(part.rows)
                    work = partial(_put, part, _stretch(self.out, at, end))
                    del part
                    yield Job(work, 0)
                else:
                    end = at + piece.segment.n
                    out = _stretch(self.out, at, end)
                    yield Job(partial(self._reader.read_into, piece, out), piece.share)
                at = end


def _empty(n: int, dtype: np.dtype[Any], *, as_columns: bool) -> Out:
    if not as_columns:
        rows: Rows = np.empty(n, dtype)
        return rows
    return {name: np.empty(n, dtype[name]) for name in dtype.names or ()}


def _stretch(out: Out, start: int, end: int) -> Out:
    if isinstance(out, Mapping):
        return {name: column[start:end] for name, column in out.items()}
    return out[start:end]


def _put(part: Part, out: Out) -> Decoded:
    if isinstance(out, np.ndarray):
        put_rows(out, part.rows)
    else:
        for name in part.rows.dtype.names or ():
            out[name][...] = part.rows[name]
    return part.decoded
