"""The one place that writes to the terminal: lines, tables, sizes."""

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(r"([0-9.,]+( [kM]?[a-zA-Z]+)?|[?]|)")  # with a unit, unknown, or none


def say(text: str = "") -> None:
    """Write a line to standard output, at once, so that a pipe shows it too."""
    print(text, flush=True)


def say_outcome(number: int, *, is_done: bool, nothing: str, done: str, possible: str) -> None:
    """Write how many things were done, or could be with `--yes`, or that there are none."""
    if not number:
        say(nothing)
    elif is_done:
        say(f"{done}: {number}")
    else:
        say(f"{possible}: {number}; `--yes` does it")


def complain(text: str) -> None:
    """Write a line to standard error."""
    print(text, file=sys.stderr, flush=True)


def say_json(document: Any) -> None:
    """Write a document for programs."""
    say(json.dumps(document, indent=2))


def say_table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, indent: str = ""
) -> None:
    """Write aligned columns; one with nothing but numbers and sizes is aligned right."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    columns = list(zip(headings, *texts, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    to_right = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    for line in [list(headings), *texts]:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, to_right, strict=True)
        ]
        say(indent + "  ".join(cells).rstrip())


def megabytes(nbytes: float | None) -> str:
    """Return a size in MB, of 1e6 bytes; small ones with more digits."""
    if nbytes is None:
        return "?"
    size_mb = nbytes / 1e6
    if not nbytes:
        return "0 MB"
    return f"{size_mb:.3f} MB" if size_mb < 1 else f"{size_mb:,.1f} MB"


def one_line(text: object) -> str:
    """Return a text without line breaks and control characters, which a name could hold."""
    return "".join(letter for letter in " ".join(str(text).split()) if letter.isprintable())


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None
