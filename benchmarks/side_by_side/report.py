"""Tables of what was measured: for the terminal, and for the README."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases import Row

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
HEAD = ("what", "against", "ours", "theirs", "ratio", "spread", "target", "")


def mark(row: Row) -> str:
    """Say how a row stands to its target and aim."""
    if row.limit is None:
        return ""
    if not row.limit.is_met_by(row.value):
        return "MISSED"
    return "kept" if row.limit.aim_is_met_by(row.value) else "kept; aim missed"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as texts."""
    spread = "" if row.low == row.high else f"{row.low:.2f} to {row.high:.2f}"
    limit = "" if row.limit is None else row.limit.text
    return (
        row.what,
        row.against,
        row.ours,
        row.theirs,
        f"{row.value:.2f} {row.unit}",
        spread,
        limit,
        mark(row),
    )


def row_of(row: Row) -> str:
    """Return one row as a line of text."""
    return "; ".join(cell for cell in cells(row) if cell)


def table_text(rows: Sequence[Row]) -> str:
    """Return rows in columns, for a terminal."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    return "\n".join(
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def row_as_json(row: Row) -> dict[str, Any]:
    """Return a row for the results."""
    return {**asdict(row), "is_met": row.is_met}


def row_from_json(stored: dict[str, Any]) -> Row:
    """Return a row of the results."""
    return Row(**{name: value for name, value in stored.items() if name != "is_met"})


def write_readme(path: Path, results: Path, names: Iterable[str]) -> None:
    """Put tables of all results between the marks in a README."""
    parts = [
        markdown(json.loads(file.read_text(encoding="utf-8")))
        for file in (results / f"{name}.json" for name in names)
        if file.exists()
    ]
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{''.join(parts)}{END}{after}", encoding="utf-8")


def markdown(document: dict[str, Any]) -> str:
    """Return the table of one bench."""
    rows = [row_from_json(stored) for stored in document["rows"]]
    lines = [HEAD, ("---",) * 2 + ("---:",) * 4 + ("---",) * 2, *map(cells, rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {document['bench']}\n\n{table}\n\n"
