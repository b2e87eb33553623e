"""The last step of a commit: settled when its answer was lost, and replacing old data."""

import logging
import time
from collections.abc import Callable, Sequence

from strax_core.concurrency import Backoff
from strax_core.errors import (
    DataCorrupted,
    DataExistsError,
    NewerFormat,
    ObjectExists,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
)
from strax_core.format import Metadata, checksum, encode_document, is_chunk_below, metadata_path
from strax_core.medium import Medium
from strax_core.saver.saver import Saver
from strax_core.saver.tickets import writings_of

_LOG = logging.getLogger("strax_core")


class SettlingSaver(Saver):
    """The common part of the two ways to commit.

    - "It exists" is believed only when the metadata there show another `write_id`: ours is success.
    - A step whose answer was lost is repeated until the answer is definite. Reading back "nothing
      there" is not definite: the lost step may still land.
    """

    settle_time_s = 40.0
    """Time for which a step with lost answers is repeated before its outcome is called unknown.

    A try that began just before this ends must be over within a minute, too.
    """
    settle_pause_s = 0.1
    _replaced_files: Sequence[str] = ()
    _has_replaced = False
    """Whether there were metadata to replace; without them it is certain who was first."""

    def _settle(self, step: Callable[[], None]) -> bool:
        """Do `step` until its answer is definite; True: ours is visible, False: it is taken.

        Raises:
            StorageUnavailable: no definite answer in time.
            DataCorrupted: what was to be moved has vanished.
        """
        self._journal.check_alive()
        give_up = time.monotonic() + self.settle_time_s
        backoff = Backoff(first_s=self.settle_pause_s, longest_s=5.0)
        unanswered: StorageError | None = None
        while True:
            try:
                return self._step_once(step)
            except StorageUnavailable as error:
                unanswered = error
            except (DataCorrupted, DataExistsError):
                raise
            except StorageError as error:
                if unanswered is None:
                    raise
                unanswered = error  # says nothing of the try whose answer was lost
            _LOG.warning(
                "%s: no answer to the commit, trying again: %s", self.metadata.place, unanswered
            )
            backoff.pause()
            if self._journal.is_fenced or time.monotonic() > give_up:
                raise StorageUnavailable(
                    f"{self.metadata.place}: whether the commit of {self.write_id} happened is "
                    "unknown; nothing was discarded: ask for the data again, "
                    "or let `strax clean` settle it"
                ) from unanswered

    def _step_once(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except ObjectExists:
            return self._is_published()
        except ObjectMissing as error:
            if self._is_published():
                return True
            raise DataCorrupted(
                f"{self.metadata.place}: the chunks of {self.write_id} vanished before the commit"
            ) from error
        return True

    def _is_published(self) -> bool:
        """Say whether what has the final name is ours.

        Raises:
            StorageUnavailable: it cannot be read now, for whatever reason: nobody may conclude
                that it is not ours, and discard.
        """
        try:
            published = self._published()
        except (DataCorrupted, NewerFormat):
            return False  # what we write is readable, so this is not ours
        except StorageError as error:
            raise StorageUnavailable(
                f"{self.metadata.place}: cannot be read to see whose it is: {error}"
            ) from error
        return published is not None and published.write_id == self.write_id

    def _replaceable(self) -> tuple[bool, list[str]]:
        """Find out whether what stands there may be replaced: (has metadata, the files they name).

        Raises:
            DataExistsError: it may not.
        """
        raw: bytes | None = None
        try:
            raw = self._published_bytes()
            old = None if raw is None else Metadata.parse(raw, place=self.metadata.place)
            if old is not None and old.is_complete:
                _ = old.lineage  # what nobody can say what it is, nobody can load
        except DataCorrupted as error:
            _LOG.warning("%s: what stands there cannot be read: %s", self.metadata.place, error)
            self._refuse_unless(self.overwrite != "never", "something")
            if raw is not None:
                self._keep_for_a_person(raw)
            return True, []
        if old is None or not old.is_complete:
            self._refuse_unless(self.overwrite != "never", "something")
            return old is not None, [] if old is None else named_files(old)
        self._refuse_another(old)
        self._refuse_unless(self.overwrite == "always", "data")
        return True, named_files(old)

    def _keep_for_a_person(self, raw: bytes) -> None:
        """Damaged metadata may stand beside good chunks: both stay, for someone to look at."""
        name = f"unreadable-{checksum([raw]).rpartition(':')[2]}.json"
        self.medium.write(f"{self.backend_key}/{name}", [raw])

    def _refuse_unless(self, allowed: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not allowed:
            raise DataExistsError(
                f"{self.metadata.place}: {what} stands there already; "
                f"overwrite is {self.overwrite!r}"
            )

    def _refuse_another(self, old: Metadata) -> None:
        """Refuse to touch, or to count as ours, data of another key under this key's name."""
        ours = self.metadata
        if (old.run_id, old.data_type) != (ours.run_id, ours.data_type) or (
            old.lineage != ours.lineage
        ):
            raise DataCorrupted(
                f"{ours.place}: under this name stand {old.data_type} of run {old.run_id} with "
                "another lineage or name than is to be saved; move that folder away"
            )

    def _replace_metadata(self, metadata: Metadata) -> None:
        """Replace the metadata file in one step; `_tidy` deletes exactly what the old one named."""
        self._note_replaced([])  # before the old metadata are read: see `_has_rivals`
        has_metadata, named = self._replaceable()
        # Metadata may name anything: only what has the name of a chunk of these data is ours.
        old_files = [name for name in named if is_chunk_below(self.backend_key, name)]
        self._has_replaced = has_metadata
        # Should we die between the two steps, `clean` finds here what is left to delete.
        self._note_replaced(old_files)
        self._replaced_files = sorted(set(old_files) - set(named_files(metadata)))
        path = metadata_path(self.backend_key)

        def publish() -> None:
            self.medium.write(path, [metadata.to_bytes()], create_only=not has_metadata)

        if not self._settle(publish):
            raise DataExistsError(f"{self.metadata.place}: someone else replaced the data first")

    def _note_replaced(self, files: list[str]) -> None:
        self.medium.write(self.staging.replaced, [encode_document({"files": files})])

    def _tidy(self) -> None:
        try:
            self.medium.delete_files([f"{self.backend_key}/{n}" for n in self._replaced_files])
            # In this order: rivals that have ended leave behind what they did.
            if self._has_replaced and (self._has_rivals() or not self._is_published()):
                _LOG.info("%s: replaced, but perhaps not for long", self.metadata.place)
                # So that it is no rival any more, and only a ticket.
                self.medium.write(self.staging.ended, [b"{}"])
                return
        except StorageError as error:
            # The new data are visible, so this save has not failed; its ticket tells `clean` the
            # rest.
            _LOG.warning("%s: committed, but its ticket stays: %s", self.metadata.place, error)
            return
        super()._tidy()

    def _has_rivals(self) -> bool:
        """Say whether another writer may replace our data without knowing of them.

        Two that replace the same old data both succeed. Only `clean` can know then that the first
        one's chunks are of no use: by its ticket, which must stay. A rival that read the old
        metadata before we replaced them had announced itself before that; so looking afterwards
        finds every one, or, if it has ended meanwhile, its metadata in the place of ours.
        """
        return any(
            other.write_id != self.write_id
            and is_there(self.medium, other.replaced)
            and not is_there(self.medium, other.ended)
            for other in writings_of(self.medium, self.backend_key)
        )


def is_there(medium: Medium, path: str) -> bool:
    """Say whether there is such a file or folder."""
    folder, _, name = path.rpartition("/")
    return any(entry.name == name for entry in medium.list(folder, starts_with=name))


def named_files(metadata: Metadata) -> list[str]:
    """Return the chunk files that metadata name; none if they cannot be read (failed data)."""
    try:
        return [info.filename for info in metadata.chunks if info.filename is not None]
    except DataCorrupted:
        return []
