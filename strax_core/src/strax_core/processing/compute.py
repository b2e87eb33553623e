"""Chunks through a data plugin: what goes in, what must come out."""

import inspect
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

from strax_core.chunks import Aligner, Chunk, check_continuity, merge_columns
from strax_core.concurrency import Budget, Queue
from strax_core.data_plugins import Plugin, promised_rows, provided, read_only
from strax_core.errors import ChunkError, PluginGaveWrongOutput, StorageUnavailable

SOURCE_PAUSE_S = 0.05  # between two questions to a source that is not ready
Step = dict[str, Chunk]  # one chunk of each output, all of the same stretch of time


def computed(
    instance: Plugin,
    inputs: Mapping[str, Iterator[Chunk]],
    *,
    from_ns: int | None = None,
    ahead: "Ahead | None" = None,
) -> Generator[Step, None, None]:
    """Iterate over the chunks that a data plugin makes from its inputs, by data type.

    Each step is a chunk of every output. The rows that it is given are read-only: others read them
    at the same time. What it raises is passed on as it is, with a note of where it happened.

    Args:
        instance: the data plugin.
        inputs: the chunks of each data type it depends on.
        from_ns: rows before this time are of no interest, and the inputs may start at different
            times up to it; see `Aligner`.
        ahead: computes several chunks at once, if the data plugin allows it; None: one by one.

    Raises:
        PluginGaveWrongOutput: another data type or dtype than promised, rows out of order or
            outside their chunk, chunks that do not abut, or no chunk at all.
    """
    set_up(instance)
    end: int | None = None
    with closing(_steps(instance, inputs, from_ns, ahead)) as made:
        for step in made:
            with _promised(instance):
                end = check_continuity(end, next(iter(step.values())))
            yield step
    if end is None:
        raise PluginGaveWrongOutput(
            f"{who(instance)} gave no chunk; a run without rows is one chunk without rows"
        )


def who(instance: Plugin, data_type: str = "") -> str:
    """Return the data plugin's name, data type (left out: all it makes) and run, for messages."""
    name = data_type or ", ".join(provided(type(instance)))
    return f"data plugin {type(instance).__name__} ({name} of run {instance.run_id})"


@dataclass(frozen=True, slots=True)
class Ahead:
    """Threads that compute several chunks at once, and how many bytes of rows may be held."""

    threads: Executor
    n_steps: int
    budget: Budget

    def steps(self, tasks: Generator["_Task", None, None]) -> Generator[Step, None, None]:
        """Iterate over what the tasks give, in their order."""
        queue = Queue[Step](n_max=self.n_steps, budget=self.budget, nbytes_of=_nbytes)
        with closing(tasks):
            try:
                for task in tasks:
                    while queue.is_next_due:
                        yield queue.take()
                    queue.add(self.threads.submit(task.work), task.held_bytes)
                while queue:
                    yield queue.take()
            finally:
                queue.end()


@dataclass(frozen=True, slots=True)
class _Task:
    work: Callable[[], Step]
    held_bytes: int = 0


def _nbytes(step: Mapping[str, Chunk]) -> int:
    return sum(chunk.nbytes for chunk in step.values())


def set_up(instance: Plugin) -> None:
    """Prepare a data plugin for its first chunk."""
    with _noted(instance, "setup"):
        instance.setup()


def _steps(
    instance: Plugin,
    inputs: Mapping[str, Iterator[Chunk]],
    from_ns: int | None,
    ahead: Ahead | None,
) -> Generator[Step, None, None]:
    if not inputs and callable(getattr(instance, "chunks", None)):
        return _given(instance)
    tasks = _to_compute(instance, inputs, from_ns) if inputs else _to_ask(instance)
    # One that says "process" may well not bear threads.
    if ahead is not None and instance.parallel and instance.parallel != "process":
        return ahead.steps(tasks)
    return _one_by_one(tasks)


def _one_by_one(tasks: Generator[_Task, None, None]) -> Generator[Step, None, None]:
    with closing(tasks):
        while (task := next(tasks, None)) is not None:
            yield task.work()


def _to_compute(
    instance: Plugin, inputs: Mapping[str, Iterator[Chunk]], from_ns: int | None
) -> Generator[_Task, None, None]:
    aligned = Aligner(inputs, who=who(instance), from_ns=from_ns)
    for chunk_i, chunks in enumerate(aligned):
        yield _Task(partial(computed_step, instance, chunks, chunk_i), _nbytes(chunks))


def _to_ask(instance: Plugin) -> Generator[_Task, None, None]:
    """Ask a source for chunk after chunk, until it says that it has finished."""
    for chunk_i in count():
        with _noted(instance, f"chunk {chunk_i}"):
            is_there = comes(instance, chunk_i)
        if not is_there:
            return
        yield _Task(partial(asked_step, instance, chunk_i))


