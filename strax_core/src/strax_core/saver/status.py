"""Status of one piece of data, for people: who writes it, what failed."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from strax_core.errors import StorageError
from strax_core.format import FAILURE_NOTE_START, STAGING, Staging, stored_time_s
from strax_core.medium import Medium
from strax_core.saver.tickets import Ticket, read_json, read_ticket, writings_of

_LOG = logging.getLogger("strax_core")
Name = TypeVar("Name")
Thing = TypeVar("Thing")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A ticket in the staging place: someone writes this, or died."""

    folder: str
    write_id: str
    run_id: str
    data_type: str
    host: str
    pid: int | None
    chunks: int
    rows: int
    stored_bytes: int
    nbytes: int
    silent_s: float
    """Seconds since its last heartbeat, if the place's clock and ours agree."""


@dataclass(frozen=True, kw_only=True)
class FailureNote:
    """The reason why a save failed; the next success of the same data removes it."""

    folder: str
    write_id: str
    reason: str
    exception: str
    """The traceback."""
    ended_s: float | None
    """Time of the failure, seconds since the Unix epoch, by the writer's clock."""


def writers_at_work(medium: Medium, key_name: str) -> list[Writer]:
    """Return who writes a piece of data, or died at it; what cannot be read is logged."""
    return _readable(
        lambda: writings_of(medium, key_name),
        lambda staging: _writer(read_ticket(medium, staging), key_name),
    )


def failure_notes(medium: Medium, key_name: str) -> list[FailureNote]:
    """Return the notes of failed saves of a piece of data; what cannot be read is logged."""
    of_key = Staging(key_name, "").of_key
    return _readable(
        lambda: sorted(e.name for e in medium.list(of_key, starts_with=FAILURE_NOTE_START)),
        lambda name: _note(read_json(medium, f"{of_key}/{name}"), name, key_name),
    )


def keys_in_staging(medium: Medium) -> list[str]:
    """Return the names of all pieces of data that have a ticket or a note, in one listing.

    Raises:
        StorageError: the place could not be read.
    """
    return sorted(entry.name for entry in medium.list(STAGING) if entry.is_folder)


def _readable(listed: Callable[[], list[Name]], read: Callable[[Name], Thing]) -> list[Thing]:
    readable: list[Thing] = []
    try:
        names = listed()
    except StorageError as error:
        _LOG.warning("what is being written could not be listed: %s", error)
        return []
    for name in names:
        try:
            readable.append(read(name))
        except StorageError as error:
            _LOG.warning("what is being written could not be read: %s", error)
    return readable


def _writer(ticket: Ticket, key_name: str) -> Writer:
    document, infos = ticket.document, ticket.infos
    writer = document.get("writer")
    host: dict[str, Any] = writer if isinstance(writer, dict) else {}
    silent_s = max(0.0, time.time() - ticket.last_beat_ns / 1e9)
    return Writer(
        folder=str(document.get("backend_key", key_name)),
        write_id=ticket.staging.write_id,
        run_id=str(document.get("run_id", "?")),
        data_type=str(document.get("data_type", "?")),
        host=str(host.get("host", "?")),
        pid=host.get("pid"),
        chunks=len(infos),
        rows=sum(info.n for info in infos),
        stored_bytes=sum(info.filesize or 0 for info in infos),
        nbytes=sum(info.nbytes for info in infos),
        silent_s=silent_s if ticket.last_beat_ns else 0.0,
    )


def _note(document: Mapping[str, Any], name: str, key_name: str) -> FailureNote:
    return FailureNote(
        folder=key_name,
        write_id=name.removeprefix(FAILURE_NOTE_START).removesuffix(".json"),
        reason=str(document.get("reason") or "the note cannot be read"),
        exception=str(document.get("exception") or ""),
        ended_s=stored_time_s(document.get("writing_ended")),
    )
