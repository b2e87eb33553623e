"""The jobs of the package strax 2.2.3, with its defaults."""

import shutil
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import strax
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


def plugin_of(source: Source | None, data_type: str, task: Task) -> Any:
    """Return a plugin that gives these blocks, one after the other."""
    n_chunks = 0 if source is None else len(source)

    class Simulated(strax.Plugin):  # type: ignore[misc]
        provides = data_type
        depends_on = ()
        dtype = dtype_of(data_type)
        rechunk_on_save = not (source is not None and task.keep_chunks)

        def source_finished(self) -> bool:
            return True

        def is_ready(self, chunk_i: int) -> bool:
            return chunk_i < n_chunks

        def compute(self, chunk_i: int) -> Any:
            start, end, rows = source.pieces[chunk_i]  # type: ignore[union-attr]
            return self.chunk(start=start, end=end, data=rows)

    if task.compressor is not None:
        Simulated.compressor = task.compressor
    option = strax.Option("version_of_gains", default="v1")
    return strax.takes_config(option)(Simulated)


def context_of(task: Task, *plugins: Any, place: str = "", **options: Any) -> Any:
    """Return a context of one folder."""
    return strax.Context(
        storage=[strax.DataDirectory(place or task.place)], register=list(plugins), **options
    )


def warmed_up(task: Task) -> None:
    """Save and load a few rows of this data type, so that everything is imported and compiled."""
    source, time_range = warm_up_source(task)
    for number in range(2):
        place = f"{task.place}-warm-up-{number}"
        plugin = plugin_of(source, task.data, task)
        plugin.chunk_target_size_mb = WARM_UP_CHUNK_MB
        context = context_of(task, plugin, place=place)
        context.make(RUN_ID, task.data)
        context.get_array(RUN_ID, task.data)
        context.get_array(RUN_ID, task.data, time_range=time_range)
        context.get_array(RUN_ID, task.data, keep_columns=("time",), time_range=time_range)
        shutil.rmtree(place)


def save(task: Task) -> Work:
    """Save what a source gives."""
    warmed_up(task)
    source = source_of(task)
    context = context_of(task, plugin_of(source, task.data, task))

    def work() -> int:
        context.make(RUN_ID, task.data)
        return source.nbytes

    return work


def reader(task: Task) -> Any:
    """Return a context to load with."""
    warmed_up(task)
    return context_of(task, plugin_of(None, task.data, task))


def load(task: Task) -> Work:
    """Load all rows and columns."""
    return partial(reader(task).get_array, RUN_ID, task.data)


def load_two_columns(task: Task) -> Work:
    """Load two columns of all rows."""
    return partial(reader(task).get_array, RUN_ID, task.data, keep_columns=list(TWO_COLUMNS))


def load_part_of_time(task: Task) -> Work:
    """Load all columns of one per cent of the time."""
    return partial(reader(task).get_array, RUN_ID, task.data, time_range=part_of_time(task))


def load_table(task: Task) -> Work:
    """Load all rows as a table of pandas."""
    context = reader(task)
    place = f"{task.place}-warm-up-table"
    source = small_source(task, WARM_UP_ROWS)
    context_of(task, plugin_of(source, task.data, task), place=place).get_df(RUN_ID, task.data)
    shutil.rmtree(place)

    def work() -> str:
        return f"{context.get_df(RUN_ID, task.data).shape}"

    return work


def save_small(task: Task) -> Work:
    """Save `number` pieces of a few rows."""
    warmed_up(task)
    source = small_source(task, task.rows)
    context = context_of(task, plugin_of(source, task.data, task))

    def work() -> int:
        for number in range(task.number):
            context.make(f"run_{number}", task.data)
        return task.number

    return work


def load_small(task: Task) -> Work:
    """Load `number` pieces of a few rows."""
    context = reader(task)

    def work() -> int:
        rows = 0
        for number in range(task.number):
            rows += len(context.get_array(f"run_{number}", task.data))
        return rows

    return work


def start(task: Task) -> Work:
    """Start Python and load the first rows of a piece."""
    return partial(seconds_to_first_rows, "first_rows_upstream.py", task)


def many_runs(task: Task) -> Work:
    """Store three data types of very many runs, all but the first by copying files."""

    def work() -> int:
        source = small_source(task, WARM_UP_ROWS)
        context = context_of(task, *(plugin_of(source, each, task) for each in DATA_TYPES))
        for data_type in DATA_TYPES:
            context.make(RUN_ID, data_type)
        return copy_to_many_runs(Path(task.place), task.number)

    return work


def asked_of_many(task: Task, **options: Any) -> Any:
    """Return a context of very many runs."""
    context = context_of(task, *(plugin_of(None, each, task) for each in DATA_TYPES), **options)
    context.is_stored(RUN_ID, DATA_TYPES[0])
    return context


def is_stored(task: Task) -> Work:
    """Ask for every single piece."""
    context = asked_of_many(task)

    def work() -> str:
        asked = product(run_ids(task.number), DATA_TYPES)
        return answer_text(sum(context.is_stored(run, each) for run, each in asked))

    return work


def find_several(task: Task) -> Work:
    """Ask for the pieces of each data type at once, as its `list_available` does."""
    context = asked_of_many(task)
    runs = run_ids(task.number)

    def work() -> str:
        found = 0
        for data_type in DATA_TYPES:
            keys = context.keys_for_runs(data_type, runs)
            found += sum(bool(each) for each in context.storage[0].find_several(keys))
        return answer_text(found)

    return work


def fuzzy(task: Task) -> Work:
    """Ask for `number` pieces, where all is stored with another value of an option."""
    context = asked_of_many(
        task, config={"version_of_gains": "v2"}, fuzzy_for_options=("version_of_gains",)
    )

    def work() -> str:
        asked = product(run_ids(task.number), DATA_TYPES[:1])
        return answer_text(sum(context.is_stored(run, each) for run, each in asked))

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
    "find_several": find_several,
    "is_stored": is_stored,
    "fuzzy": fuzzy,
}
