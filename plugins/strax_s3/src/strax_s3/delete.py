"""Deletes objects: a thousand in one request, or one by one where a server refuses that."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from strax_core import ConfigError, ObjectMissing, StorageError, StorageUnavailable
from strax_s3.client import Bucket

AT_ONCE_MAX = 1000  # what S3 takes


class Deleting:
    """Deletes objects; those that are not there are fine.

    What a server does not say to be gone is deleted once more, alone: that tells why, and is
    tried again where it may pass.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._takes_many = True

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects with these keys.

        Raises:
            StorageError: of the first that could not be deleted; others may be gone.
        """
        for start in range(0, len(keys), AT_ONCE_MAX):
            self._one_by_one(self._left_of(keys[start : start + AT_ONCE_MAX]))

    def _left_of(self, keys: Sequence[str]) -> Sequence[str]:
        """Delete all in one request; return those of which the server did not say so."""
        if not self._takes_many or len(keys) == 1:
            return keys
        try:
            answer = self._bucket.ask(
                "delete_objects", Delete={"Objects": [{"Key": key} for key in keys]}
            )
        except StorageUnavailable:
            raise
        except StorageError as error:
            # It may not know this request; else each one will be refused, too.
            self._takes_many = not isinstance(error, ConfigError)
            return keys
        gone = {told["Key"] for told in answer.get("Deleted", ())}
        gone -= {told.get("Key") for told in answer.get("Errors", ())}
        return [key for key in keys if key not in gone]

    def _one_by_one(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        with ThreadPoolExecutor(min(len(keys), self._bucket.options.concurrency)) as threads:
            for _ in threads.map(self._delete_one, keys):
                pass

    def _delete_one(self, key: str) -> None:
        with suppress(ObjectMissing):  # most servers do not even say so
            self._bucket.ask("delete_object", key)
