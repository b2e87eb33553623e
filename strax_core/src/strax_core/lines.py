"""A line of data plugins that takes each chunk as a whole, in other processes or machines.

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

from strax_core.chunk_info import ChunkInfo
from strax_core.chunk_io import encode_chunk
from strax_core.chunks import Chunk
from strax_core.codecs import codec_named
from strax_core.computing import asked_step, computed_step
from strax_core.errors import ConfigError, StorageError
from strax_core.loader import Loader
from strax_core.plugin import Plugin, dependencies
from strax_core.saver import Saver

Receipt = ChunkInfo | Exception
LINES_KEPT = 2  # in each thread that works on them: the present one, and one that is ending


@dataclass(eq=False)
class Line:
    """What a task does with each chunk."""

    copies: dict[str, list[Loader]] = field(default_factory=dict)
    """By data type, what is loaded: from the first copy that can be read. All are cut alike."""
    instances: list[Plugin] = field(default_factory=list)
    """What computes, in this order."""
    savers: dict[str, list[Saver]] = field(default_factory=dict)
    """By data type, what keeps it."""
    exported: set[str] = field(default_factory=set)
    """Data types whose rows are wanted here."""

    @property
    def is_source(self) -> bool:
        """Whether its first data plugin asks an instrument, and loads nothing."""
        return not self.copies

    def packed(self) -> "PackedLine":
        """Return it as it travels.

        Raises:
            ConfigError: a data plugin's class cannot be found by its name elsewhere.
        """
        try:
            return PackedLine(secrets.token_hex(8), pickle.dumps(self))
        except Exception as error:
            names = ", ".join(type(instance).__name__ for instance in self.instances)
            raise ConfigError(
                f"the data plugins {names} cannot work in other processes: {error}; define them "
                "at the top of a module, with options that can be pickled"
            ) from error


@dataclass(frozen=True, slots=True)
class PackedLine:
    """A line as bytes; each thread that works on it unpacks it once."""

    token: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """What one task gives back."""

    start: int
    end: int
    chunks: Mapping[str, Chunk]
    """Of the exported data types."""
    receipts: Mapping[str, Sequence[Receipt]]
    """By data type, of each saver."""

    def nbytes_of(self, data_type: str) -> int:
        """Uncompressed size of what was made, as far as somebody kept it."""
        infos = [each for each in self.receipts.get(data_type, ()) if isinstance(each, ChunkInfo)]
        return infos[0].nbytes if infos else 0


_here = threading.local()


def do_chunk(packed: PackedLine, chunk_i: int) -> Done:
    """Do the whole work on one chunk; runs elsewhere.

    Raises:
        Exception: what a data plugin raised, or that no copy of an input can be read. One that
            cannot travel becomes a `StorageError` with its text.
    """
    try:
        return _done(_unpacked(packed), chunk_i)
    except Exception as error:  # noqa: BLE001 - it surfaces where the task was given
        raise _travelling(error) from None


def _unpacked(packed: PackedLine) -> Line:
    lines: dict[str, Line] = _here.__dict__.setdefault("lines", {})
    if packed.token not in lines:
        line: Line = pickle.loads(packed.line)  # noqa: S301 - from the process that gave the task
        for instance in line.instances:
            instance.setup()
        lines[packed.token] = line
        while len(lines) > LINES_KEPT:
            del lines[next(iter(lines))]
    return lines[packed.token]


def _done(line: Line, chunk_i: int) -> Done:
    chunks = {data_type: _read(copies, chunk_i) for data_type, copies in line.copies.items()}
    made: dict[str, Chunk] = {}
    for instance in line.instances:
        needed = {name: chunks[name] for name in dependencies(type(instance))}
        step = computed_step(instance, needed, chunk_i) if needed else asked_step(instance, chunk_i)
        chunks |= step
        made |= step
    receipts = {
        data_type: _saved(made[data_type], chunk_i, savers)
        for data_type, savers in line.savers.items()
    }
    last = made[next(iter(made))]
    exported = {data_type: made[data_type] for data_type in line.exported}
    return Done(last.start, last.end, exported, receipts)


def _read(copies: Sequence[Loader], chunk_i: int) -> Chunk:
    failure: Exception | None = None
    for loader in copies:
        try:
            return loader.read_chunk(loader.metadata.chunks[chunk_i])
        except Exception as error:  # noqa: BLE001 - another place may serve it
            failure = failure or error
    raise failure or StorageError("no copy to load from")


def _saved(chunk: Chunk, chunk_i: int, savers: Sequence[Saver]) -> list[Receipt]:
    receipts: list[Receipt] = []
    encoded: dict[str, Any] = {}
    for saver in savers:
        codec = saver.metadata.compressor
        try:
            if codec not in encoded:
                encoded[codec] = encode_chunk(chunk, codec_named(codec))
            receipts.append(saver.save_encoded(encoded[codec], chunk_i, chunk))
        except Exception as error:  # noqa: BLE001 - the other places go on
            receipts.append(_travelling(error))
    return receipts


def _travelling(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled just now
    except Exception:  # noqa: BLE001 - whatever a foreign exception does
        return StorageError("".join(traceback.format_exception(error)))
    return error
