"""Does a server create an object only if there is none? Some pass over that condition."""

import secrets
import threading
from contextlib import suppress

from strax_core import STAGING, ConfigError, ObjectExists, StorageError
from strax_s3.client import Bucket
from strax_s3.joined import Joined
from strax_s3.uploading import upload


class Probe:
    """Asks once, at the first write, and remembers the answer, also in another process."""

    def __init__(self, bucket: Bucket, root: str) -> None:
        self._bucket, self._root = bucket, root
        self._answer: bool | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[Bucket, str, bool | None]:
        return self._bucket, self._root, self._answer

    def __setstate__(self, state: tuple[Bucket, str, bool | None]) -> None:
        self._bucket, self._root, self._answer = state
        self._lock = threading.Lock()

    def check(self) -> None:
        """Refuse a server that passes over the condition, unless the user takes the risk.

        Raises:
            ConfigError: it does.
        """
        if self._bucket.options.unsafe_commit or self.is_honoured():
            return
        raise ConfigError(
            f"{self._bucket.named('')} does not create a file only if there is none, so two "
            "writers of the same data could both believe to be the first, and the data of one "
            "would be lost. Use another server; or, if only one process ever writes here, set "
            "unsafe_commit = true"
        )

    def is_honoured(self) -> bool:
        """Say whether of two who create one object the second is refused."""
        with self._lock:
            if self._answer is None:
                self._answer = self._ask()
            return self._answer

    def _ask(self) -> bool:
        key = f"{self._root}{STAGING}/probe-{secrets.token_hex(8)}"
        try:
            upload(self._bucket, key, Joined([b"first"]), create_only=True)
            upload(self._bucket, key, Joined([b"second"]), create_only=True)
        except ObjectExists:
            return True
        except ConfigError:  # it may know the condition, and say that it cannot do it
            upload(self._bucket, key, Joined([b"third"]))  # if it cannot do this either, that is it
            return False
        finally:
            with suppress(StorageError):  # `strax clean` finds it
                self._bucket.ask("delete_object", key)
        return False
