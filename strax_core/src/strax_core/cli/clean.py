"""``strax clean``: what writers that died left behind."""

from strax_core.backend import clean
from strax_core.cli.output import one_line, say, say_outcome
from strax_core.cli.places import check_is_there, open_place, open_to_change
from strax_core.errors import CleanedInPart


def clean_place(place: str, config: str | None, *, grace_s: float | None, remove: bool) -> None:
    """Write what can be removed, and remove it if asked.

    Raises:
        CleanedInPart: something could not be looked for; all else was done, and written.
        ReadOnlyError: to be removed from a place that the settings call read-only.
    """
    frontend = open_place(place, config, readonly=True)
    if remove:
        check_is_there(frontend)
        frontend = open_to_change(place, config, undone="removed")
    silent_s = frontend.grace_time_s if grace_s is None else grace_s
    number = 0
    failure: CleanedInPart | None = None
    for backend in frontend.backends.values():
        try:
            leftovers = clean(backend, grace_s=silent_s, dry_run=not remove)
        except CleanedInPart as error:
            leftovers, failure = error.leftovers, failure or error
        for leftover in leftovers:
            number += not leftover.stays
            what = "left alone: " if leftover.stays else ""
            where = f"{one_line(backend.place)}/{one_line(leftover.path)}"
            say(f"{where}: {what}{one_line(leftover.reason)}")
    say_outcome(
        number,
        is_done=remove,
        nothing=f"nothing to clean in {one_line(frontend.name)}: nothing is older than "
        f"{silent_s:g} s",
        done="removed",
        possible="could be removed",
    )
    if failure is not None:
        raise failure
