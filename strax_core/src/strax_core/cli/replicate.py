"""``strax replicate``: what a catalogue knows of, copied to one of its backends, in parallel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event

from strax_core.cli.output import complain, one_line, say
from strax_core.cli.patterns import fits
from strax_core.cli.places import open_place, open_to_change
from strax_core.concurrency import BUFFER_BYTES, RUNS_AT_ONCE, for_each_run, workers
from strax_core.errors import DataExistsError, StorageError
from strax_core.format import DataKey
from strax_core.frontend import StorageFrontend, catalogue_of
from strax_core.places import Places, Target, TransferOptions, copy_data


@dataclass(frozen=True, kw_only=True)
class Replication:
    """Options of the command line."""

    place: str
    to: str
    config: str | None
    runs: Sequence[str]
    """Patterns as in a shell; none: all."""
    data_types: Sequence[str]
    compressor: str | None
    n_workers: int | None
    dry_run: bool

    def wants(self, key: DataKey) -> bool:
        """Say whether this is to be copied."""
        return fits(key.run_id, self.runs) and fits(key.data_type, self.data_types)


def replicate(job: Replication) -> None:
    """Copy all that has no good copy in a backend yet; what is there already is passed over.

    Raises:
        ReadOnlyError: nothing may be written there.
        StorageError: something failed; all else was done.
    """
    if job.dry_run:
        frontend = open_place(job.place, job.config, readonly=True)
    else:
        frontend = open_to_change(job.place, job.config, undone="copied")
    target = Target(frontend=frontend, backend=job.to, compressor=job.compressor)
    Places([frontend]).place(f"{frontend.name}/{job.to}")  # or an error, before any work
    keys: dict[str, list[DataKey]] = {}
    for key in filter(job.wants, catalogue_of(frontend).catalogued(missing_in=job.to)):
        keys.setdefault(key.run_id, []).append(key)
    number = sum(map(len, keys.values()))
    if job.dry_run:
        for each in keys.values():
            for key in each:
                say(one_line(key))
        say(f"could be copied to {job.to}: {number}")
        return
    failures = list(_copied(job, frontend, target, keys))
    say(f"copied to {job.to}: {number - len(failures)} of {number}")
    if failures:
        raise StorageError(f"failed: {len(failures)} of {number}, the rest is done: {failures[0]}")


def _copied(
    job: Replication,
    frontend: StorageFrontend,
    target: Target,
    keys: dict[str, list[DataKey]],
) -> Iterator[str]:
    """Copy all, and iterate over what failed."""
    places = Places([frontend])
    with workers(None, job.n_workers) as pool:
        at_once = max(1, min(len(keys), pool.n_threads, RUNS_AT_ONCE))

        def of_run(run_id: str, stop: Event) -> list[str]:
            options = TransferOptions(
                executor=pool.threads, buffer_bytes=BUFFER_BYTES // at_once, stop=stop
            )
            failures = []
            for key in keys[run_id]:
                try:
                    copy_data(partial(places.find_all, key), target, options)
                except DataExistsError:
                    complain(f"{one_line(key)}: is there already")
                except StorageError as error:
                    failures.append(f"{key}: {error}")
                    complain(f"{one_line(key)}: failed: {one_line(error)}")
                else:
                    complain(f"{one_line(key)}: copied")
            return failures

        for failures in for_each_run(list(keys), of_run, at_once=at_once):
            yield from failures
