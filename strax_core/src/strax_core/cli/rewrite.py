"""``strax rechunk`` and ``strax recompress``: the same rows in other chunks, or another codec."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from threading import Event

from strax_core.cli.output import complain, megabytes, one_line, say, say_json, say_table
from strax_core.cli.patterns import fits
from strax_core.cli.places import check_is_there, open_place, open_to_change
from strax_core.codecs import codec_named
from strax_core.concurrency import BUFFER_BYTES, RUNS_AT_ONCE, for_each_run, workers
from strax_core.errors import (
    DataCorrupted,
    DataNotAvailable,
    NewerFormat,
    StorageError,
)
from strax_core.format import DataKey
from strax_core.frontend import Location, StorageFrontend
from strax_core.places import (
    Found,
    Outcome,
    Rewritten,
    Target,
    TransferOptions,
    found_at,
    rewrite_data,
)

_HEADINGS = ("piece of data", "what", "chunks", "stored before", "stored after")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Options of the command line."""

    place: str
    to: str | None
    config: str | None
    runs: Sequence[str]
    """Patterns as in a shell; none: all."""
    data_types: Sequence[str]
    chunk_size_mb: float | None
    compressor: str | None
    n_workers: int | None
    dry_run: bool

    def wants(self, run_id: str, data_type: str) -> bool:
        """Say whether this is to be rewritten."""
        return fits(run_id, self.runs) and fits(data_type, self.data_types)


@dataclass(kw_only=True)
class _Report:
    """What has become of the pieces so far; written to stderr as they are done."""

    n_pieces: int
    done: list[Rewritten] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, piece: Rewritten) -> None:
        self.done.append(piece)
        sizes = f"{megabytes(piece.bytes_before)} -> {megabytes(piece.bytes_after)}"
        self._say(f"{one_line(piece.name)}: {piece.outcome.value}: {sizes}")

    def add_failure(self, name: str, error: StorageError) -> None:
        self.failures.append(f"{name}: {error}")
        self._say(f"{one_line(name)}: failed: {one_line(error)}")

    def _say(self, text: str) -> None:
        complain(f"[{len(self.done) + len(self.failures)}/{self.n_pieces}] {text}")


def rewrite_place(job: Job, *, as_json: bool) -> None:
    """Rewrite what was asked for, each piece for itself; then write what it brought.

    Raises:
        DataNotAvailable: there is nothing of the kind.
        ReadOnlyError: nothing may be written there.
        StorageError: something failed; all else was done.
    """
    if job.compressor is not None:
        codec_named(job.compressor)  # refused before anything is read
    frontend = _opened(job.place, job)
    target = Target(
        frontend=frontend if job.to is None else _opened(job.to, job),
        chunk_size_bytes=None if job.chunk_size_mb is None else int(job.chunk_size_mb * 1e6),
        compressor=job.compressor,
    )
    pieces: dict[str, list[Found]] = {}
    for found in _pieces(frontend, job):
        pieces.setdefault(found.key.run_id, []).append(found)
    if not pieces:
        raise DataNotAvailable(f"{frontend.name} has no complete data of what was named")
    report = _Report(n_pieces=sum(map(len, pieces.values())))
    _rewrite_all(job, pieces, target, report)
    if as_json:
        _say_json(target, report)
    else:
        _say_summary(report)
    if report.failures:
        raise StorageError(f"failed: {len(report.failures)} of {report.n_pieces}, the rest is done")


def _opened(place: str, job: Job) -> StorageFrontend:
    frontend = open_place(place, job.config, readonly=True)
    check_is_there(frontend)
    if job.dry_run or job.to not in (None, place):
        return frontend
    return open_to_change(place, job.config, undone="changed")


def _pieces(frontend: StorageFrontend, job: Job) -> Iterator[Found]:
    """Iterate over the complete data that are wanted; what cannot be read, `strax ls` shows."""
    for name, backend in frontend.backends.items():
        entries = sorted(backend.list(""), key=lambda entry: entry.name)
        for entry in (each for each in entries if each.is_folder):
            folder = entry.name
            parts = DataKey.parse_name(folder)
            if parts is None or not job.wants(*parts[:2]):
                continue
            if entry.is_link and job.to is None and parts[0] not in job.runs:
                complain(
                    f"{one_line(folder)} is passed over: it is a link; name its run, "
                    f"{one_line(parts[0])}, to rewrite what it leads to"
                )
                continue
            try:
                metadata = backend.get_metadata(folder)
                metadata.check_loadable()
                key = DataKey(metadata.run_id, metadata.data_type, metadata.lineage)
            except (DataNotAvailable, DataCorrupted, NewerFormat) as error:
                complain(f"{one_line(folder)} is passed over: {one_line(error)}")
                continue
            location = Location(backend=name, backend_key=folder, metadata=metadata)
            yield found_at(frontend, key, location, metadata)


def _rewrite_all(job: Job, pieces: dict[str, list[Found]], target: Target, report: _Report) -> None:
    with workers(None, job.n_workers) as pool:
        at_once = max(1, min(len(pieces), pool.n_threads, RUNS_AT_ONCE))

        def of_run(run_id: str, stop: Event) -> None:
            buffer_bytes = BUFFER_BYTES // at_once
            options = TransferOptions(executor=pool.threads, buffer_bytes=buffer_bytes, stop=stop)
            for found in pieces[run_id]:
                form = target.in_place_of(found) if job.to is None else target
                try:
                    report.add(rewrite_data(found, form, options, dry_run=job.dry_run))
                except StorageError as error:
                    report.add_failure(found.key.name, error)

        for _ in for_each_run(list(pieces), of_run, at_once=at_once):
            pass


def _say_json(target: Target, report: _Report) -> None:
    say_json(
        {
            "place": target.frontend.name,
            "pieces": [{**asdict(piece), "outcome": piece.outcome.value} for piece in report.done],
            "failures": report.failures,
        }
    )


def _say_summary(report: _Report) -> None:
    pieces = sorted(report.done, key=lambda piece: piece.name)
    say_table(_HEADINGS, [_row(piece) for piece in pieces])
    counts = [
        f"{number} {outcome.value}"
        for outcome in Outcome
        if (number := sum(piece.outcome is outcome for piece in pieces))
    ]
    before = sum(piece.bytes_before for piece in pieces)
    after = sum(piece.bytes_after or 0 for piece in pieces)
    sizes = f"{megabytes(before)} before"
    if all(piece.bytes_after is not None for piece in pieces):
        sizes += f", {megabytes(after)} after"
    say(f"{', '.join(counts) or 'nothing was done'}: {sizes}")
    for failure in report.failures:
        say(f"failed: {one_line(failure)}")


def _row(piece: Rewritten) -> list[object]:
    after = "?" if piece.chunks_after is None else piece.chunks_after
    sizes = [megabytes(piece.bytes_before), megabytes(piece.bytes_after)]
    return [one_line(piece.name), piece.outcome.value, f"{piece.chunks_before} -> {after}", *sizes]
