"""Sends chunks through a line of data plugins elsewhere, and takes what comes back, in order."""

from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from itertools import count
from threading import Lock

from strax_core.concurrency import Queue
from strax_core.errors import PluginGaveWrongOutput, StorageUnavailable
from strax_core.processing.compute import comes, set_up, who
from strax_core.processing.fused_task import Done, Failed, FusedStage, Task, do_chunk
from strax_core.processing.saver_group import SaverGroup

_one_shuts_down = Lock()  # CPython's `shutdown` is not made for several threads


class Dispatcher:
    """The tasks of one line; whoever made it calls `end` if its request ends early.

    Args:
        line: what is done with each chunk.
        keepers: of each data type that is kept, with the savers of the line.
        elsewhere: where it is done.
        queue: of what is under way.
    """

    def __init__(
        self,
        line: FusedStage,
        keepers: Mapping[str, SaverGroup],
        *,
        elsewhere: Executor,
        queue: Queue[Done | Failed],
    ) -> None:
        self._line = line
        self._keepers = keepers
        self._elsewhere = elsewhere
        self._queue = queue
        self._end_ns: int | None = None
        self._is_broken = False
        self._reported: set[tuple[str, int]] = set()

    def steps(self) -> Generator[Done, None, None]:
        """Iterate over what the tasks give back; the end commits what was kept.

        Raises:
            StorageUnavailable: a worker died.
            Exception: what a data plugin, or a place, raised elsewhere.
        """
        packed = self._line.packed()
        for chunk_i in self._numbers():
            while self._queue.is_next_due:
                yield self._next_done()
            given_up = frozenset[str]().union(
                *(keeper.given_up for keeper in self._keepers.values())
            )
            inputs = self._line.inputs_of(chunk_i)
            self._queue.add(self._sent(Task(packed, chunk_i, inputs, given_up)))
        while self._queue:
            yield self._next_done()
        if self._end_ns is None:
            raise PluginGaveWrongOutput(f"{who(self._line.instances[0])} gave no chunk")
        for keeper in self._keepers.values():
            keeper.finish()

    def end(self) -> None:
        """Wait for all that is under way, so that nothing is written later; safe to call again."""
        from concurrent.futures import ProcessPoolExecutor  # loads multiprocessing, which is slow

        # Dask's executor says of a task at work that it is cancelled.
        raised = self._queue.end(cancel=isinstance(self._elsewhere, ProcessPoolExecutor))
        # Ctrl-C in a terminal breaks a pool, and may be heard of here first.
        self._is_broken |= any(isinstance(error, BrokenExecutor) for error in raised)
        if self._is_broken:
            # Workers that are still alive are being ended; until then they may write.
            with _one_shuts_down:
                self._elsewhere.shutdown(wait=True)

    def _numbers(self) -> Iterator[int]:
        line = self._line
        if not line.is_source:
            yield from range(len(next(iter(line.copies.values()))[0].loader.metadata.chunks))
            return
        source = line.instances[0]
        set_up(source)
        for chunk_i in count():
            if not comes(source, chunk_i):
                return
            yield chunk_i

    def _sent(self, task: Task) -> Future[Done | Failed]:
        try:
            return self._elsewhere.submit(do_chunk, task)
        except Exception as error:
            raise self._lost(error) from error

    def _next_done(self) -> Done:
        try:
            done = self._queue.take()
        except Exception as error:  # not from the task: that returns its errors
            raise self._lost(error) from error
        if isinstance(done, Failed):
            raise done.as_error()
        if self._end_ns is not None and done.start != self._end_ns:
            raise PluginGaveWrongOutput(
                f"{who(self._line.instances[0])} gave a chunk from {done.start} on; "
                f"the one before ends at {self._end_ns}"
            )
        self._end_ns = done.end
        self._report_unread(done)
        receipts = {
            write_id: receipt.as_error() if isinstance(receipt, Failed) else receipt
            for write_id, receipt in done.receipts.items()
        }
        for keeper in self._keepers.values():
            keeper.note(receipts)
        return done

    def _report_unread(self, done: Done) -> None:
        """Tell a place that it could not be read; once, for it may be so with every chunk."""
        for unread in done.unread:
            which = (unread.data_type, unread.copy_i)
            if which not in self._reported:
                self._reported.add(which)
                copy = self._line.copies[unread.data_type][unread.copy_i]
                copy.found.report_failure(unread.why.as_error())

    def _lost(self, error: Exception) -> StorageUnavailable:
        what = "a task was lost"
        if isinstance(error, BrokenExecutor):
            self._is_broken = True
            what = "a worker died"
        return StorageUnavailable(
            f"{what}, so nothing of run {self._line.instances[0].run_id} is kept: {error}; ask "
            "again, with another executor, and with fewer workers if memory ran out; a script that "
            'starts processes begins its work under `if __name__ == "__main__":`'
        )
