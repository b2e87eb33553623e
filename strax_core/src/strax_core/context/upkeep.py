"""Looks after stored data: the part of a context that copies, rewrites, verifies and removes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from threading import Event
from typing import TypeVar

from strax_core.arguments import names
from strax_core.backend import Leftover, clean
from strax_core.concurrency import RUNS_AT_ONCE, for_each_run, workers
from strax_core.context.lookup import Lookup
from strax_core.errors import CleanedInPart, ConfigError, DataExistsError, ReadOnlyError
from strax_core.format import DataKey
from strax_core.frontend import StorageFrontend
from strax_core.places import (
    Rewritten,
    Target,
    TransferOptions,
    copy_data,
    rewrite_data,
    stored_at,
    verify_data,
)

Answer = TypeVar("Answer")


class Upkeep(Lookup):
    """The part of a context that copies, rewrites, verifies and removes. See `Context`."""

    def verify(self, run_id: str, data_type: str, *, at: str | None = None) -> list[str]:
        """Read every copy to its end and check it; return the places, all of which are good.

        Args:
            run_id: of one run.
            data_type: of one data type; the key must match exactly.
            at: a place, as in `copy`; left out: all.

        Raises:
            ConfigError: there is no such place.
            DataCorrupted: a copy is damaged; the message says which, and which are good.
            DataNotAvailable: there is no copy.
            StorageError: a place could not answer.
        """
        key = self.key_for(run_id, data_type)
        asked = (
            [self._places.place(at)]
            if at is not None
            else [(each, None) for each in self._places if each.wants(data_type)]
        )
        return verify_data(key, asked)

    def copy(
        self,
        run_id: str | Sequence[str],
        targets: str | Sequence[str],
        to: str,
        *,
        chunk_size_bytes: int | None = None,
        compressor: str | None = None,
        max_workers: int | None = None,
    ) -> None:
        """Copy stored data to another place; each piece all or nothing.

        What was written is read back before it is committed, and compared with what was read.
        Without another codec or other chunks, the files are copied as they are.

        Args:
            run_id: one run, or several.
            targets: one data type, or several.
            to: a place of this context, ``frontend`` or ``frontend/backend``.
            chunk_size_bytes: about how large the copy's chunks are, uncompressed; left out: as now.
            compressor: codec of the copy; left out: the place's own, else as now.
            max_workers: how many threads read, encode and write.

        Raises:
            ConfigError: there is no such place or codec, or no such size.
            DataNotAvailable: something is not stored.
            DataExistsError: something is stored there already; all else was copied.
            ReadOnlyError: that place does not take it.
            StorageError: it could not be read, or not written.
        """
        frontend, backend = self._places.place(to)
        target = Target(
            frontend=frontend,
            backend=backend,
            chunk_size_bytes=chunk_size_bytes,
            compressor=compressor,
        )
        match = replace(self._match, allow_incomplete=False)
        there: list[DataExistsError] = []

        def copy_one(key: DataKey, options: TransferOptions) -> None:
            try:
                copy_data(partial(self._places.find_all, key, match), target, options)
            except DataExistsError as error:
                there.append(error)

        self._for_each_key(run_id, targets, copy_one, max_workers)
        if there:
            raise DataExistsError("; ".join(map(str, there))) from there[0]

    def rewrite(
        self,
        run_id: str | Sequence[str],
        targets: str | Sequence[str],
        at: str,
        *,
        chunk_size_bytes: int | None = None,
        compressor: str | None = None,
        max_workers: int | None = None,
    ) -> list[Rewritten]:
        """Store data again in the place where they are, in other chunks or with another codec.

        The old files go only after the new ones were read back and found to hold the same rows;
        readers find the old data or the new, at any time. What has the form wanted is passed over.

        Args:
            run_id: one run, or several.
            targets: one data type, or several; the keys must match exactly.
            at: the place, as in `copy`.
            chunk_size_bytes: about how large chunks are to be, uncompressed; left out: as now.
            compressor: the codec; left out: as now.
            max_workers: how many threads read, encode and write.

        Returns:
            What became of each piece of data, in the order given.

        Raises:
            ConfigError: there is no such place or codec, or no such size; or nothing is to change.
            DataNotAvailable: something is not stored there.
            DataCorrupted: something cannot be read; it stays as it is.
            DataExistsError: someone replaced it meanwhile; it stays as it is.
            ReadOnlyError: nothing may be replaced there.
            StorageError: it could not be read, or not written.
        """
        if chunk_size_bytes is None and compressor is None:
            raise ConfigError("give chunk_size_bytes, or compressor, or both")
        frontend, backend = self._places.place(at)
        target = Target(frontend=frontend, chunk_size_bytes=chunk_size_bytes, compressor=compressor)

        def rewrite_one(key: DataKey, options: TransferOptions) -> list[Rewritten]:
            return [
                rewrite_data(found, target.in_place_of(found), options)
                for found in list(stored_at(frontend, key, backend))
            ]

        done = self._for_each_key(run_id, targets, rewrite_one, max_workers)
        return [each for pieces in done for each in pieces]

    def remove(self, run_id: str, data_type: str, *, from_: str, force: bool = False) -> None:
        """Remove a piece of data from one place; its key must match exactly.

        Args:
            run_id: of one run.
            data_type: of one data type.
            from_: the place, as in `copy`.
            force: also the last good copy, which a catalogue does not remove from one backend.

        Raises:
            ConfigError: there is no such place.
            ReadOnlyError: nothing may be removed there, or not this without `force`.
            DataNotAvailable: it is not there.
        """
        frontend, backend = self._places.place(from_)
        frontend.remove(self.key_for(run_id, data_type), backend=backend, force=force)

    def clean(
        self, storage: str | StorageFrontend, *, grace_s: float | None = None, dry_run: bool = True
    ) -> list[Leftover]:
        """List what writers that died left in a place, and remove it unless `dry_run`.

        Args:
            storage: a frontend or its name.
            grace_s: how long a writer must have been silent; left out: the frontend's own time.
            dry_run: only list.

        Raises:
            ConfigError: there is no such place.
            ReadOnlyError: nothing may be removed there.
            CleanedInPart: something could not be looked for; all else was done.
            StorageError: it could not be read, or something could not be removed.
        """
        frontend = self._places.place(storage)[0] if isinstance(storage, str) else storage
        if frontend.readonly or all(backend.readonly for backend in frontend.backends.values()):
            raise ReadOnlyError(f"{frontend.name} is read-only, so nothing is cleaned there")
        grace_s = frontend.grace_time_s if grace_s is None else grace_s
        leftovers: list[Leftover] = []
        failure: CleanedInPart | None = None
        for backend in frontend.backends.values():
            if not backend.readonly:
                try:
                    leftovers += clean(backend, grace_s=grace_s, dry_run=dry_run)
                except CleanedInPart as error:
                    leftovers += error.leftovers
                    failure = failure or error
        if failure is not None:
            raise CleanedInPart(str(failure), leftovers) from failure
        return leftovers

    def _for_each_key(
        self,
        run_id: str | Sequence[str],
        targets: str | Sequence[str],
        work: Callable[[DataKey, TransferOptions], Answer],
        max_workers: int | None,
    ) -> list[Answer]:
        """Do something with each data type of each run; some runs at a time."""
        runs, data_types = names(run_id, "run_id"), names(targets, "targets")
        keys = {run: self._keys(run, data_types) for run in runs}
        with workers(None, max_workers) as pool:
            at_once = max(1, min(len(runs), pool.n_threads, RUNS_AT_ONCE))
            buffer_bytes = max(1, self._buffer_bytes // at_once)

            def of_run(run: str, stop: Event) -> list[Answer]:
                options = TransferOptions(
                    executor=pool.threads, buffer_bytes=buffer_bytes, stop=stop
                )
                return [work(key, options) for key in keys[run]]

            done = for_each_run(runs, of_run, at_once=at_once)
            return [answer for answers in done for answer in answers]
