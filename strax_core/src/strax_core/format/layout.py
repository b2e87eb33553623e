"""Names of files and folders inside a place. Source: folder layout of strax 2.2.3.

A piece of data is a folder ``<run>-<type>-<hash>``; beside all pieces lies ``.staging/``, where
writers work.
No folder beside the data may have three dash-separated parts: strax would take it for data.

The second half tells names that only we make: what is removed must have one, or be named by what a
writer wrote. Everything else that lies in a place is a person's, or another program's, and stays.
"""

import re
from dataclasses import dataclass

from strax_core.errors import ConfigError, DataCorrupted
from strax_core.medium import checked_path

STAGING = ".staging"
FAILURE_NOTE_START = "failed-"

TEMPORARY = "_temp"
"""The end of a folder's name while strax writes it."""

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


def prefix_of(backend_key: str) -> str:
    """Return what the files of this folder start with: ``<type>-<hash>``.

    strax drops every ``_temp`` from the name first, wherever it stands; so must we.
    """
    folder = backend_key.replace(TEMPORARY, "").rsplit("/", 1)[-1]
    return folder.partition("-")[2] or folder


def metadata_name(backend_key: str) -> str:
    """Return the name of the metadata file inside this folder."""
    return f"{prefix_of(backend_key)}-metadata.json"


def metadata_path(backend_key: str) -> str:
    """Return the path of the metadata file of this piece of data."""
    return f"{backend_key}/{metadata_name(backend_key)}"


def metadata_paths(backend_key: str) -> tuple[str, str]:
    """Return where metadata may lie: under today's name, or under the one of an older strax."""
    return metadata_path(backend_key), f"{backend_key}/metadata.json"


def chunk_name(backend_key: str, chunk_i: int) -> str:
    """Return strax's name for the file of a chunk."""
    return f"{prefix_of(backend_key)}-{chunk_i:06d}"


def checked_file_name(name: str, *, where: str) -> str:
    """Return a file name that stood in stored metadata, if it stays inside its folder.

    One sub-folder at most: replaced data lie in one.

    Raises:
        DataCorrupted: it would leave the folder.
    """
    try:
        checked_path(name)
    except ConfigError as error:
        raise DataCorrupted(f"{where}: the metadata names the file {name!r}") from error
    if name.endswith("metadata.json"):
        raise DataCorrupted(f"{where}: the metadata name {name!r} as a chunk's file")
    if name.count("/") > 1:
        raise DataCorrupted(f"{where}: the metadata names the file {name!r}, two folders deep")
    return name


@dataclass(frozen=True, slots=True)
class Staging:
    """Paths of one writer of one piece of data: ``.staging/<key>/<write_id>/``."""

    backend_key: str
    write_id: str

    @property
    def of_key(self) -> str:
        """The folder of all writers of this piece of data, and of its failure notes."""
        return f"{STAGING}/{self.backend_key.rsplit('/', 1)[-1]}"

    @property
    def folder(self) -> str:
        """This writer's own folder."""
        return f"{self.of_key}/{self.write_id}"

    @property
    def ticket(self) -> str:
        """The file that says who writes what; the newest file beside it is the last beat."""
        return f"{self.folder}/ticket.json"

    @property
    def data(self) -> str:
        """Chunks of a medium that renames; only this folder moves at the commit."""
        return f"{self.folder}/data"

    @property
    def replaced(self) -> str:
        """The list of files that a replacement is about to make useless."""
        return f"{self.folder}/replaced.json"

    @property
    def ended(self) -> str:
        """Says that this writer is done, although its ticket stays for `clean`."""
        return f"{self.folder}/ended.json"

    @property
    def failure_note(self) -> str:
        """Path of the note why this writing failed; never found as data."""
        return f"{self.of_key}/{FAILURE_NOTE_START}{self.write_id}.json"

    def journal(self, writer: str, number: int) -> str:
        """A segment of the journal; each process that writes has its own `writer` letters."""
        return f"{self.folder}/journal-{writer}-{number:06d}.json"


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
