"""``strax doctor``: whether a place works, and what to do if not."""

from collections.abc import Iterable, Iterator

from strax_core.backend import Check, StorageBackend, clean
from strax_core.cli.output import one_line, say
from strax_core.cli.places import open_place
from strax_core.errors import StorageError
from strax_core.frontend import StorageFrontend


def examine_place(place: str, config: str | None) -> None:
    """Write a line for each check of the frontend, and of each backend.

    Raises:
        StorageError: not all is well.
    """
    frontend = open_place(place, config, readonly=True)
    is_well = _examine_reading(frontend)
    if is_well:
        # Only now: to open a place for writing may make it, which a misspelt one should not be.
        frontend = open_place(place, config, readonly=False)
        if not frontend.readonly:
            is_well = _examine_writing(frontend)
    if not is_well:
        raise StorageError(f"{one_line(frontend.name)} is not well: see what is BAD above")


def _examine_reading(frontend: StorageFrontend) -> bool:
    are_good = [_examine(frontend.name, frontend.checks(writes=False))]
    for name, backend in frontend.backends.items():
        are_good.append(_examine(_label(frontend, name), backend.checks(writes=False)))
    return all(are_good)


def _examine_writing(frontend: StorageFrontend) -> bool:
    are_good = [_examine(frontend.name, _news_of_writing(frontend))]
    for name, backend in frontend.backends.items():
        if not backend.readonly:
            checks = _checks_of_writing(backend, frontend.grace_time_s)
            are_good.append(_examine(_label(frontend, name), checks))
    return all(are_good)


def _label(frontend: StorageFrontend, name: str) -> str:
    """Return what a person calls one of the backends."""
    place = frontend.backends[name].place
    return place if len(frontend.backends) == 1 else f"{frontend.name}/{name} ({place})"


def _examine(label: str, checks: Iterable[Check]) -> bool:
    are_good = True
    for check in checks:
        are_good &= check.is_good
        mark = "ok " if check.is_good else "BAD"
        say(f"{mark} {one_line(label)}: {check.name}: {one_line(check.text)}")
    return are_good


def _news_of_writing(examined: StorageFrontend | StorageBackend) -> Iterator[Check]:
    """Iterate over what was not told of reading, or is not good now."""
    known = {check.name for check in examined.checks(writes=False)}
    for check in examined.checks(writes=True):
        if check.name not in known or not check.is_good:
            yield check


def _checks_of_writing(backend: StorageBackend, grace_s: float) -> Iterator[Check]:
    are_good = True
    for check in _news_of_writing(backend):
        are_good &= check.is_good
        yield check
    if are_good:
        yield Check.of("leftovers", lambda: _leftovers(backend, grace_s))


def _leftovers(backend: StorageBackend, grace_s: float) -> str:
    leftovers = clean(backend, grace_s=grace_s, dry_run=True)
    left = sum(each.stays for each in leftovers)
    dead = len(leftovers) - left
    texts = [f"{dead} of writers that died: `strax clean` lists them"] if dead else []
    texts += (
        [f"{left} that no writer made: `strax clean` names them, and leaves them"] if left else []
    )
    return "; ".join(texts) or "none that is old enough to be removed"
