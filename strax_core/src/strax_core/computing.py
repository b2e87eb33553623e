"""Chunks through a data plugin: what goes in, what must come out."""

import inspect
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from strax_core.chunks import Chunk, check_continuity
from strax_core.errors import ChunkError, PluginGaveWrongOutput, StorageUnavailable
from strax_core.metadata import packed
from strax_core.plugin import Plugin, dependencies, provided, source_chunks
from strax_core.synchronise import Synchroniser, merge_columns

SOURCE_PAUSE_S = 0.05  # between two questions to a source that is not ready


def computed(instance: Plugin, inputs: Mapping[str, Iterator[Chunk]]) -> Iterator[Chunk]:
    """Iterate over the chunks that a data plugin makes from its inputs, by data type.

    Raises:
        PluginGaveWrongOutput: another dtype than promised, rows out of order or outside their chunk,
            chunks that do not abut, or no chunk at all.
    """
    instance.setup()
    end: int | None = None
    for chunk in _made(instance, inputs):
        try:
            end = check_continuity(end, chunk)
        except ChunkError as error:
            raise PluginGaveWrongOutput(f"{_who(instance)}: {error}") from error
        yield chunk
    if end is None:
        raise PluginGaveWrongOutput(
            f"{_who(instance)} gave no chunk; a run without rows is one chunk without rows"
        )


def _made(instance: Plugin, inputs: Mapping[str, Iterator[Chunk]]) -> Iterator[Chunk]:
    if inputs:
        for chunk_i, chunks in enumerate(Synchroniser(inputs)):
            yield _step(instance, chunks, chunk_i)
        return
    given = source_chunks(instance)
    for chunk in _asked(instance) if given is None else given:
        yield _checked_source(instance, chunk)


def _asked(instance: Plugin) -> Iterator[Any]:
    """Ask a source for chunk after chunk, until it says that it has finished."""
    chunk_i = 0
    while True:
        asked_since = time.monotonic()
        while not instance.is_ready(chunk_i):
            if instance.source_finished():
                return
            if time.monotonic() - asked_since > instance.input_timeout:
                raise StorageUnavailable(
                    f"{_who(instance)}: chunk {chunk_i} did not come within {instance.input_timeout:g} s"
                )
            time.sleep(SOURCE_PAUSE_S)
        yield instance.compute(chunk_i=chunk_i)
        chunk_i += 1


def _step(instance: Plugin, chunks: Mapping[str, Chunk], chunk_i: int) -> Chunk:
    first = next(iter(chunks.values()))
    by_kind: dict[str, dict[str, Chunk]] = {}
    for data_type, chunk in chunks.items():
        by_kind.setdefault(instance.deps[data_type].data_kind, {})[data_type] = chunk
    arguments: dict[str, Any] = {
        kind: merge_columns(same, kind=kind) for kind, same in by_kind.items()
    }
    extra = {"chunk_i": chunk_i, "start": first.start, "end": first.end}
    takes = inspect.signature(instance.compute).parameters
    arguments.update({name: value for name, value in extra.items() if name in takes})
    try:
        result = instance.compute(**arguments)
    except Exception as error:
        error.add_note(
            f"in {_who(instance)}, chunk {chunk_i}, [{first.start}, {first.end}) ns, "
            f"from {', '.join(dependencies(type(instance)))}"
        )
        raise
    rows = _rows(instance, result)
    try:
        return instance.chunk(start=first.start, end=first.end, data=rows)
    except ChunkError as error:
        raise PluginGaveWrongOutput(f"{_who(instance)}: {error}") from error


def _checked_source(instance: Plugin, chunk: Any) -> Chunk:
    if not isinstance(chunk, Chunk):
        raise PluginGaveWrongOutput(
            f"{_who(instance)} is a source and gave {type(chunk).__name__}; return self.chunk(…)"
        )
    if (chunk.run_id, chunk.data_type) != (instance.run_id, provided(type(instance))):
        raise PluginGaveWrongOutput(f"{_who(instance)} gave {chunk!r}")
    _rows(instance, chunk.data)
    return chunk


def _rows(instance: Plugin, result: Any) -> np.ndarray[Any, Any]:
    """Check the dtype; a dictionary of columns becomes rows, as in strax."""
    if isinstance(result, dict):
        result = _from_columns(instance, result)
    if not isinstance(result, np.ndarray):
        raise PluginGaveWrongOutput(f"{_who(instance)} gave {type(result).__name__}, not an array")
    if packed(result.dtype) != instance.dtype:
        raise PluginGaveWrongOutput(
            f"{_who(instance)} promised rows of {instance.dtype}, and gave {result.dtype}"
        )
    return result


def _from_columns(instance: Plugin, columns: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    names = instance.dtype.names
    if set(columns) != set(names):
        raise PluginGaveWrongOutput(
            f"{_who(instance)} promised the columns {', '.join(names)}, and gave {', '.join(columns)}"
        )
    try:
        rows = np.zeros(len(columns["time"]), dtype=instance.dtype)
        for name in names:
            rows[name] = columns[name]
    except (ValueError, TypeError) as error:
        raise PluginGaveWrongOutput(
            f"{_who(instance)}: its columns do not make rows: {error}"
        ) from error
    return rows


def _who(instance: Plugin) -> str:
    return f"data plugin {type(instance).__name__} ({provided(type(instance))} of run {instance.run_id})"
