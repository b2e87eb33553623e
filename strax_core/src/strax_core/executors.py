"""The threads that a request uses: the user's, or some of its own for as long as it runs."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from strax_core.errors import ConfigError

WORKERS = 4  # threads for encoding, writing, reading: few, since disks and two cores gain no more


@contextmanager
def threads(executor: Executor | None, max_workers: int | None) -> Iterator[Executor]:
    """Give the executor, or a pool of `max_workers` threads that ends with the block.

    Raises:
        ConfigError: not an executor that is served, or not a number of threads.
    """
    from concurrent.futures import ThreadPoolExecutor

    if executor is None:
        n_workers: object = WORKERS if max_workers is None else max_workers
        if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1:
            raise ConfigError(f"max_workers is {max_workers!r}; it must be a whole number above 0")
        with ThreadPoolExecutor(n_workers, thread_name_prefix="strax") as own:
            yield own
    elif isinstance(executor, ThreadPoolExecutor):
        yield executor
    else:
        raise ConfigError(f"{type(executor).__name__} is not served yet; give a ThreadPoolExecutor")
