"""Says in words where a piece of data is, or why not, and what a person can do about it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from strax_core.data_plugins import DataPlugins, Plugin, SaveWhen, dependencies, stated_for
from strax_core.errors import DataNotAvailable, StorageError
from strax_core.format import DataKey, Lineage
from strax_core.frontend import Match, StorageFrontend, differences
from strax_core.places import Found, Places, report
from strax_core.processing import obstacle
from strax_core.saver import Writer, failure_notes, writers_at_work

OTHERS_MAX = 5  # other lineages told of each place, the newest


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The text about a target, and about what would have to be made or loaded for it."""

    keys: Mapping[str, DataKey]
    """Of the target and all it depends on, by data type."""
    data_plugins: DataPlugins
    places: Places
    match: Match
    """Looseness with which the places are asked."""
    forbidden: Collection[str]
    """Data types that are not to be made; ``*`` stands for all."""
    _found: dict[str, Found] = field(default_factory=dict)
    _missing: dict[str, StorageError] = field(default_factory=dict)

    def of(self, target: str) -> str:
        """Return the text; a place that cannot answer is told in it."""
        lines: list[str] = []
        todo = [target]
        while todo:
            data_type = todo.pop(0)
            if data_type in self._found or data_type in self._missing:
                continue
            try:
                found = self.places.find(self.keys[data_type], self.match)
            except StorageError as error:
                self._missing[data_type] = error
                lines += self._of_missing(data_type, error)
                todo += dependencies(self.data_plugins.that_makes(data_type))
            else:
                self._found[data_type] = found
                lines += _of_found(found)
                lines += self._remarks(found.key)
        return "\n".join([*lines, *self._way_out(target)])

    def _remarks(self, key: DataKey) -> Iterator[str]:
        for frontend in self.places:
            for line in _remarks(key, frontend):
                yield f"  {frontend.name}: {line}"

    def _of_missing(self, data_type: str, error: StorageError) -> Iterator[str]:
        key = self.keys[data_type]
        if isinstance(error, DataNotAvailable):
            yield f"{key} is not stored"
        else:
            yield f"{key}: nobody knows whether it is stored, for no place could answer"
        for frontend in self.places:
            for line in _of_place(key, frontend):
                yield f"  {frontend.name}: {line}"
        data_plugin = self.data_plugins.that_makes(data_type)
        name = f"{data_plugin.__module__}.{data_plugin.__name__} {data_plugin.__version__}"
        needed = ", ".join(dependencies(data_plugin))
        obstacle = self._obstacle(data_type)
        if obstacle is None:
            yield f"  data plugin {name} makes it" + (f" from {needed}" if needed else "")
            yield f"  {self._kept(data_type, data_plugin)}"
        else:
            yield f"  data plugin {name} does not make it: {obstacle}"

    def _obstacle(self, data_type: str) -> str | None:
        return obstacle(self.data_plugins.that_makes(data_type), data_type, self.forbidden)

    def _kept(self, data_type: str, data_plugin: type[Plugin]) -> str:
        """Say where it would be kept, if it were made."""
        save_when = stated_for(data_plugin, "save_when", data_type)
        if save_when == SaveWhen.NEVER:
            return "it is never kept (save_when)"
        takers = [
            frontend.name
            for frontend in self.places
            if not frontend.readonly
            and frontend.wants(data_type)
            and not all(backend.readonly for backend in frontend.backends.values())
        ]
        if not takers:
            return "it would not be kept: no place of this context takes it"
        condition = {
            SaveWhen.EXPLICIT: " if it is listed in save=",
            SaveWhen.TARGET: " if it is asked for by name",
        }.get(save_when, "")
        return f"it would be kept in {', '.join(takers)}{condition}"

    def _way_out(self, target: str) -> Iterator[str]:
        if not self._missing:
            return
        unknown = [
            name for name, error in self._missing.items() if not isinstance(error, DataNotAvailable)
        ]
        blocked = [name for name in self._missing if self._obstacle(name) is not None]
        if unknown:
            yield (
                f"{target} cannot be had until a place says whether it has {', '.join(unknown)}: "
                "see above why it could not answer, or leave that place out"
            )
        elif blocked:
            yield (
                f"so {target} cannot be had here: neither stored nor made is {', '.join(blocked)}. "
                "Have it made where that can be done, add the place that has it to storage, or see "
                "above what was made otherwise"
            )
        else:
            stored = ", ".join(name for name in self._found if name != target)
            yield (
                f"make or get_array makes {target}"
                f"{' and all it needs' if len(self._missing) > 1 else ''}"
                f"{', from ' + stored if stored else ''}"
            )


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
    if not (found.is_exact and found.is_complete):
        yield "  what is made from it is not kept"
    for problem in found.problems:
        yield f"  {problem}"


