"""Sends chunks through a line of data plugins elsewhere, and takes what comes back, in order."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from itertools import count

from strax_core.computing import comes, who
from strax_core.errors import PluginGaveWrongOutput, StorageUnavailable
from strax_core.keeping import Keeper
from strax_core.lines import Done, Line, PackedLine, do_chunk
from strax_core.tasks import end_all


class Dispatcher:
    """The tasks of one line; whoever made it calls `end` when its request fails.

    Args:
        line: what is done with each chunk.
        keepers: of each data type that is kept, with the savers of the line.
        elsewhere: where it is done.
        n_ahead: how many chunks may be under way at once.
    """

    def __init__(
        self, line: Line, keepers: Mapping[str, Keeper], *, elsewhere: Executor, n_ahead: int
    ) -> None:
        self._line = line
        self._keepers = keepers
        self._elsewhere = elsewhere
        self._n_ahead = n_ahead
        self._under_way: deque[Future[Done]] = deque()

    def steps(self) -> Generator[Done, None, None]:
        """Iterate over what the tasks give back; the end commits what was kept.

        Raises:
            StorageUnavailable: a worker died.
            Exception: what a data plugin, or a place, raised elsewhere.
        """
        packed = self._line.packed()
        end: int | None = None
        try:
            for chunk_i in self._numbers():
                if len(self._under_way) == self._n_ahead:
                    done = self._next_done(end)
                    end = done.end
                    yield done
                self._under_way.append(self._sent(packed, chunk_i))
            while self._under_way:
                done = self._next_done(end)
                end = done.end
                yield done
        finally:
            self.end()
        if end is None:
            raise PluginGaveWrongOutput(f"{who(self._line.instances[0])} gave no chunk")
        for keeper in self._keepers.values():
            keeper.finish()

    def end(self) -> None:
        """Cancel what has not begun and wait for the rest; safe to call again."""
        end_all(self._under_way)
        self._under_way.clear()

    def _numbers(self) -> Iterator[int]:
        line = self._line
        if not line.is_source:
            yield from range(len(next(iter(line.copies.values()))[0].metadata.chunks))
            return
        source = line.instances[0]
        source.setup()
        for chunk_i in count():
            if not comes(source, chunk_i):
                return
            yield chunk_i

    def _sent(self, packed: PackedLine, chunk_i: int) -> Future[Done]:
        try:
            return self._elsewhere.submit(do_chunk, packed, chunk_i)
        except BrokenExecutor as error:
            raise _died(error) from error

    def _next_done(self, end: int | None) -> Done:
        wait([self._under_way[0]])  # if that is interrupted, `end` still knows of it
        try:
            done = self._under_way.popleft().result()
        except BrokenExecutor as error:
            raise _died(error) from error
        if end is not None and done.start != end:
            raise PluginGaveWrongOutput(
                f"{who(self._line.instances[0])} gave a chunk from {done.start} on; "
                f"the one before ends at {end}"
            )
        for data_type, keeper in self._keepers.items():
            keeper.note(done.receipts[data_type])
        return done


def _died(error: BrokenExecutor) -> StorageUnavailable:
    return StorageUnavailable(
        f"a worker died, so nothing of this request is kept: {error}; "
        "ask again, with fewer workers if memory ran out"
    )
