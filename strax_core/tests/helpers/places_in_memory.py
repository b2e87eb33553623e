"""Places in memory, and what lies in them, for tests of requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from strax_core.backend.memory import MemoryBackend
from strax_core.context.context import Context
from strax_core.data_plugins.plugin import Plugin
from strax_core.frontend.directory import DirectoryFrontend

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])


def rows(*spans: tuple[int, int, int]) -> np.ndarray:
    """Return rows of (time, endtime, x)."""
    return np.array(list(spans), ROW)


def place(name: str = "here", **options: Any) -> DirectoryFrontend:
    return DirectoryFrontend(MemoryBackend(), name=name, **options)


def context(*things: DirectoryFrontend | type[Plugin], **options: Any) -> Context:
    """Return a context with these places and data plugins."""
    places = [each for each in things if isinstance(each, DirectoryFrontend)]
    return Context(places, [each for each in things if isinstance(each, type)], **options)


def kept(frontend: DirectoryFrontend) -> set[str]:
    """Return the names (run, data type) that are stored: what users see."""
    names = (entry.name for entry in frontend.backends["main"].list(""))
    return {name.rpartition("-")[0] for name in names if name.count("-") == 2}


def staged(frontend: DirectoryFrontend) -> dict[str, list[str]]:
    """Return what lies in staging, by run and data type: texts of failure notes, or a writer."""
    backend = frontend.backends["main"]
    return {
        key.name.rpartition("-")[0]: [
            "a writer"
            if entry.is_folder
            else backend.read(f".staging/{key.name}/{entry.name}").decode()
            for entry in backend.list(f".staging/{key.name}")
        ]
        for key in backend.list(".staging")
    }


@contextmanager
def no_thread_left() -> Iterator[None]:
    before = threads()
    yield
    for thread in threads() - before:
        thread.join(60)  # told to end, it may not have had a processor yet
    assert threads() <= before


def threads() -> set[threading.Thread]:
    """Return those that run, but for the one that ends by itself a second after a save."""
    return {each for each in threading.enumerate() if each.name != "strax-delayed-calls"}
