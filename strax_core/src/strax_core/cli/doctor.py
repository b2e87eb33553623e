"""``strax doctor``: whether a place works, and what to do if not."""

from collections.abc import Iterable, Iterator

from strax_core.backend import StorageBackend
from strax_core.checking import Check
from strax_core.cleaning import clean
from strax_core.cli.output import one_line, say
from strax_core.cli.places import open_place
from strax_core.errors import StorageError


def examine_place(place: str, config: str | None) -> None:
    """Write a line for each check of each backend.

    Raises:
        StorageError: not all is well.
    """
    frontend = open_place(place, config, readonly=True)
    are_good = [_examine(each, each.checks(writes=False)) for each in frontend.backends.values()]
    if all(are_good):
        # Only now: to open a place for writing may make it, which a misspelt one should not be.
        frontend = open_place(place, config, readonly=False)
        if not frontend.readonly:
            grace_s = frontend.grace_time_s
            are_good = [
                _examine(each, _checks_of_writing(each, grace_s))
                for each in frontend.backends.values()
                if each.saver_class is not None
            ]
    if not all(are_good):
        raise StorageError(f"{one_line(frontend.name)} is not well: see what is BAD above")


def _examine(backend: StorageBackend, checks: Iterable[Check]) -> bool:
    are_good = True
    for check in checks:
        are_good &= check.is_good
        mark = "ok " if check.is_good else "BAD"
        say(f"{mark} {one_line(backend.place)}: {check.name}: {one_line(check.text)}")
    return are_good


def _checks_of_writing(backend: StorageBackend, grace_s: float) -> Iterator[Check]:
    known = {check.name for check in backend.checks(writes=False)}
    are_good = True
    for check in backend.checks(writes=True):
        are_good &= check.is_good
        if check.name not in known or not check.is_good:
            yield check
    if are_good:
        yield Check.of("leftovers", lambda: _leftovers(backend, grace_s))


def _leftovers(backend: StorageBackend, grace_s: float) -> str:
    leftovers = clean(backend, grace_s=grace_s, dry_run=True)
    if not leftovers:
        return "none that is old enough to be removed"
    return f"{len(leftovers)} of writers that died: `strax clean` lists them"
