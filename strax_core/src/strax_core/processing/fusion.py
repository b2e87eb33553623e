"""Chooses the data plugins that run in other processes, and fuses neighbours."""

import logging
import pickle
from collections.abc import Iterable, Mapping

from strax_core.data_plugins import Plugin, dependencies, provided
from strax_core.format import Metadata
from strax_core.places import Found, is_replica
from strax_core.processing.fused_task import Copy, FusedStage
from strax_core.processing.plan import Plan
from strax_core.saver import Saver

_LOG = logging.getLogger("strax_core")
FusedStages = dict[type[Plugin], FusedStage]


def fused_stages(plan: Plan, savers: Mapping[str, list[Saver]]) -> FusedStages:
    """Return the line of each data plugin that works elsewhere; the others work here.

    Elsewhere work those that say ``parallel = "process"`` and need nothing but what the line loads
    or makes itself, chunk by chunk: so all inputs must be cut alike. Places that only this process
    has, such as memory, keep their data plugins here.
    """
    lines: FusedStages = {}
    if plan.query.is_partial:
        return lines
    for data_plugin in plan.made:
        own = {name: savers[name] for name in provided(data_plugin) if savers.get(name)}
        if data_plugin.parallel != "process" or not _can_travel(own):
            continue
        line = _line_for(plan, data_plugin, lines)
        if line is not None:
            line.instances.append(plan.instances[data_plugin])
            line.savers |= own
            lines[data_plugin] = line
    return lines


def _line_for(plan: Plan, data_plugin: type[Plugin], lines: FusedStages) -> FusedStage | None:
    """Return the line that a data plugin joins or begins, with its inputs; None: there is none."""
    needed = dependencies(data_plugin)
    if not needed:
        return None if callable(getattr(data_plugin, "chunks", None)) else FusedStage()
    makers = [
        plan.request.data_plugins.that_makes(name) for name in needed if name not in plan.loaded
    ]
    if any(maker not in lines for maker in makers):
        return None
    loaded = {name: plan.loaded[name].metadata for name in needed if name in plan.loaded}
    candidates = [lines[maker] for maker in makers] or [*lines.values(), FusedStage()]
    for line in candidates:
        if all(line is lines[maker] for maker in makers) and _fits(line, loaded.values()):
            copies = {name: _copies(plan, name) for name in loaded if name not in line.copies}
            if not all(copies.values()):
                return None
            line.copies |= copies
            return line
    return None


def _fits(line: FusedStage, loaded: Iterable[Metadata]) -> bool:
    """Say whether all that a line would load is cut alike."""
    together = [*(copies[0].loader.metadata for copies in line.copies.values()), *loaded]
    if len(together) > 1 and any(map(_has_rows_on_borders, together)):
        return False  # here they would go with the chunk that comes next: see `Aligner`
    borders = [_borders(metadata) for metadata in together]
    if line.is_source and line.instances:
        return not borders
    return all(each == borders[0] for each in borders)


def _borders(metadata: Metadata) -> list[tuple[int, int]]:
    return [(info.start, info.end) for info in metadata.chunks]


def _has_rows_on_borders(metadata: Metadata) -> bool:
    return any(info.n and info.last_time in {None, info.end} for info in metadata.chunks)


def _copies(plan: Plan, data_type: str) -> list[Copy]:
    """The copies of an input that can stand for one another, nearest first.

    They hold the very same rows, cut alike: each chunk may come from another copy.
    """
    nearest = plan.loaded[data_type].metadata
    copies = [
        _copy(found)
        for found in plan.copies(data_type)
        if is_replica(nearest, found.metadata, same_chunking=True)
    ]
    return [copy for copy in copies if copy is not None]


def _copy(found: Found) -> Copy | None:
    try:
        loader = found.loader()
    except Exception as error:  # noqa: BLE001 - another place may serve it
        found.report_failure(error)
        return None
    return Copy(found, loader) if _can_travel(loader) else None


def _can_travel(thing: object) -> bool:
    try:
        pickle.dumps(thing)
    except Exception as error:  # noqa: BLE001 - whatever a storage plugin's pickling does
        _LOG.info("worked on in this process: %s", error)
        return False
    return True
