"""``strax catalog``: does a catalogue say what lies in the storage, and how to mend it."""

from strax_core.cli.output import one_line, say, say_outcome
from strax_core.cli.places import open_place, open_to_change
from strax_core.errors import DataCorrupted
from strax_core.frontend import catalogue_of


def check_catalogue(place: str, config: str | None) -> None:
    """Write in what catalogue and storage differ.

    Raises:
        DataCorrupted: there are differences.
    """
    frontend = open_place(place, config, readonly=True)
    number = 0
    for each in catalogue_of(frontend).check_catalogue():
        number += 1
        say(f"{one_line(each.name)}: {one_line(each.text)}")
    if number:
        raise DataCorrupted(
            f"the catalogue of {frontend.name} differs from the storage in {number} things; "
            "`strax catalog rebuild` mends that"
        )
    say(f"the catalogue of {one_line(frontend.name)} says what lies in the storage")


def rebuild_catalogue(place: str, config: str | None, *, change: bool) -> None:
    """Write what is entered and what is taken out, and do it if asked.

    Raises:
        ReadOnlyError: to be changed in a place that the settings call read-only.
    """
    if change:
        frontend = open_to_change(place, config, undone="changed")
    else:
        frontend = open_place(place, config, readonly=True)
    number = 0
    for each in catalogue_of(frontend).rebuild_catalogue(dry_run=not change):
        number += 1
        say(f"{one_line(each.name)}: {one_line(each.text)}")
    say_outcome(
        number,
        is_done=change,
        nothing=f"nothing to repair in the catalogue of {one_line(frontend.name)}",
        done="repaired, except what cannot be read",
        possible="could be repaired",
    )
