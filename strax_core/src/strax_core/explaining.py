"""Says in words where a piece of data is, or why not, and what a context would do about it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from strax_core.errors import DataNotAvailable, StorageError
from strax_core.frontend import StorageFrontend
from strax_core.keys import DataKey
from strax_core.matching import Match, differences
from strax_core.notes import failure_notes, writers_at_work
from strax_core.places import Found, Places
from strax_core.plugin import dependencies, missing_methods
from strax_core.provenance import DataPlugins


def explained(
    keys: Mapping[str, DataKey],
    target: str,
    data_plugins: DataPlugins,
    places: Places,
    match: Match,
) -> str:
    """Return the text for a target: it, and what would have to be made or loaded for it.

    Args:
        keys: of the target and all it depends on.
        target: the data type asked for.
        data_plugins: those registered.
        places: those that are asked.
        match: how loosely.
    """
    lines: list[str] = []
    todo, seen = [target], set()
    while todo:
        data_type = todo.pop(0)
        if data_type in seen:
            continue
        seen.add(data_type)
        try:
            found = places.find(keys[data_type], match)
        except StorageError as error:
            lines += _of_missing(keys[data_type], error, data_plugins, places)
            todo += dependencies(data_plugins.that_makes(data_type))
        else:
            lines += _of_found(found)
    return "\n".join(lines)


def _of_found(found: Found) -> Iterator[str]:
    metadata = found.metadata
    n_rows = sum(info.n for info in metadata.chunks)
    state = "is stored" if found.is_complete else "is being written, and readable so far,"
    yield (
        f"{found.key} {state} in {found.place}: {len(metadata.chunks)} chunks, {n_rows} rows, "
        f"{metadata.compressor}"
    )
    for difference in found.differences:
        yield f"  by a loose match: {difference}"
    for problem in found.problems:
        yield f"  {problem}"


def _of_missing(
    key: DataKey, error: StorageError, data_plugins: DataPlugins, places: Places
) -> Iterator[str]:
    yield f"{key} is not stored" if isinstance(error, DataNotAvailable) else f"{key}: no answer"
    for frontend in places:
        for line in _of_place(key, frontend):
            yield f"  {frontend.name}: {line}"
    data_plugin = data_plugins.that_makes(key.data_type)
    name = f"{data_plugin.__module__}.{data_plugin.__name__} {data_plugin.__version__}"
    missing = missing_methods(data_plugin)
    needed = ", ".join(dependencies(data_plugin))
    if missing:
        yield f"  data plugin {name} cannot make it: it has no {missing[0]}"
    else:
        yield f"  data plugin {name} makes it" + (f" from {needed}" if needed else "")


def _of_place(key: DataKey, frontend: StorageFrontend) -> Iterator[str]:
    try:
        frontend.find(key)
    except StorageError as error:
        yield str(error).removeprefix(f"{frontend.name}: ")
    except Exception as error:  # noqa: BLE001 - also what a storage plugin left untranslated
        yield f"could not answer: {error!r}"
        return
    if not frontend.wants(key.data_type):
        return
    for location in frontend.others(key):
        if location.metadata is not None:
            yield f"has {location.backend_key}, made otherwise:"
            for line in differences(key.lineage, location.metadata.lineage):
                yield f"  {line}"
    for backend in frontend.backends.values():
        for note in failure_notes(backend, key.name):
            yield f"a save failed{_when(note.ended_s)}: {note.reason}"
        for writer in writers_at_work(backend, key.name):
            yield (
                f"process {writer.pid} on {writer.host} writes it: {writer.chunks} chunks so far, "
                f"last heard of {writer.silent_s:.0f} s ago"
            )


def _when(ended_s: float | None) -> str:
    if ended_s is None:
        return ""
    return f" at {datetime.fromtimestamp(ended_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
