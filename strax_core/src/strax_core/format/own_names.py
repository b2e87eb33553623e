"""Names that only we make: what is removed must have one, or be named by what we wrote.

Everything else that lies in a place is a person's, or another program's, and stays.
"""

import re

from strax_core.format.layout import FAILURE_NOTE_START, metadata_name, prefix_of

_ID = "[0-9a-f]{16}"


_LETTERS = "[0-9a-f]{8}"


_WRITE_ID = re.compile(_ID)


_SCRATCH_FILE = re.compile(f"(tmp|clock|speed|probe|checksum)-{_ID}")


_TRIAL = re.compile(f"(check|probe)-{_ID}")


_OF_TRIAL = re.compile(r"once|(here|there|new|a|b)(/file)?")


_TOMB = re.compile(f"dead-{_ID}")


_NOTE = re.compile(rf"{FAILURE_NOTE_START}{_ID}\.json")


_OF_TICKET = re.compile(rf"(ticket|replaced|ended|journal-{_LETTERS}-\d{{6,}})\.json")


_KEPT_FOR_A_PERSON = re.compile(r"unreadable-[0-9a-f]+\.json")


def is_write_id(name: str) -> bool:
    """Say whether this is how a writing is called."""
    return _WRITE_ID.fullmatch(name) is not None


def is_scratch_file(name: str) -> bool:
    """Say whether a file in the staging place is one of our own short-lived ones."""
    return _SCRATCH_FILE.fullmatch(name) is not None


def is_trial(name: str) -> bool:
    """Say whether a folder in the staging place is one in which something was tried."""
    return _TRIAL.fullmatch(name) is not None


def is_of_trial(path: str) -> bool:
    """Say whether something in such a folder, at most two levels deep, has a name that is ours."""
    return _OF_TRIAL.fullmatch(path) is not None


def is_tomb(name: str) -> bool:
    """Say whether a folder in a writer's own is that of its chunks, moved away by who cleans."""
    return _TOMB.fullmatch(name) is not None


def is_failure_note(name: str) -> bool:
    """Say whether a file beside the tickets of a key tells why a save failed."""
    return _NOTE.fullmatch(name) is not None


def is_of_ticket(name: str) -> bool:
    """Say whether a file in a writer's own folder is its ticket, or beside it."""
    return _OF_TICKET.fullmatch(name) is not None


def is_chunk(backend_key: str, name: str) -> bool:
    """Say whether a file has the name of a chunk of this piece of data.

    strax's own; with letters, if it is of another process; with the writing, where chunks lie under
    the final name before the commit; with what a saver of others adds (`Saver._file_name`).
    """
    rest = name.removeprefix(f"{prefix_of(backend_key)}-")
    return rest != name and re.fullmatch(r"\d{6,}(-[0-9a-f]{8,})*", rest) is not None


def is_chunk_below(backend_key: str, path: str) -> bool:
    """Say whether a path in the folder of the data is a chunk's, perhaps in that of a writing."""
    folder, slash, file = path.rpartition("/")
    return is_chunk(backend_key, file) and (not slash or is_write_id(folder))


def write_ids_in(path: str) -> set[str]:
    """Return what may name a writing in the path of a file of data."""
    return {part for part in re.split("[-/]", path) if is_write_id(part)}


def is_kept_for_a_person(name: str) -> bool:
    """Say whether a file holds metadata that could not be read when data were replaced."""
    return _KEPT_FOR_A_PERSON.fullmatch(name) is not None


def is_of_data(backend_key: str, name: str) -> bool:
    """Say whether a file has a name that only files of this piece of data have."""
    return (
        is_chunk(backend_key, name)
        or name in {metadata_name(backend_key), "metadata.json"}
        or is_kept_for_a_person(name)
        or is_scratch_file(name)
    )
