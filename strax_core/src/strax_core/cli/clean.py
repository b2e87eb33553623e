"""``strax clean``: what writers that died left behind."""

from strax_core.cleaning import clean
from strax_core.cli.output import one_line, say
from strax_core.cli.places import open_place
from strax_core.errors import ReadOnlyError


def clean_place(place: str, config: str | None, *, grace_s: float | None, remove: bool) -> None:
    """Write what can be removed, and remove it if asked.

    Raises:
        ReadOnlyError: to be removed from a place that the settings call read-only.
    """
    frontend = open_place(place, config, readonly=True)
    if remove:
        for backend in frontend.backends.values():
            next(iter(backend.list("")), None)  # a place that is not there must not be made
        frontend = open_place(place, config, readonly=False)
        if frontend.readonly:
            raise ReadOnlyError(f"{frontend.name} is read-only in the settings; nothing is removed")
    silent_s = frontend.grace_time_s if grace_s is None else grace_s
    number = 0
    for backend in frontend.backends.values():
        for leftover in clean(backend, grace_s=silent_s, dry_run=not remove):
            number += 1
            say(f"{one_line(backend.place)}/{one_line(leftover.path)}: {leftover.reason}")
    if not number:
        say(f"nothing to clean in {one_line(frontend.name)}: nothing is older than {silent_s:g} s")
    elif remove:
        say(f"removed: {number}")
    else:
        say(f"could be removed: {number}; `--yes` removes it")
