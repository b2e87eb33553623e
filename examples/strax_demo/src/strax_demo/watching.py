"""Watching requests: what was made, what was kept, how long it took, and how far it is."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

from strax_core import Context, StorageBackend, StorageError
from strax_core.cli import Stored, contents, megabytes, writers_of
from strax_demo import simulation

LIVE_INTERVAL_S = 0.5
PLAIN_INTERVAL_S = 2.0
CLEAR_LINE = "\r\x1b[K"


@dataclass
class Watched:
    """A record of what happened while a block ran; complete when the block has ended."""

    seconds: float = 0.0
    made: dict[str, int] = field(default_factory=dict)  # chunks that were computed, by data type
    kept: list[Stored] = field(default_factory=list)  # what is stored now and was not before

    @property
    def nbytes(self) -> int:
        """Size of what was kept, uncompressed."""
        return sum(piece.nbytes or 0 for piece in self.kept)

    @property
    def made_types(self) -> list[str]:
        """Return the data types that were computed."""
        return sorted(self.made, key=("records", "peaks", "events").index)


@contextmanager
def watched(context: Context) -> Iterator[Watched]:
    """Measure a block: computed chunks are counted, the places are listed before and after."""
    result = Watched()
    before = {(piece.folder, piece.write_id) for piece in stored_in(context)}
    simulation.chunks_made.clear()
    started = time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - started
    result.made = dict(simulation.chunks_made)
    result.kept = [
        piece for piece in stored_in(context) if (piece.folder, piece.write_id) not in before
    ]


def stored_in(context: Context) -> list[Stored]:
    """List all data in the places of a context."""
    return [piece for backend in _backends(context) for piece in contents(backend).stored]


def expect(claim: str, *, holds: bool) -> None:
    """Stop the demo if something that it says is not so.

    Raises:
        StorageError: the claim does not hold.
    """
    if not holds:
        raise StorageError(f"the demo found a fault: this does not hold: {claim}")


class Progress:
    """Shows how far writers are: a live line on a terminal, else a plain line now and then.

    It reads the tickets and journals in the places, as anybody else could.
    """

    def __init__(self, context: Context, *, stream: TextIO | None = None) -> None:
        self._context = context
        self._stream = stream or sys.stderr
        self._is_live = self._stream.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-progress", daemon=True)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._is_live:
            self._write(CLEAR_LINE)

    def _run(self) -> None:
        interval_s = LIVE_INTERVAL_S if self._is_live else PLAIN_INTERVAL_S
        while not self._stop.wait(interval_s):
            line = self._line()
            self._write(f"{CLEAR_LINE}   {line}" if self._is_live else f"   {line}\n")

    def _line(self) -> str:
        try:
            writers = [w for backend in _backends(self._context) for w in writers_of(backend)]
        except StorageError:
            writers = []
        sizes = [f"{w.data_type} {megabytes(w.nbytes)}" for w in writers if w.chunks]
        so_far = f"written so far: {', '.join(sizes)}" if sizes else "at work"
        return f"... {time.monotonic() - self._started:.0f} s, {so_far}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _backends(context: Context) -> list[StorageBackend]:
    return [backend for place in context.storage for backend in place.backends.values()]
