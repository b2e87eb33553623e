"""A fused stage: data plugins that run as one task per chunk in another process.

A task reads a chunk's inputs, computes, encodes and writes; so rows do not travel, but for those
that someone here wants.
"""

import pickle
import secrets
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strax_core.chunks import Chunk
from strax_core.codecs import codec_named, encode_chunk
from strax_core.data_plugins import Plugin, dependencies
from strax_core.errors import ConfigError, StorageError
from strax_core.format import ChunkInfo
from strax_core.loader import Loader
from strax_core.places import Found
from strax_core.processing.compute import asked_step, computed_step, set_up
from strax_core.saver import Saver

LINES_KEPT = 4  # in each thread that works on them: as many as runs are worked on at once


@dataclass(frozen=True, slots=True)
class Copy:
    """One stored copy of an input."""

    found: Found
    loader: Loader


@dataclass(eq=False)
class FusedStage:
    """The work on each chunk elsewhere, as the request knows it."""

    copies: dict[str, list[Copy]] = field(default_factory=dict)
    """By data type, what is loaded: from the first copy that can be read. All are cut alike."""
    instances: list[Plugin] = field(default_factory=list)
    """Data plugins that compute, in this order."""
    savers: dict[str, list[Saver]] = field(default_factory=dict)
    """By data type, what keeps it."""
    exported: set[str] = field(default_factory=set)
    """Data types whose rows are wanted here."""

    @property
    def is_source(self) -> bool:
        """True if its first data plugin asks an instrument, and loads nothing."""
        return not self.copies

    def packed(self) -> "PackedStage":
        """Return it as it travels.

        Raises:
            ConfigError: a data plugin's class cannot be found by its name elsewhere.
        """
        work = Work(
            # Without their chunks, of which each task brings its own: it travels with every task.
            {
                name: [each.loader.without_chunks() for each in copies]
                for name, copies in self.copies.items()
            },
            self.instances,
            self.savers,
            self.exported,
        )
        try:
            return PackedStage(secrets.token_hex(8), pickle.dumps(work))
        except Exception as error:
            names = ", ".join(type(instance).__name__ for instance in self.instances)
            raise ConfigError(
                f"the data plugins {names} cannot work in other processes: {error}; define them "
                "at the top of a module, with options that can be pickled"
            ) from error

    def inputs_of(self, chunk_i: int) -> dict[str, list[ChunkInfo]]:
        """Return where each copy of each input has this chunk."""
        return {
            name: [each.loader.metadata.chunks[chunk_i] for each in copies]
            for name, copies in self.copies.items()
        }


@dataclass(frozen=True, slots=True)
class Work:
    """A line as those know it who work on it."""

    loaders: Mapping[str, Sequence[Loader]]
    instances: Sequence[Plugin]
    savers: Mapping[str, Sequence[Saver]]
    exported: set[str]


@dataclass(frozen=True, slots=True)
class PackedStage:
    """A line as bytes; each thread that works on it unpacks it once."""

    token: str
    work: bytes


@dataclass(frozen=True, slots=True)
class Task:
    """One chunk to be worked on."""

    line: PackedStage
    chunk_i: int
    inputs: Mapping[str, Sequence[ChunkInfo]]
    """By data type, where each copy has this chunk."""
    given_up: frozenset[str]
    """The `write_id` of savers that failed with an earlier chunk."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An error from elsewhere, with how it came about: that does not travel in an exception."""

    error: Exception
    trace: str
    nbytes = 0  # as `Done` has it: a queue counts both

    def as_error(self) -> Exception:
        """Return the error, caused by what happened elsewhere."""
        self.error.__cause__ = StorageError(f"elsewhere:\n{self.trace}")
        return self.error


@dataclass(frozen=True, slots=True)
class Unread:
    """A copy of an input that could not be read; another one could."""

    data_type: str
    copy_i: int
    why: Failed


