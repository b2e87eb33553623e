"""The jobs of strax-core; by its public interface only."""

import shutil
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from jobs import (
    RUN_ID,
    TWO_COLUMNS,
    WARM_UP_CHUNK_MB,
    WARM_UP_ROWS,
    Job,
    Source,
    Task,
    Work,
    part_of_time,
    small_source,
    source_of,
    warm_up_source,
)
from many_runs import DATA_TYPES, answer_text, copy_to_many_runs, run_ids
from simulation import dtype_of
from starting import seconds_to_first_rows

from strax_core import Chunk, Context, Option, Plugin, takes_config


def plugin_of(source: Source | None, data_type: str, *, small_chunks: bool = False) -> type[Plugin]:
    """Return a data plugin that gives these blocks, one after the other."""

    class Simulated(Plugin):
        provides = data_type
        dtype = dtype_of(data_type)
        rechunk_on_save = not small_chunks

        def chunks(self) -> Iterator[Chunk]:
            for start, end, rows in source or ():
                yield self.chunk(start=start, end=end, data=rows)

    return takes_config(Option("version_of_gains", default="v1"))(Simulated)


def context_of(task: Task, *plugins: type[Plugin], place: str = "", **options: Any) -> Context:
    """Return a context of one folder."""
    Path(place or task.place).mkdir(parents=True, exist_ok=True)
    table: dict[str, Any] = {
        "frontend": "local",
        "path": place or task.place,
        "fsync": task.fsync,
    }
    if task.compressor is not None:
        table["compressor"] = task.compressor
    return Context([table], plugins=plugins, **options)


def warmed_up(task: Task) -> None:
    """Save and load a few rows of this data type, so that everything is imported and compiled."""
    source, time_range = warm_up_source(task)
    for number in range(2):
        place = f"{task.place}-warm-up-{number}"
        plugin = plugin_of(source, task.data)
        plugin.chunk_target_size_mb = WARM_UP_CHUNK_MB
        context = context_of(task, plugin, place=place)
        context.make(RUN_ID, task.data)
        context.get_array(RUN_ID, task.data)
        context.get_array(RUN_ID, task.data, time_range=time_range)
        context.get_array(RUN_ID, task.data, columns=["time"], time_range=time_range)
        shutil.rmtree(place)


def save(task: Task) -> Work:
    """Save what a source gives."""
    warmed_up(task)
    source = source_of(task)
    plugin = plugin_of(source, task.data, small_chunks=task.keep_chunks)
    context = context_of(task, plugin)

    def work() -> int:
        context.make(RUN_ID, task.data)
        return source.nbytes

    return work


def load(task: Task) -> Work:
    """Load all rows and columns."""
    warmed_up(task)
    return partial(context_of(task, plugin_of(None, task.data)).get_array, RUN_ID, task.data)


def load_two_columns(task: Task) -> Work:
    """Load two columns of all rows."""
    warmed_up(task)
    context = context_of(task, plugin_of(None, task.data))
    return partial(context.get_array, RUN_ID, task.data, columns=list(TWO_COLUMNS))


def load_part_of_time(task: Task) -> Work:
    """Load all columns of one per cent of the time."""
    warmed_up(task)
    context = context_of(task, plugin_of(None, task.data))
    return partial(context.get_array, RUN_ID, task.data, time_range=part_of_time(task))


def load_table(task: Task) -> Work:
    """Load all rows as a table of pandas."""
    warmed_up(task)
    context = context_of(task, plugin_of(None, task.data))
    small = small_source(task, WARM_UP_ROWS)
    place = f"{task.place}-warm-up-table"
    context_of(task, plugin_of(small, task.data), place=place).get_df(RUN_ID, task.data)
    shutil.rmtree(place)

    def work() -> str:
        return f"{context.get_df(RUN_ID, task.data).shape}"

    return work


def save_small(task: Task) -> Work:
    """Save `number` pieces of a few rows."""
    warmed_up(task)
    context = context_of(task, plugin_of(small_source(task, task.rows), task.data))

    def work() -> int:
        for number in range(task.number):
            context.make(f"run_{number}", task.data)
        return task.number

    return work


def load_small(task: Task) -> Work:
    """Load `number` pieces of a few rows."""
    warmed_up(task)
    context = context_of(task, plugin_of(None, task.data))

    def work() -> int:
        rows = 0
        for number in range(task.number):
            rows += len(context.get_array(f"run_{number}", task.data))
        return rows

    return work


def start(task: Task) -> Work:
    """Start Python and load the first rows of a piece."""
    return partial(seconds_to_first_rows, "first_rows_ours.py", task)


def many_runs(task: Task) -> Work:
    """Store three data types of very many runs, all but the first by copying files."""

    def work() -> int:
        source = small_source(task, WARM_UP_ROWS)
        context = context_of(task, *(plugin_of(source, each) for each in DATA_TYPES))
        for data_type in DATA_TYPES:
            context.make(RUN_ID, data_type)
        return copy_to_many_runs(Path(task.place), task.number)

    return work


def asked_of_many(task: Task, **options: Any) -> Context:
    """Return a context of very many runs."""
    context = context_of(task, *(plugin_of(None, each) for each in DATA_TYPES), **options)
    context.availability([RUN_ID], DATA_TYPES)
    return context


def availability(task: Task) -> Work:
    """Ask which of three data types are stored, for all runs at once."""
    context = asked_of_many(task)

    def work() -> str:
        table = context.availability(run_ids(task.number), DATA_TYPES)
        return answer_text(sum(bool(len(where)) for each in DATA_TYPES for where in table[each]))

    return work


def is_stored(task: Task) -> Work:
    """Ask for every single piece."""
    context = asked_of_many(task)

    def work() -> str:
        asked = product(run_ids(task.number), DATA_TYPES)
        return answer_text(sum(context.is_stored(run, each) for run, each in asked))

    return work


def fuzzy_availability(task: Task) -> Work:
    """Ask for all, where all is stored with another value of an option."""
    context = asked_of_many(
        task, config={"version_of_gains": "v2"}, fuzzy_for_options="version_of_gains"
    )

    def work() -> str:
        table = context.availability(run_ids(task.number), DATA_TYPES)
        return answer_text(sum(bool(len(where)) for each in DATA_TYPES for where in table[each]))

    return work


JOBS: dict[str, Job] = {
    "save": save,
    "load": load,
    "two_columns": load_two_columns,
    "part_of_time": load_part_of_time,
    "table": load_table,
    "save_small": save_small,
    "load_small": load_small,
    "start": start,
    "many_runs": many_runs,
    "availability": availability,
    "is_stored": is_stored,
    "fuzzy": fuzzy_availability,
}