def computed_step(instance: Plugin, chunks: Mapping[str, Chunk], chunk_i: int) -> Step:
    """Return what a data plugin makes of one chunk of each input; errors as `computed`.

    Args:
        instance: the data plugin, set up.
        chunks: of each data type it depends on, all of the same stretch of time.
        chunk_i: the number of this step.
    """
    first = next(iter(chunks.values()))
    span = (first.start, first.end)
    by_kind: dict[str, dict[str, Chunk]] = {}
    for data_type, chunk in chunks.items():
        kind = instance.deps[data_type].data_kind_for(data_type)
        by_kind.setdefault(kind, {})[data_type] = chunk
    takes = inspect.signature(instance.compute).parameters
    extra = {"chunk_i": chunk_i, "start": first.start, "end": first.end}
    with _noted(instance, f"[{first.start}, {first.end}) ns of {', '.join(chunks)}"):
        arguments: dict[str, Any] = {
            kind: read_only(merge_columns(same, kind=kind)) for kind, same in by_kind.items()
        }
        arguments.update({name: value for name, value in extra.items() if name in takes})
        result = instance.compute(**arguments)
    return {
        data_type: _output(instance, data_type, given, span)
        for data_type, given in _by_data_type(instance, result).items()
    }


def _by_data_type(instance: Plugin, result: Any) -> dict[str, Any]:
    """Return what was given for each output; several outputs are given in a dictionary."""
    data_types = provided(type(instance))
    if len(data_types) == 1:
        return {data_types[0]: result}
    if not isinstance(result, Mapping):
        raise PluginGaveWrongOutput(
            f"{who(instance)} gave {type(result).__name__}, not a dictionary by data type"
        )
    if set(result) != set(data_types):
        raise PluginGaveWrongOutput(
            f"{who(instance)} promised {', '.join(data_types)}, "
            f"and gave {', '.join(map(str, result)) or 'nothing'}"
        )
    return {data_type: result[data_type] for data_type in data_types}


def _output(instance: Plugin, data_type: str, given: Any, span: tuple[int, int]) -> Chunk:
    """Return rows, or what `Plugin.chunk` returned, as a checked chunk of this span."""
    if isinstance(given, Chunk):
        return _checked_chunk(instance, data_type, given, span)
    rows = promised_rows(given, instance.dtype_for(data_type), who=who(instance, data_type))
    with _promised(instance):
        return instance.chunk(start=span[0], end=span[1], data=rows, data_type=data_type)


def _given(instance: Plugin) -> Generator[Step, None, None]:
    """What a source gives by its generator."""
    chunks: Any = getattr(instance, "chunks", None)
    with (
        _noted(instance, "chunks"),
        # Closed at once if it is left half-way, so that a source lets go of what it holds.
        closing(_iterated(instance, chunks())) as given,
    ):
        for result in given:
            yield _given_step(instance, result)


def _given_step(instance: Plugin, result: Any) -> Step:
    step = _by_data_type(instance, result)
    for each in step.values():
        if not isinstance(each, Chunk):
            raise PluginGaveWrongOutput(
                f"{who(instance)} is a source and gave {type(each).__name__}; return self.chunk(…)"
            )
    first = next(iter(step.values()))
    span = (first.start, first.end)
    return {
        data_type: _checked_chunk(instance, data_type, chunk, span)
        for data_type, chunk in step.items()
    }


def asked_step(instance: Plugin, chunk_i: int) -> Step:
    """Return what a source gives for one chunk, which is there (`comes`); errors as `computed`."""
    with _noted(instance, f"chunk {chunk_i}"):
        takes_number = "chunk_i" in inspect.signature(instance.compute).parameters
        return _given_step(
            instance, instance.compute(**({"chunk_i": chunk_i} if takes_number else {}))
        )


def _iterated(instance: Plugin, chunks: Any) -> Generator[Any, None, None]:
    try:
        given = iter(chunks)
    except TypeError as error:
        raise PluginGaveWrongOutput(
            f"{who(instance)}: chunks() gave {type(chunks).__name__}; write it as a generator"
        ) from error
    yield from given


def comes(instance: Plugin, chunk_i: int) -> bool:
    """Wait for a chunk of a source; False if there will be none.

    Raises:
        StorageUnavailable: it did not come within the source's `input_timeout`.
    """
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


def _checked_chunk(instance: Plugin, data_type: str, chunk: Chunk, span: tuple[int, int]) -> Chunk:
    name = who(instance, data_type)
    if (chunk.run_id, chunk.data_type) != (instance.run_id, data_type):
        raise PluginGaveWrongOutput(f"{name} gave {chunk!r}")
    if (chunk.start, chunk.end) != span:
        raise PluginGaveWrongOutput(
            f"{name} gave {chunk!r}; all of one step must be of [{span[0]}, {span[1]})"
        )
    rows = promised_rows(chunk.data, instance.dtype_for(data_type), who=name)
    return replace(chunk, data=read_only(rows))


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
    """Turn a broken invariant of chunks into an error that names the data plugin."""
    try:
        yield
    except ChunkError as error:
        raise PluginGaveWrongOutput(f"{who(instance)}: {error}") from error
