"""A bar on stderr that shows how far a request has come."""

import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from time import perf_counter
from typing import Any, Protocol, TypeVar


class Stretch(Protocol):
    """A stretch of time with a size: a chunk, or its entry in metadata."""

    @property
    def start(self) -> int:
        """In ns."""

    @property
    def end(self) -> int:
        """In ns."""

    @property
    def nbytes(self) -> int:
        """Uncompressed size."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch without its rows."""

    start: int
    end: int
    nbytes: int


Some = TypeVar("Some", bound=Stretch)
_NS_PER_S = 1e9
_BYTES_PER_MB = 1e6
_WITH_END = (
    "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}{postfix}]"
)

_WITHOUT_END = "{desc}: {n:.1f} s [{elapsed}{postfix}]"


def progress(
    chunks: Iterator[Some],
    *,
    show: bool | None,
    title: str,
    span_ns: tuple[int, int] | None = None,
) -> Iterator[Some]:
    """Return the same chunks, showing on stderr how many seconds of data have come.

    Closing the generator that is returned closes the bar, and `chunks` if that is a generator.

    Args:
        chunks: chunks of one run, or their entries in metadata, in their order.
        show: `None` shows a bar on a terminal or in a notebook only; `False` never, and gives
            back `chunks` itself; `True` always.
        title: what stands before the bar.
        span_ns: the start and end of what will come, if known; else there is no percentage.
    """
    shown = _is_watched() if show is None else show
    return _with_bar(chunks, title, span_ns) if shown else chunks


def _is_watched() -> bool:
    """Whether somebody sees what is written to stderr: on a terminal, or in a notebook."""
    # stderr is None where there is no console.
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    # Whoever runs in a notebook has imported IPython; a kernel tells it from a mere shell.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _with_bar(
    chunks: Iterator[Some], title: str, span_ns: tuple[int, int] | None
) -> Generator[Some, None, None]:
    start, total = None, None
    if span_ns is not None and span_ns[0] < span_ns[1]:
        start, total = span_ns[0], (span_ns[1] - span_ns[0]) / _NS_PER_S
    bar = _new_bar(title, total)
    try:
        asked = perf_counter()
        for n_chunks in count(1):
            try:
                given = [next(chunks)]
            except StopIteration:
                return
            seconds = max(perf_counter() - asked, 1e-9)
            start = given[0].start if start is None else start
            done = max(given[0].end - start, 0) / _NS_PER_S
            bar.set_postfix_str(
                f"{n_chunks} chunks, {given[0].nbytes / _BYTES_PER_MB / seconds:.1f} MB/s",
                refresh=False,
            )
            bar.update((done if total is None else min(done, total)) - bar.n)
            yield given.pop()  # not by way of a variable, which would keep the rows
            asked = perf_counter()
    finally:
        bar.close()
        if isinstance(chunks, Generator):
            chunks.close()


def _new_bar(title: str, total: float | None) -> Any:
    return _bar_class()(
        total=total, desc=title, bar_format=_WITHOUT_END if total is None else _WITH_END
    )


@cache
def _bar_class() -> Any:
    """One class, so that bars of several threads know of one another."""
    from tqdm.std import tqdm

    class Bar(tqdm):  # type: ignore[misc] # tqdm has no types
        monitor_interval = 0  # else tqdm starts a thread that stays

    Bar.set_lock(threading.RLock())  # else tqdm makes a lock for processes, too
    return Bar
