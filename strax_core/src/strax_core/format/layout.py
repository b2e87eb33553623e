"""Names of files and folders inside a place. Source: folder layout of strax 2.2.3.

A piece of data is a folder ``<run>-<type>-<hash>``; beside all pieces lies ``.staging/``, where
writers work.
No folder beside the data may have three dash-separated parts: strax would take it for data.
"""

from dataclasses import dataclass

from strax_core.errors import ConfigError, DataCorrupted
from strax_core.medium import checked_path

STAGING = ".staging"


FAILURE_NOTE_START = "failed-"


TEMPORARY = "_temp"
"""The end of a folder's name while strax writes it."""


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
    """Where one writer of one piece of data works: ``.staging/<key>/<write_id>/``."""

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
        """Why this writing failed; never found as data."""
        return f"{self.of_key}/{FAILURE_NOTE_START}{self.write_id}.json"

    def journal(self, writer: str, number: int) -> str:
        """A segment of the journal; each process that writes has its own `writer` letters."""
        return f"{self.folder}/journal-{writer}-{number:06d}.json"
