"""Writes `pickles`: what users pickle, as the versions before the sub-packages pickled it.

    PYTHONPATH=tests/upstream python tests/golden/make_pickles.py NEW_FOLDER

What was committed stays as it is: it stands for pickles that people have.
"""

import pickle
import sys
from pathlib import Path

import numpy as np

import strax_core
from strax_core import (
    STRICT,
    Chunk,
    DataKey,
    DirectoryFrontend,
    Lineage,
    Loader,
    Location,
    Metadata,
    Option,
    SecretReference,
    StorageError,
)
from strax_core.places.found import Found
from strax_local import LocalBackend, LocalOptions

FORMAT_1 = Path(__file__).resolve().parent / "format-1"
KEY = "run_7-things-6rymenyvbx"


def objects() -> dict[str, object]:
    """Return them by name; of errors, one of each class."""
    lineage = Lineage({"things": ("things", "1", {"gain": [1, 2.5]})})
    key = DataKey("run_7", "things", lineage)
    backend = LocalBackend(LocalOptions(path="/data/golden"))
    frontend = DirectoryFrontend(backend)
    location = Location(backend="local", backend_key=KEY)
    stored = (FORMAT_1 / KEY / "things-6rymenyvbx-metadata.json").read_bytes()
    metadata = Metadata.parse(stored, place=f"/data/golden/{KEY}")
    rows = np.array([(1, 2), (3, 5)], [("time", "<i8"), ("endtime", "<i8")])
    errors = {
        name: value(f"a {name}")
        for name, value in vars(strax_core).items()
        if isinstance(value, type) and issubclass(value, StorageError) and name != "CleanedInPart"
    }
    return errors | {
        "CleanedInPart": strax_core.CleanedInPart("a CleanedInPart", []),
        "Chunk": Chunk(0, 10, rows, "run_7", "things"),
        "ChunkInfo": metadata.chunks[0],
        "DataKey": key,
        "DirectoryFrontend": frontend,
        "Found": Found(key=key, frontend=frontend, location=location, metadata=metadata),
        "Lineage": lineage,
        "Loader": Loader(backend, KEY, metadata),
        "LocalBackend": backend,
        "Location": location,
        "Match": STRICT,
        "Metadata": metadata,
        "Option": Option("gain", default=3),
        "SecretReference": SecretReference(env="STRAX_PASSWORD"),
    }


def main(folder: Path) -> None:
    """Write each in a file of its own."""
    folder.mkdir(parents=True)
    for name, value in objects().items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(value, protocol=5))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
