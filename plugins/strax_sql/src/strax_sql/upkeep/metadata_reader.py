"""Reads the metadata of many pieces of data of one backend."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from strax_core import Metadata, StorageBackend, StorageError
from strax_sql.catalogue import facts_of

READERS = 16
_N_TRIED = 5
Answer = Metadata | StorageError


@dataclass(frozen=True)
class MetadataReader:
    """Reads side by side if the backend makes one wait.

    Else one by one: threads that do not wait are only in one another's way.

    Args:
        backend: that holds the data.
        threads: to read in.
    """

    backend: StorageBackend
    threads: ThreadPoolExecutor

    def read(self, names: Sequence[str]) -> Iterator[Answer]:
        """Iterate over metadata that are complete and make sense, or why there are none."""
        began_s, worked_s = time.perf_counter(), time.thread_time()
        first = [self._one(name) for name in names[:_N_TRIED]]
        took_s, worked_s = time.perf_counter() - began_s, time.thread_time() - worked_s
        yield from first
        makes_wait = took_s > 2 * worked_s
        yield from (self.threads.map if makes_wait else map)(self._one, names[_N_TRIED:])

    def _one(self, name: str) -> Answer:
        try:
            metadata = self.backend.get_metadata(name)
            metadata.check_loadable()
            _ = facts_of(metadata), metadata.lineage
        except StorageError as error:
            return error
        return metadata
