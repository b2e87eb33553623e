"""``strax ls``: what is stored in a place."""

from collections.abc import Sequence
from dataclasses import asdict

from strax_core.cli.output import megabytes, one_line, say, say_json, say_table
from strax_core.cli.stored import Contents, Stored, contents
from strax_core.frontend import StorageFrontend

_HEADINGS = (
    *("run", "data type", "lineage", "state", "rows"),
    *("chunks", "stored", "uncompressed", "codec"),
)


def list_place(place: str, config: str | None, *, as_json: bool) -> None:
    """Write what lies in a path, a URL, or a place named in ``strax.toml``."""
    from strax_core.cli.places import open_place  # the settings; `say_contents` needs none

    frontend = open_place(place, config, readonly=True)
    found = {name: contents(backend) for name, backend in frontend.backends.items()}
    if as_json:
        say_json({"place": frontend.name, "backends": {k: asdict(v) for k, v in found.items()}})
        return
    say_contents(frontend, found)


def say_contents(
    frontend: StorageFrontend, found: dict[str, Contents], *, indent: str = ""
) -> None:
    """Write what was found in each backend of a place."""
    for name, backend in frontend.backends.items():
        label = frontend.name if len(found) == 1 else f"{frontend.name}/{name}"
        title = label if label == backend.place else f"{label} = {backend.place}"
        stored = found[name].stored
        say(f"{indent}{one_line(title)}")
        if stored:
            say_table(_HEADINGS, [_row(piece) for piece in stored], indent=indent + "  ")
        say(f"{indent}  {_summary(stored)}")
        _say_the_rest(found[name], indent=indent + "  ")


def _row(piece: Stored) -> list[object]:
    sizes: list[object] = ["?", "?", "?", "?"]
    if piece.rows is not None:
        stored, whole = megabytes(piece.stored_bytes), megabytes(piece.nbytes)
        sizes = [f"{piece.rows:,}", piece.chunks, stored, whole]
    names = [one_line(name) for name in (piece.run_id, piece.data_type, piece.lineage_hash)]
    return [*names, piece.state, *sizes, one_line(piece.codec) or "?"]


def _summary(stored: Sequence[Stored]) -> str:
    if not stored:
        return "no data"
    complete = [piece for piece in stored if piece.state == "complete"]
    kept = sum(piece.stored_bytes or 0 for piece in complete)
    whole = sum(piece.nbytes or 0 for piece in complete)
    return (
        f"{len(complete)} complete of {len(stored)}: {megabytes(kept)} stored, "
        f"{megabytes(whole)} uncompressed"
    )


def _say_the_rest(found: Contents, *, indent: str) -> None:
    for piece in found.stored:
        if piece.reason:
            say(f"{indent}{piece.state}: {one_line(piece.folder)}: {one_line(piece.reason)}")
    if found.run_documents:
        say(f"{indent}documents about runs: {', '.join(found.run_documents)}")
    for writer in found.writers:
        who = one_line(f"process {writer.pid} on {writer.host}")
        size = f"{writer.rows:,} rows, {megabytes(writer.nbytes)} so far"
        beat = f"last heard of {writer.silent_s:.0f} s ago"
        say(f"{indent}being written: {one_line(writer.folder)} by {who}: {size}, {beat}")
    for note in found.failures:
        say(f"{indent}a save failed: {one_line(note.folder)}: {one_line(note.reason)}")
