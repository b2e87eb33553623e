"""Which data plugins of a plan work elsewhere, and which of them form one line."""

import logging
import pickle
from collections.abc import Iterable, Mapping

from strax_core.lines import Line
from strax_core.loader import Loader
from strax_core.loading import is_same_making
from strax_core.metadata import Metadata
from strax_core.planning import Plan
from strax_core.plugin import Plugin, dependencies, provided
from strax_core.saver import Saver

_LOG = logging.getLogger("strax_core")
Lines = dict[type[Plugin], Line]


def lines_of(plan: Plan, savers: Mapping[str, list[Saver]]) -> Lines:
    """Return the line of each data plugin that works elsewhere; the others work here.

    Elsewhere work those that say ``parallel = "process"`` and need nothing but what the line loads
    or makes itself, chunk by chunk: so all inputs must be cut alike. Places that only this process
    has, such as memory, keep their data plugins here.
    """
    lines: Lines = {}
    if plan.request.workers.elsewhere is None or plan.wanted.is_partial:
        return lines
    for data_plugin in plan.made:
        own = {name: savers[name] for name in provided(data_plugin) if savers.get(name)}
        if data_plugin.parallel != "process" or not _can_travel(own.values()):
            continue
        line = _line_for(plan, data_plugin, lines)
        if line is not None:
            line.instances.append(plan.instances[data_plugin])
            line.savers |= own
            lines[data_plugin] = line
    return lines


def _line_for(plan: Plan, data_plugin: type[Plugin], lines: Lines) -> Line | None:
    """Return the line that a data plugin joins or begins, with its inputs; None: there is none."""
    needed = dependencies(data_plugin)
    if not needed:
        return None if callable(getattr(data_plugin, "chunks", None)) else Line()
    makers = [
        plan.request.data_plugins.that_makes(name) for name in needed if name not in plan.loaded
    ]
    if any(maker not in lines for maker in makers):
        return None
    loaded = {name: plan.loaded[name].metadata for name in needed if name in plan.loaded}
    candidates = [lines[maker] for maker in makers] or [*lines.values(), Line()]
    for line in candidates:
        if all(line is lines[maker] for maker in makers) and _fits(line, loaded.values()):
            copies = {name: _copies(plan, name) for name in loaded if name not in line.copies}
            if not _can_travel(copies.values()):
                return None
            line.copies |= copies
            return line
    return None


def _fits(line: Line, loaded: Iterable[Metadata]) -> bool:
    """Say whether all that a line would load is cut alike."""
    borders = [_borders(copies[0].metadata) for copies in line.copies.values()]
    borders += [_borders(metadata) for metadata in loaded]
    if line.is_source and line.instances:
        return not borders
    return all(each == borders[0] for each in borders)


def _borders(metadata: Metadata) -> list[tuple[int, int]]:
    return [(info.start, info.end) for info in metadata.chunks]


def _copies(plan: Plan, data_type: str) -> list[Loader]:
    """All copies of an input of one making that are cut alike, nearest first."""
    found = list(plan.finder(data_type)())
    first = found[0].metadata
    return [each.loader() for each in found if is_same_making(first, each.metadata, cut_alike=True)]


def _can_travel(things: Iterable[object]) -> bool:
    try:
        pickle.dumps(list(things))
    except Exception as error:  # noqa: BLE001 - whatever a storage plugin's pickling does
        _LOG.info("worked on in this process: %s", error)
        return False
    return True
