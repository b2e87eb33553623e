"""Counts the modules of core that a request enters, and its crossings between sub-packages.

    python tools/rooms.py

For `ctx.get_array` of stored data, and for `ctx.make`. A crossing is a call from one sub-package
into another; what stands at the top of core, and is used by all, is passed over. Fewer of both: a
reader who follows a request opens fewer files.
"""

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import numpy as np

import strax_core as sc

CORE = str(Path(sc.__file__).resolve().parent) + "/"
DTYPE = [("time", "<i8"), ("endtime", "<i8"), ("x", "<i4")]
N_CHUNKS, N_ROWS = 3, 100


class Records(sc.Plugin):
    """Some chunks of rows."""

    provides = "records"
    dtype = DTYPE

    def chunks(self) -> Iterator[sc.Chunk]:
        """Yield them."""
        for chunk_i in range(N_CHUNKS):
            rows = np.zeros(N_ROWS, self.dtype)
            rows["time"] = np.arange(N_ROWS) + chunk_i * N_ROWS
            rows["endtime"] = rows["time"] + 1
            start = chunk_i * N_ROWS
            yield self.chunk(start=start, end=start + N_ROWS, data=rows)


class Walk:
    """A record of the modules entered while a function runs, in any thread."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.crossings: Counter[tuple[str, str]] = Counter()

    def through(self, action: Callable[[], object]) -> None:
        """Run the action, and look."""
        threading.setprofile(self._look)
        sys.setprofile(self._look)
        try:
            action()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def _look(self, frame: FrameType, event: str, _: object) -> None:
        module = _module(frame)
        if event != "call" or module is None or frame.f_code.co_name == "<module>":
            return
        self.modules.add(module)
        caller = frame.f_back
        while caller is not None and _module(caller) is None:
            caller = caller.f_back
        if caller is not None:
            rooms = _room(str(_module(caller))), _room(module)
            if rooms[0] != rooms[1] and all(rooms):
                self.crossings[rooms] += 1


def _module(frame: FrameType) -> str | None:
    """Return the path of a module of core without its ending; None for all others."""
    name = frame.f_code.co_filename
    return name.removeprefix(CORE).removesuffix(".py") if name.startswith(CORE) else None


def _room(module: str) -> str:
    """Return the sub-package; nothing for what stands at the top."""
    return module.partition("/")[0] if "/" in module else ""


def main() -> None:
    """Print a line for each request."""
    parser = argparse.ArgumentParser(description="Count the modules that a request enters.")
    parser.add_argument("--list", action="store_true", help="name them, and the crossings")
    options = parser.parse_args()
    walks = {"get_array": Walk(), "make": Walk()}
    with TemporaryDirectory() as folder:
        context = sc.Context({"frontend": "local", "path": folder}, plugins=[Records])
        context.make("run_0", "records")  # what is imported late is there
        context.get_array("run_0", "records")
        walks["make"].through(lambda: context.make("run_1", "records"))
        walks["get_array"].through(lambda: context.get_array("run_1", "records"))
    for name, walk in walks.items():
        print(f"{name}: {len(walk.modules)} modules, {walk.crossings.total()} crossings")
        if options.list:
            print(*(f"    {module}" for module in sorted(walk.modules)), sep="\n")
            for (caller, callee), n in walk.crossings.most_common():
                print(f"    {n:6d}  {caller} -> {callee}")


if __name__ == "__main__":
    main()
