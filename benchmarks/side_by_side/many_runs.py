"""A folder of very many runs with three data types each: one is saved, the others are copies."""

from pathlib import Path

DATA_TYPES = ("peak_basics_a", "peak_basics_b", "peak_basics_c")
FIRST = "run_0"


def run_ids(number: int) -> list[str]:
    """Return the names of the runs."""
    return [f"run_{number}" for number in range(number)]


def copy_to_many_runs(place: Path, number: int) -> int:
    """Copy all that is stored of the first run, under the names of the others; return how many."""
    pieces = [folder for folder in place.iterdir() if folder.name.startswith(f"{FIRST}-")]
    files = {
        folder: [(path.name, path.read_bytes()) for path in folder.iterdir()] for folder in pieces
    }
    for run_id in run_ids(number)[1:]:
        for folder, contents in files.items():
            copy = place / folder.name.replace(FIRST, run_id)
            copy.mkdir()
            for name, content in contents:
                is_metadata = name.endswith(".json")
                old, new = f'"{FIRST}"'.encode(), f'"{run_id}"'.encode()
                (copy / name).write_bytes(content.replace(old, new) if is_metadata else content)
    return number * len(pieces)


def answer_text(found: int) -> str:
    """Return what all peers must agree on."""
    return f"{found} found"