@dataclass(frozen=True, slots=True)
class Done:
    """Answer of one task."""

    start: int
    end: int
    chunks: Mapping[str, Chunk]
    """Of the exported data types."""
    receipts: Mapping[str, ChunkInfo | Failed]
    """By the savers' `write_id`."""
    unread: Sequence[Unread]

    @property
    def nbytes(self) -> int:
        """Number of bytes of rows that it brings."""
        return sum(chunk.nbytes for chunk in self.chunks.values())


_here = threading.local()


def do_chunk(task: Task) -> Done | Failed:
    """Do the whole work on one chunk; runs elsewhere.

    An error is returned, so that it comes back alike from every kind of executor.
    """
    try:
        return _done(_unpacked(task.line), task)
    except Exception as error:  # noqa: BLE001 - it surfaces where the task was given
        return _failed(error)


def _unpacked(packed: PackedStage) -> Work:
    lines: dict[str, Work] = _here.__dict__.setdefault("lines", {})
    work = lines.pop(packed.token, None) or _set_up(packed)
    lines[packed.token] = work  # the last used stands last
    while len(lines) > LINES_KEPT:
        del lines[next(iter(lines))]
    return work


def _set_up(packed: PackedStage) -> Work:
    try:
        work: Work = pickle.loads(packed.work)  # noqa: S301 - from the process that gave the task
    except Exception as error:
        raise ConfigError(
            f"a task cannot be unpacked in another process: {type(error).__name__}: {error}; "
            "its data plugins must stand in a module that can be imported there"
        ) from error
    for instance in work.instances:
        set_up(instance)
    return work


def _done(work: Work, task: Task) -> Done:
    unread: list[Unread] = []
    chunks = {
        data_type: _read(data_type, loaders, task.inputs[data_type], unread)
        for data_type, loaders in work.loaders.items()
    }
    made: dict[str, Chunk] = {}
    for instance in work.instances:
        needed = {name: chunks[name] for name in dependencies(type(instance))}
        step = (
            computed_step(instance, needed, task.chunk_i)
            if needed
            else asked_step(instance, task.chunk_i)
        )
        chunks |= step
        made |= step
    receipts: dict[str, ChunkInfo | Failed] = {}
    for data_type, savers in work.savers.items():
        still = [saver for saver in savers if saver.write_id not in task.given_up]
        receipts |= _saved(made[data_type], task.chunk_i, still)
    first = made[next(iter(made))]
    exported = {data_type: made[data_type] for data_type in work.exported}
    return Done(first.start, first.end, exported, receipts, unread)


def _read(
    data_type: str, loaders: Sequence[Loader], infos: Sequence[ChunkInfo], unread: list[Unread]
) -> Chunk:
    failure: Exception | None = None
    for copy_i, (loader, info) in enumerate(zip(loaders, infos, strict=True)):
        try:
            return loader.read_chunk(info)
        except Exception as error:  # noqa: BLE001 - another place may serve it
            unread.append(Unread(data_type, copy_i, _failed(error)))
            failure = failure or error
    raise failure or StorageError("no copy to load from")


def _saved(chunk: Chunk, chunk_i: int, savers: Sequence[Saver]) -> dict[str, ChunkInfo | Failed]:
    receipts: dict[str, ChunkInfo | Failed] = {}
    encoded: dict[str, Any] = {}
    for saver in savers:
        codec = saver.metadata.compressor
        try:
            if codec not in encoded:
                encoded[codec] = encode_chunk(chunk, codec_named(codec))
            saver.resume()
            receipts[saver.write_id] = saver.save_encoded(encoded[codec], chunk_i, chunk)
        except Exception as error:  # noqa: BLE001 - the other places go on
            receipts[saver.write_id] = _failed(error)
    return receipts


def _failed(error: Exception) -> Failed:
    """Return an error so that it can travel; one that cannot becomes one of ours with its text."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled just now
    except Exception:  # noqa: BLE001 - whatever a foreign exception does
        return Failed(StorageError(f"{type(error).__name__}: {error}"), trace)
    return Failed(error, trace)
