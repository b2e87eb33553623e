"""Ways to hurt a piece of data: its files, and the entries of its chunks in the metadata."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator
STRETCH = 200
VALUES: tuple[Any, ...] = (
    *(None, -1, 0, 1, 7, 10**6, 2**31, 2**63, 2**70, 0.5, float("nan"), True),
    *("x", "", "0" * 16, "../x", "é", [], {}, [1], {"a": 1}),
)
TIMES = {"start", "end", "min_time", "max_endtime"}


@dataclass
class Damage:
    """What was done."""

    kind: str
    files: dict[str, bytes | None] = field(default_factory=dict)
    """The files that were changed; None: it is gone."""
    document: dict[str, Any] | None = None
    """The metadata, if they were changed."""
    chunks: set[int] = field(default_factory=set)
    """Which are hurt."""
    is_in_frames: bool = False
    """Whether nothing but frames is hurt, so that field and block must be named."""
    may_be_missed: bool = False
    """Whether it tells other times, which a time range believes without reading."""


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of the chunks, in their order."""
    return {
        entry["filename"]: (folder / entry["filename"]).read_bytes()
        for entry in json.loads(metadata_of(folder).read_bytes())["chunks"]
    }


def metadata_of(folder: Path) -> Path:
    (path,) = folder.glob("*-metadata.json")
    return path


def damage(
    files: Mapping[str, bytes],
    older: Mapping[str, bytes],
    document: Mapping[str, Any],
    random: Random,
) -> Damage:
    """Do one damage, any of them."""
    names = list(files)
    i = int(random.integers(len(names)))
    stored = files[names[i]]
    way = int(random.integers(len(OF_BYTES) + 6))
    if way < len(OF_BYTES):
        hurt = OF_BYTES[way](stored, random)
        is_in_frames = len(hurt) == len(stored) and not _is_index_hurt(
            stored, hurt, document["chunks"][i]
        )
        kind = OF_BYTES[way].__name__
        return Damage(kind, {names[i]: hurt}, chunks={i}, is_in_frames=is_in_frames)
    if way == len(OF_BYTES):
        j = (i + 1) % len(names)
        swapped: dict[str, bytes | None] = {names[i]: files[names[j]], names[j]: stored}
        return Damage("swap files", swapped, chunks={i, j})
    if way == len(OF_BYTES) + 1:
        return Damage("older file", {names[i]: list(older.values())[i]}, chunks={i})
    if way == len(OF_BYTES) + 2:
        other = [b"", b"{}", random.bytes(len(stored)), stored * 2]
        return Damage("another file", {names[i]: other[random.integers(4)]}, chunks={i})
    if way == len(OF_BYTES) + 3:
        return Damage("no file", {names[i]: None}, chunks={i})
    return changed_entry(document, i, random)


def _is_index_hurt(stored: bytes, hurt: bytes, entry: Mapping[str, Any]) -> bool:
    end = 0
    for _, stored_bytes, index_bytes, *_ in entry["codec"]["segments"]:
        end += stored_bytes
        if stored[end - index_bytes : end] != hurt[end - index_bytes : end]:
            return True
    return False


def flip(data: bytes, random: Random) -> bytes:
    hurt = bytearray(data)
    for _ in range(random.integers(1, 4)):
        hurt[random.integers(len(hurt))] ^= 1 << random.integers(8)
    return bytes(hurt)


def _stretch(data: bytes, random: Random) -> tuple[int, int]:
    first = int(random.integers(len(data)))
    return first, min(len(data), first + int(random.integers(1, STRETCH)))


def noise(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:first] + random.bytes(end - first) + data[end:]


def zero(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:first] + bytes(end - first) + data[end:]


def cut(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:first] + data[end:]


def truncate(data: bytes, random: Random) -> bytes:
    return data[: int(random.integers(len(data)))]


def grow_end(data: bytes, random: Random) -> bytes:
    return data + random.bytes(int(random.integers(1, STRETCH)))


def grow_middle(data: bytes, random: Random) -> bytes:
    at = int(random.integers(len(data)))
    return data[:at] + random.bytes(int(random.integers(1, STRETCH))) + data[at:]


def repeat(data: bytes, random: Random) -> bytes:
    first, end = _stretch(data, random)
    return data[:end] + data[first:]


def swap_ranges(data: bytes, random: Random) -> bytes:
    """Swap two ranges of one size that do not overlap."""
    size = int(random.integers(1, min(STRETCH, len(data) // 2)))
    first = int(random.integers(len(data) - 2 * size + 1))
    second = int(random.integers(first + size, len(data) - size + 1))
    return b"".join(
        (
            data[:first],
            data[second : second + size],
            data[first + size : second],
            data[first : first + size],
            data[second + size :],
        )
    )


OF_BYTES = (flip, zero, cut, grow_end, grow_middle, swap_ranges, noise, truncate, repeat)


def changed_entry(document: Mapping[str, Any], i: int, random: Random) -> Damage:
    """Change a number, a text, or more of a chunk's entry."""
    changed = copy.deepcopy(dict(document))
    chunks = changed["chunks"]
    places = list(_places(chunks[i]))
    holder, key, path = places[random.integers(len(places))]
    done = Damage("change the entry", document=changed, chunks={i})
    done.may_be_missed = path[0] in TIMES or (path[:2] == ("codec", "segments") and len(path) < 4)
    if path[-1] == "version":
        done.kind = "change the version"
    value = holder[key]
    if path[:2] == ("codec", "segments") and len(path) == 4:
        done.may_be_missed = path[3] in (4, 5)
    way = random.integers(4)
    if way == 0:
        holder[key] = copy.deepcopy(VALUES[random.integers(len(VALUES))])
    elif way == 1 and isinstance(holder, dict):
        del holder[key]
    elif way == 2:
        other = chunks[(i + 1) % len(chunks)]
        for step in path[:-1]:
            other = other[step]
        other[key], holder[key] = value, other[key]
        done.chunks.add((i + 1) % len(chunks))
    else:
        holder[key] = _near(value, random)
    return done


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Iterate over what can be changed: what holds it, the key there, the path to it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in items:
        yield value, key, (*path, key)
        if isinstance(below, dict | list):
            yield from _places(below, (*path, key))


def _near(value: Any, random: Random) -> Any:
    """Return a value of the same kind that is another one."""
    if isinstance(value, int):
        ways: tuple[Callable[[int], int], ...] = (
            lambda n: n + int(random.integers(1, 50)),
            lambda n: n - int(random.integers(1, 50)),
            lambda n: n ^ 1 << int(random.integers(40)),
            lambda n: n * 2,
        )
        return ways[random.integers(len(ways))](value)
    if isinstance(value, str) and value:
        at = int(random.integers(len(value)))
        return value[:at] + "0123456789abcdef-/x"[random.integers(19)] + value[at + 1 :]
    if isinstance(value, list) and value:
        return [value[::-1], value[:-1], [*value, value[0]]][random.integers(3)]
    return VALUES[random.integers(len(VALUES))]


def judged(text: str, damage: Damage, where: str) -> str:
    """Say whether the message of an error names what it should."""
    if damage.document is not None:
        return "DataCorrupted"
    if not any(f"{where}{i}: " in text for i in damage.chunks):
        return f"WRONG: it does not say where: {text}"
    names_block = ", block " in text and ("field '" in text or "rows, block" in text)
    if damage.is_in_frames and not names_block:
        return f"WRONG: it names no field and block: {text}"
    return f"DataCorrupted, names {'field and block' if names_block else 'the chunk'}"
