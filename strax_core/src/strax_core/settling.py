"""The last step of a commit, on any medium: settled when its answer was lost, and replacing old data."""

import logging
import time
from collections.abc import Callable

from strax_core.errors import (
    DataCorrupted,
    DataExistsError,
    ObjectExists,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
)
from strax_core.layout import metadata_path
from strax_core.metadata import Metadata, encode_document
from strax_core.saver import Saver

_LOG = logging.getLogger("strax_core")


class SettlingSaver(Saver):
    """What the two ways of committing share.

    - "It exists" is believed only when the metadata there show another `write_id`: ours is success.
    - A step whose answer was lost is repeated until the answer is definite. Reading back "nothing there"
      is not definite: the lost step may still land.
    """

    settle_time_s = 60.0
    """How long a step with lost answers is repeated before its outcome is called unknown."""
    settle_pause_s = 0.1

    def _settle(self, step: Callable[[], None]) -> bool:
        """Do `step` until its answer is definite; True: ours is visible, False: the target is taken.

        Raises:
            StorageUnavailable: no definite answer in time.
            DataCorrupted: what was to be moved has vanished.
        """
        give_up = time.monotonic() + self.settle_time_s
        pause_s = self.settle_pause_s
        while True:
            try:
                return self._step_once(step)
            except StorageUnavailable as error:
                if time.monotonic() > give_up:
                    raise StorageUnavailable(
                        f"{self.metadata.place}: whether the commit of {self.write_id} happened is unknown; "
                        "nothing was discarded: ask for the data again, or let `strax clean` settle it"
                    ) from error
                _LOG.warning(
                    "%s: no answer to the commit, trying again: %s", self.metadata.place, error
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)

    def _step_once(self, step: Callable[[], None]) -> bool:
        self._journal.check_alive()
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
        try:
            published = self._published()
        except StorageUnavailable:
            raise
        except StorageError:
            return False  # unreadable, so not ours: what we write is readable
        return published is not None and published.write_id == self.write_id

    def _replaceable(self) -> tuple[bool, list[str]]:
        """Find out whether what stands there may be replaced: (has metadata, the files they name).

        Raises:
            DataExistsError: it may not.
        """
        old: Metadata | None = None
        has_metadata = True
        try:
            old = self._published()
            has_metadata = old is not None
        except DataCorrupted as error:
            _LOG.warning("%s: what stands there cannot be read: %s", self.metadata.place, error)
        is_broken = old is None or not old.is_complete
        if self.overwrite == "never" or (self.overwrite == "if_broken" and not is_broken):
            raise DataExistsError(
                f"{self.metadata.place}: "
                + ("something" if is_broken else "data")
                + f" stands there already; overwrite is {self.overwrite!r}"
            )
        return has_metadata, [] if old is None else named_files(old)

    def _replace_metadata(self, metadata: Metadata) -> None:
        """Replace the metadata file in one step, then delete exactly what the old one named."""
        has_metadata, old_files = self._replaceable()
        path = metadata_path(self.backend_key)
        # Should we die between the two steps, `clean` finds here what is left to delete.
        self.medium.write(self.staging.replaced, [encode_document({"files": old_files})])

        def publish() -> None:
            self.medium.write(path, [metadata.to_bytes()], create_only=not has_metadata)

        if not self._settle(publish):
            raise DataExistsError(f"{self.metadata.place}: someone else replaced the data first")
        for name in sorted(set(old_files) - set(named_files(metadata))):
            self.medium.delete(f"{self.backend_key}/{name}")


def named_files(metadata: Metadata) -> list[str]:
    """Return the chunk files that metadata name; none if they cannot be read (failed data)."""
    try:
        return [info.filename for info in metadata.chunks if info.filename is not None]
    except DataCorrupted:
        return []
