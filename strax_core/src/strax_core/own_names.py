"""Names that only we make: what is removed must have one, or be named by what we wrote.

Everything else that lies in a place is a person's, or another program's, and stays.
"""

import re

from strax_core.layout import FAILURE_NOTE_START, metadata_name, prefix_of

_ID = "[0-9a-f]{16}"
_LETTERS = "[0-9a-f]{8}"
_WRITE_ID = re.compile(_ID)
_SCRATCH = re.compile(f"(tmp|clock|dead|check|probe|speed)-{_ID}")
_NOTE = re.compile(rf"{FAILURE_NOTE_START}{_ID}\.json")
_OF_TICKET = re.compile(rf"(ticket|replaced|ended|journal-{_LETTERS}-\d{{6,}})\.json")
_KEPT_FOR_A_PERSON = re.compile(r"unreadable-[0-9a-f]+\.json")


def is_write_id(name: str) -> bool:
    """Say whether this is how a writing is called."""
    return _WRITE_ID.fullmatch(name) is not None


def is_scratch(name: str) -> bool:
    """Say whether something at the top of the staging place is one of our own short-lived ones."""
    return _SCRATCH.fullmatch(name) is not None


def is_failure_note(name: str) -> bool:
    """Say whether a file beside the tickets of a key tells why a save failed."""
    return _NOTE.fullmatch(name) is not None


def is_of_ticket(name: str) -> bool:
    """Say whether a file in a writer's own folder is its ticket, or beside it."""
    return _OF_TICKET.fullmatch(name) is not None


def is_chunk(backend_key: str, name: str) -> bool:
    """Say whether a file has the name of a chunk of this piece of data.

    strax's own; with letters, if it is of another process; with the writing, where chunks lie under
    the final name before the commit.
    """
    rest = name.removeprefix(f"{prefix_of(backend_key)}-")
    return rest != name and re.fullmatch(rf"\d{{6,}}(-{_ID})?(-{_LETTERS})?", rest) is not None


def is_of_data(backend_key: str, name: str) -> bool:
    """Say whether a file has a name that only files of this piece of data have."""
    return (
        is_chunk(backend_key, name)
        or name in {metadata_name(backend_key), "metadata.json"}
        or _KEPT_FOR_A_PERSON.fullmatch(name) is not None
        or is_scratch(name)
    )
