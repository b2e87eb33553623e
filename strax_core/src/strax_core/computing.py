"""Chunks through a data plugin: what goes in, what must come out."""

import inspect
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from strax_core.chunks import Chunk, check_continuity
from strax_core.errors import ChunkError, PluginGaveWrongOutput, StorageUnavailable
from strax_core.metadata import packed
from strax_core.plugin import Plugin, provided, read_only
from strax_core.synchronise import Synchroniser, merge_columns

SOURCE_PAUSE_S = 0.05  # between two questions to a source that is not ready


def computed(
    instance: Plugin, inputs: Mapping[str, Iterator[Chunk]]
) -> Generator[Chunk, None, None]:
    """Iterate over the chunks that a data plugin makes from its inputs, by data type.

    The rows that it is given are read-only: others read them at the same time. What it raises is
    passed on as it is, with a note of where it happened.

    Raises:
        PluginGaveWrongOutput: another dtype than promised, rows out of order or outside their
            chunk, chunks that do not abut, or no chunk at all.
    """
    with _noted(instance, "setup"):
        instance.setup()
    end: int | None = None
    with closing(_made(instance, inputs) if inputs else _given(instance)) as made:
        for chunk in made:
            with _promised(instance):
                end = check_continuity(end, chunk)
            yield chunk
    if end is None:
        raise PluginGaveWrongOutput(
            f"{who(instance)} gave no chunk; a run without rows is one chunk without rows"
        )


def who(instance: Plugin) -> str:
    """Return the data plugin's name, data type and run, for messages."""
    data_type = provided(type(instance))
    return f"data plugin {type(instance).__name__} ({data_type} of run {instance.run_id})"


def _made(instance: Plugin, inputs: Mapping[str, Iterator[Chunk]]) -> Generator[Chunk, None, None]:
    takes = inspect.signature(instance.compute).parameters
    for chunk_i, chunks in enumerate(Synchroniser(inputs, who=who(instance))):
        yield _step(instance, chunks, {"chunk_i": chunk_i}, takes)


def _step(
    instance: Plugin,
    chunks: Mapping[str, Chunk],
    extra: Mapping[str, int],
    takes: Mapping[str, Any],
) -> Chunk:
    first = next(iter(chunks.values()))
    by_kind: dict[str, dict[str, Chunk]] = {}
    for data_type, chunk in chunks.items():
        by_kind.setdefault(instance.deps[data_type].data_kind, {})[data_type] = chunk
    with _noted(instance, f"[{first.start}, {first.end}) ns of {', '.join(chunks)}"):
        arguments: dict[str, Any] = {
            kind: read_only(merge_columns(same, kind=kind)) for kind, same in by_kind.items()
        }
        extra = {**extra, "start": first.start, "end": first.end}
        arguments.update({name: value for name, value in extra.items() if name in takes})
        result = instance.compute(**arguments)
    rows = _rows(instance, result)
    with _promised(instance):
        return instance.chunk(start=first.start, end=first.end, data=rows)


def _given(instance: Plugin) -> Generator[Chunk, None, None]:
    """What a source gives: by its generator, or asked for one by one."""
    chunks = getattr(instance, "chunks", None)
    with (
        _noted(instance, "chunks" if chunks else "compute"),
        # Closed at once if it is left half-way, so that a source lets go of what it holds.
        closing(_iterated(instance, chunks()) if chunks else _asked(instance)) as given,
    ):
        for chunk in given:
            yield _checked_source(instance, chunk)


def _iterated(instance: Plugin, chunks: Any) -> Generator[Any, None, None]:
    try:
        given = iter(chunks)
    except TypeError as error:
        raise PluginGaveWrongOutput(
            f"{who(instance)}: chunks() gave {type(chunks).__name__}; write it as a generator"
        ) from error
    yield from given


def _asked(instance: Plugin) -> Generator[Any, None, None]:
    """Ask a source for chunk after chunk, until it says that it has finished."""
    takes_number = "chunk_i" in inspect.signature(instance.compute).parameters
    chunk_i = 0
    while _comes(instance, chunk_i):
        yield instance.compute(**({"chunk_i": chunk_i} if takes_number else {}))
        chunk_i += 1


def _comes(instance: Plugin, chunk_i: int) -> bool:
    """Wait for a chunk of a source; False if there will be none."""
    asked_since = time.monotonic()
    while not instance.is_ready(chunk_i):
        if instance.source_finished():
            return instance.is_ready(chunk_i)  # it may have come between the two questions
        if time.monotonic() - asked_since > instance.input_timeout:
            raise StorageUnavailable(
                f"{who(instance)}: chunk {chunk_i} did not come within {instance.input_timeout:g} s"
            )
        time.sleep(SOURCE_PAUSE_S)
    return True


def _checked_source(instance: Plugin, chunk: Any) -> Chunk:
    if not isinstance(chunk, Chunk):
        raise PluginGaveWrongOutput(
            f"{who(instance)} is a source and gave {type(chunk).__name__}; return self.chunk(…)"
        )
    if (chunk.run_id, chunk.data_type) != (instance.run_id, provided(type(instance))):
        raise PluginGaveWrongOutput(f"{who(instance)} gave {chunk!r}")
    rows = _rows(instance, chunk.data)
    return chunk if rows is chunk.data else replace(chunk, data=read_only(rows))


def _rows(instance: Plugin, result: Any) -> np.ndarray[Any, Any]:
    """Check the dtype; a dictionary of columns becomes rows, as in strax."""
    if isinstance(result, Mapping):
        result = _from_columns(instance, result)
    if not isinstance(result, np.ndarray):
        raise PluginGaveWrongOutput(f"{who(instance)} gave {type(result).__name__}, not an array")
    if packed(result.dtype) != instance.dtype:
        raise PluginGaveWrongOutput(
            f"{who(instance)} promised rows of {instance.dtype}, and gave {result.dtype}"
        )
    # A copy, without padding: a data plugin may fill the same array again for its next chunk, while
    # this one still waits to be stored.
    return np.array(result, dtype=instance.dtype)


def _from_columns(instance: Plugin, columns: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    names = instance.dtype.names
    if set(columns) != set(names):
        raise PluginGaveWrongOutput(
            f"{who(instance)} promised the columns {', '.join(names)}, "
            f"and gave {', '.join(map(str, columns))}"
        )
    try:
        rows = np.zeros(len(columns["time"]), dtype=instance.dtype)
        for name in names:
            _fill(rows[name], np.asarray(columns[name]))
    except (ValueError, TypeError) as error:
        raise PluginGaveWrongOutput(
            f"{who(instance)}: its columns do not make rows: {error}"
        ) from error
    return rows


def _fill(column: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
    """Copy one value, or one a row; what the column cannot hold is a ValueError or TypeError."""
    if values.ndim and len(values) != len(column):
        raise ValueError(f"a column of {len(values)} values among {len(column)} rows")
    np.copyto(column, values, casting="same_kind")
    if column.dtype.kind in "iu" and not np.array_equal(
        column, np.broadcast_to(values, column.shape)
    ):
        raise ValueError(f"{column.dtype} does not hold all values of a column")


@contextmanager
def _noted(instance: Plugin, where: str) -> Iterator[None]:
    """Add to what a data plugin raises where that was."""
    try:
        yield
    except Exception as error:
        note = f"in {who(instance)}, {where}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


@contextmanager
def _promised(instance: Plugin) -> Iterator[None]:
    """Turn a broken law of chunks into an error that names the data plugin."""
    try:
        yield
    except ChunkError as error:
        raise PluginGaveWrongOutput(f"{who(instance)}: {error}") from error
