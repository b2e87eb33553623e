"""Several inputs of one data plugin, cut so that each step has the same stretch of time of all."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from strax_core.chunks import Chunk, concatenate, endtime_of
from strax_core.errors import ChunkError


class Synchroniser:
    """Iterates over aligned chunks of several data types.

    Cuts fall only where no row of any input is cut; nothing is read further ahead than that needs.
    """

    def __init__(self, inputs: Mapping[str, Iterator[Chunk]]) -> None:
        self._inputs = dict(inputs)
        self._waiting: dict[str, Chunk] = {}

    def __iter__(self) -> Iterator[dict[str, Chunk]]:
        for name in self._inputs:
            if not self._fetch(name):
                raise ChunkError(f"the input {name} has no chunks")
        while True:
            end = self._common_end()
            start = next(iter(self._waiting.values())).start
            if end > start or all(chunk.end == start for chunk in self._waiting.values()):
                yield self._take(end)
                if not self._refill():
                    return
            elif not any([self._fetch(name) for name in self._shortest()]):
                raise ChunkError(f"the inputs {self._described()} do not end at the same time")

    def _common_end(self) -> int:
        """The latest time at which every waiting chunk may be cut."""
        end = min(chunk.end for chunk in self._waiting.values())
        while True:
            earlier = min(latest_cut(chunk, end) for chunk in self._waiting.values())
            if earlier == end:
                return end
            end = earlier

    def _take(self, end: int) -> dict[str, Chunk]:
        taken = {}
        for name, chunk in self._waiting.items():
            if chunk.end == end:
                taken[name], self._waiting[name] = chunk, chunk.split(end)[1]
            else:
                taken[name], self._waiting[name] = chunk.split(end)
        return taken

    def _refill(self) -> bool:
        """Fetch for each input that is used up; False when all inputs are."""
        used_up = [name for name, chunk in self._waiting.items() if chunk.end == chunk.start]
        fetched = [self._fetch(name) for name in used_up]
        if len(used_up) == len(self._waiting) and not any(fetched):
            return False
        missing = [name for name, got in zip(used_up, fetched, strict=True) if not got]
        if missing:
            raise ChunkError(f"the inputs {self._described()} do not end at the same time")
        return True

    def _shortest(self) -> list[str]:
        end = min(chunk.end for chunk in self._waiting.values())
        return [name for name, chunk in self._waiting.items() if chunk.end == end]

    def _fetch(self, name: str) -> bool:
        chunk = next(self._inputs[name], None)
        if chunk is None:
            return False
        waiting = self._waiting.get(name)
        is_used_up = waiting is None or (waiting.start == waiting.end and not waiting.n)
        self._waiting[name] = (
            chunk if is_used_up or waiting is None else concatenate([waiting, chunk])
        )
        return True

    def _described(self) -> str:
        return ", ".join(f"{name} (at {chunk.end})" for name, chunk in self._waiting.items())


def latest_cut(chunk: Chunk, at_ns: int) -> int:
    """Return the latest time up to `at_ns` at which no row of the chunk is cut."""
    if not chunk.n:
        return at_ns
    times = np.asarray(chunk.data["time"], dtype=np.int64)
    ends = endtime_of(chunk.data)
    while True:
        cut = np.flatnonzero((times < at_ns) & (ends > at_ns))
        if not len(cut):
            return at_ns
        at_ns = int(times[cut[0]])


def merge_columns(chunks: Mapping[str, Chunk], *, kind: str) -> np.ndarray[Any, Any]:
    """Return one array with the columns of several data types of one kind; the first one's win.

    Raises:
        ChunkError: they do not have the same rows.
    """
    parts = [chunk.data for chunk in chunks.values()]
    first = parts[0]
    for name, rows in zip(chunks, parts, strict=True):
        if len(rows) != len(first) or not np.array_equal(rows["time"], first["time"]):
            raise ChunkError(
                f"{name} and {next(iter(chunks))} are of the kind {kind}, but do not have the same rows"
            )
    if len(parts) == 1:
        return first
    fields: dict[str, tuple[Any, np.ndarray[Any, Any]]] = {}
    for rows in parts:
        for field in rows.dtype.names or ():
            if field not in fields:
                fields[field] = (_described_field(rows.dtype, field), rows[field])
    merged = np.empty(len(first), dtype=[described for described, _ in fields.values()])
    for field, (_, values) in fields.items():
        merged[field] = values
    return merged


def _described_field(dtype: np.dtype[Any], name: str) -> tuple[Any, np.dtype[Any]]:
    field = dtype.fields[name]  # type: ignore[index]
    title = field[2] if len(field) > 2 else None  # noqa: PLR2004 - numpy's (dtype, offset[, title])
    return ((title, name) if title is not None else name, field[0])