def _of_place(key: DataKey, frontend: StorageFrontend) -> Iterator[str]:
    """Say why a place does not have it, and what it has instead; never raises."""
    try:
        frontend.find(key)
        yield "has it by now"
    except StorageError as error:
        yield str(error).removeprefix(f"{frontend.name}: ")
    except Exception as error:  # noqa: BLE001 - also what a storage plugin left untranslated
        yield f"could not answer: {error!r}"
        return
    if not frontend.wants(key.data_type):
        return
    yield from _remarks(key, frontend)
    try:
        yield from _instead(key, frontend)
    except Exception as error:  # noqa: BLE001 - a place that is down may raise anything
        report(frontend, error)


def _remarks(key: DataKey, frontend: StorageFrontend) -> Iterator[str]:
    """Say what a place has to remark on its copies; never raises."""
    try:
        yield from frontend.remarks(key)
    except Exception as error:  # noqa: BLE001 - a place that is down may raise anything
        report(frontend, error)


def _instead(key: DataKey, frontend: StorageFrontend) -> Iterator[str]:
    for backend in frontend.backends.values():
        for note in failure_notes(backend, key.name):
            yield f"a save failed{_when(note.ended_s)}: {note.reason}"
        for writer in writers_at_work(backend, key.name):
            yield from _of_writer(writer, frontend.grace_time_s)
    others = frontend.others(key)
    for location in others[:OTHERS_MAX]:
        if location.metadata is not None:
            yield f"has {location.backend_key}, made otherwise:"
            stored = location.metadata.lineage
            for line in differences(key.lineage, stored):
                yield f"  {line}"
            if (way := _loosely(key.lineage, stored)) is not None:
                yield f"  a context with {way} loads it"
    if len(others) > OTHERS_MAX:
        yield f"has {len(others) - OTHERS_MAX} more, older, made otherwise"


def _of_writer(writer: Writer, grace_time_s: float) -> Iterator[str]:
    heard = f"last heard of {writer.silent_s:.0f} s ago"
    who = f"process {writer.pid} on {writer.host}"
    if writer.silent_s > grace_time_s:
        yield f"{who} died while it wrote this, {heard}: `strax clean` removes what it left"
        return
    yield f"{who} writes it: {writer.chunks} chunks so far, {heard}"
    if writer.chunks:
        yield "  a context with allow_incomplete=True loads what is there so far"


def _loosely(wanted: Lineage, stored: Lineage) -> str | None:
    """Return the tightest option of a context by which data of another lineage serve."""
    options: set[str] = set()
    entries = [name for name in wanted if name not in stored or wanted[name] != stored[name]]
    for name in entries:
        here, there = wanted[name][2], stored[name][2] if name in stored else {}
        options |= {
            option
            for option in {*here, *there}
            if (option in here) != (option in there) or here[option] != there[option]
        }
    if Match(fuzzy_for_options=options).accepts(wanted, stored):
        return f"fuzzy_for_options={sorted(options)!r}"
    return f"fuzzy_for={entries!r}" if Match(fuzzy_for=entries).accepts(wanted, stored) else None


def _when(ended_s: float | None) -> str:
    if ended_s is None:
        return ""
    return f" at {datetime.fromtimestamp(ended_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
