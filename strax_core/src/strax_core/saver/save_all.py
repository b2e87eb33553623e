"""Chunks through a saver, one after the other or in an executor, with bounded memory."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from strax_core.chunks import Chunk, rechunked
from strax_core.concurrency import InFlight


def save_all(
    save: Callable[[Chunk, int], object],
    chunks: Iterable[Chunk],
    *,
    target_bytes: int | None,
    executor: Executor | None,
) -> None:
    """Call `save` for each chunk with its number, rechunked unless `target_bytes` is None."""
    in_flight = InFlight()
    try:
        for chunk_i, chunk in enumerate(
            chunks if target_bytes is None else rechunked(chunks, target_bytes)
        ):
            if executor is None:
                save(chunk, chunk_i)
            else:
                in_flight.make_room(chunk.nbytes)
                in_flight.add(executor.submit(save, chunk, chunk_i), chunk.nbytes)
        in_flight.drain()
    finally:
        in_flight.cancel()
