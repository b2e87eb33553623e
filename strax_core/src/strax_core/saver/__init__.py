"""Role 3, the saver: writes one piece of data to one place, then commits it."""

from strax_core.saver.commit import SettlingSaver, is_there, named_files
from strax_core.saver.conditional import ConditionalSaver
from strax_core.saver.own_files import (
    is_chunk_folder,
    is_plain_file,
    is_plain_folder,
    own_files,
    remove_writer,
)
from strax_core.saver.renaming import RenamingSaver
from strax_core.saver.saver import OVERWRITE, Saver
from strax_core.saver.status import (
    FailureNote,
    Writer,
    failure_notes,
    keys_in_staging,
    writers_at_work,
)
from strax_core.saver.tickets import read_json, read_ticket, receipts_in, writings_of

__all__ = [
    "OVERWRITE",
    "ConditionalSaver",
    "FailureNote",
    "RenamingSaver",
    "Saver",
    "SettlingSaver",
    "Writer",
    "failure_notes",
    "is_chunk_folder",
    "is_plain_file",
    "is_plain_folder",
    "is_there",
    "keys_in_staging",
    "named_files",
    "own_files",
    "read_json",
    "read_ticket",
    "receipts_in",
    "remove_writer",
    "writers_at_work",
    "writings_of",
]
