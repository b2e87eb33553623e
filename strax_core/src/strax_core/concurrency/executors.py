"""Executors of a request's steps: threads here, and processes if the user gives some."""

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from strax_core.arguments import positive_int
from strax_core.errors import ConfigError, StorageUnavailable

WORKERS = 4  # threads for encoding, writing, reading: few, since disks and two cores gain no more


@dataclass(frozen=True, slots=True)
class Workers:
    """Threads for single steps; an executor of another kind for whole tasks of data plugins."""

    threads: Executor
    elsewhere: Executor | None = None
    """Processes or machines: they compute, encode and write, so that rows do not travel."""

    @property
    def n_threads(self) -> int:
        """Number of threads, as far as the executor tells."""
        return n_workers(self.threads)

    @property
    def n_elsewhere(self) -> int:
        """Number of tasks that can run elsewhere at once, as far as the executor tells."""
        return n_workers(self.elsewhere)


def n_workers(executor: Executor | None) -> int:
    """Return how many tasks run in it at once, as far as it tells."""
    return int(getattr(executor, "_max_workers", None) or WORKERS)


@contextmanager
def workers(executor: Executor | None, max_workers: int | None) -> Iterator[Workers]:
    """Give the user's threads, or `max_workers` of our own that end with the block.

    Raises:
        ConfigError: not an executor, one that was shut down, or not a number of threads.
        StorageUnavailable: the executor's workers died.
    """
    given: object = executor
    if given is not None and not isinstance(given, Executor):
        raise ConfigError(f"executor is a {type(given).__name__}; give a concurrent.futures one")
    if executor is not None:
        _begin(executor)
    if isinstance(executor, ThreadPoolExecutor):
        yield Workers(executor)
        return
    n_threads = WORKERS if max_workers is None else positive_int(max_workers, "max_workers")
    with ThreadPoolExecutor(n_threads, thread_name_prefix="strax") as own:
        yield Workers(own, executor)


def _begin(executor: Executor) -> None:
    """See that it takes tasks.

    Processes are forked now: later, a thread of ours could hold a lock, for ever in a fork.
    """
    try:
        executor.submit(_nothing)
    except BrokenExecutor as error:
        raise StorageUnavailable(
            f"the workers of this {type(executor).__name__} died earlier; give a new one"
        ) from error
    except RuntimeError as error:
        raise ConfigError(
            f"this {type(executor).__name__} takes no tasks: {error}; give a new one"
        ) from error


def _nothing() -> None:
    """Runs elsewhere."""
