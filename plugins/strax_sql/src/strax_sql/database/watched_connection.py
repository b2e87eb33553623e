"""A connection to PostgreSQL that does not wait for ever.

The kernel notices a machine that has vanished. It does not notice a server that has stopped, or
whatever stands in the middle and takes all that is sent.
"""

import time
from collections.abc import Generator
from typing import Any

from psycopg import Connection, OperationalError


class WatchedConnection(Connection[Any]):
    """Closes itself when nothing has moved for so long in the middle of a question."""

    silence_s = 60.0

    def wait(self, gen: Generator[Any, Any, Any], *more: Any, **options: Any) -> Any:
        """Do a piece of work; see `psycopg.Connection.wait`.

        Raises:
            OperationalError: the server was silent for `silence_s`; the connection is closed.
        """
        return super().wait(self._watched(gen), *more, **options)

    def _watched(self, work: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        moved = time.monotonic()
        try:
            state = next(work)
            while True:
                ready = yield state  # now and then with nothing ready, as long as nothing comes
                if ready:
                    moved = time.monotonic()
                elif time.monotonic() > moved + self.silence_s:
                    self.close()
                    raise OperationalError(f"the server was silent for {self.silence_s:g} s")
                state = work.send(ready)
        except StopIteration as done:
            return done.value
