"""Tries whether a server creates an object only if there is none; some ignore that condition."""

import secrets
import time
from contextlib import suppress

from strax_core import STAGING, ConfigError, ObjectExists, StorageError, StorageUnavailable
from strax_s3.body import Joined
from strax_s3.client import Bucket, UnclearError
from strax_s3.upload import upload


class Probe:
    """Asks once, at the first write, and remembers the answer, also in another process."""

    def __init__(self, bucket: Bucket, root: str) -> None:
        self._bucket, self._root = bucket, root
        self._answer: bool | None = None
        self._failed_at = 0.0

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
            "would be lost. Use another server, or on Ceph a bucket without versioning; or, if "
            "only one process ever writes here, set unsafe_commit = true"
        )

    def __getstate__(self) -> dict[str, object]:
        # Another machine's clock began at another time.
        return {**vars(self), "_failed_at": 0.0}

    def is_honoured(self) -> bool:
        """Say whether of two who create one object the second is refused."""
        asked_at = time.monotonic()
        with self._bucket.question:
            if self._answer is None:
                if self._failed_at > asked_at:  # or each would wait as long, one after the other
                    raise StorageUnavailable(f"{self._bucket.named('')} got no answer")
                try:
                    self._answer = self._ask()
                except StorageUnavailable:
                    self._failed_at = time.monotonic()
                    raise
            return self._answer

    def _ask(self) -> bool:
        key = f"{self._root}{STAGING}/probe-{secrets.token_hex(8)}"
        # Without the condition: of a repeated one it would be unclear whether it met itself.
        upload(self._bucket, key, Joined([b"first"]))
        try:
            upload(self._bucket, key, Joined([b"second"]), create_only=True)
        except (ObjectExists, UnclearError):  # whichever try was refused: there was the first
            return True
        except ConfigError:  # it knows the condition, and says that it cannot do it
            return False
        finally:
            with suppress(StorageError):  # `strax clean` finds it
                self._bucket.ask("delete_object", key)
        return False
