"""Diagnostics for `explain`: what is wrong with copies that are not given first, since when."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from strax_sql.catalogue.outages import Outages
from strax_sql.catalogue.queries import DAMAGED, REMOVING, FailedCopy


def remarks(
    backends: Sequence[str], failures: Iterable[FailedCopy], outages: Outages
) -> Iterator[str]:
    """Yield a line for each backend whose copy is marked, or that did not answer lately.

    Args:
        backends: names of those that are known here, nearest first.
        failures: the marked copies of one key.
        outages: of this process.
    """
    by_backend = {each.backend: each for each in failures}
    for name in backends:
        outage = outages.of(name)
        if outage is not None:
            yield (
                f"{name} did not answer this process {outage.ago_s:.0f} s ago, and is asked after "
                f"the others for {outage.left_s:.0f} s: {outage.why}"
            )
        marked = by_backend.get(name)
        if marked is not None and marked.state == DAMAGED:
            yield f"{name} has a damaged copy, asked last{_since(marked)}"
        elif marked is not None and marked.state == REMOVING:
            yield f"{name} has a copy that is being removed, asked last{_since(marked)}"
        elif marked is not None:
            yield f"{name} has lost its copy{_since(marked)}"


def _since(marked: FailedCopy) -> str:
    why = f": {marked.failure}" if marked.failure else ""
    if marked.failed_s is None:
        return why
    return f", noted at {datetime.fromtimestamp(marked.failed_s, UTC):%Y-%m-%d %H:%M:%S} UTC{why}"
