"""Writes the golden folders: once for each version of a format, never again.

    PYTHONPATH=tests/upstream python tests/golden/make_golden.py NEW_FOLDER

With strax 2.2.3 and this checkout installed, this makes `strax-2.2.3` and `format-1` there, both
with zstd, and `strax-2.2.3-blosc` and so on with the other codecs of strax.
What was committed stays as it is: it stands for data that people have. The host's name is left out.
"""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from twins import our_context, source, their_context

import strax_core

DTYPE = np.dtype(
    [
        (("Start of the row", "time"), "<i8"),
        (("Number of samples", "length"), "<i4"),
        ("dt", "<i2"),
        (("Samples", "data"), "<i2", (10,)),
        ("big", ">f4"),
        ("text", "<U3"),
    ]
)
GAIN = {"a": (1, 2.5), "é": None}
SECOND = 1_000_000_000


def golden_class(package: ModuleType, **attributes: Any) -> type:
    """Return the data plugin of the golden folders: chunks of 3, 0 and 2 rows."""
    pieces = []
    k = 0
    for i, n in enumerate((3, 0, 2)):
        rows = np.zeros(n, DTYPE)
        for row in rows:
            row["time"] = i * SECOND + 1000 * k
            row["length"], row["dt"] = 10, 20
            row["data"] = [100 * k + j for j in range(10)]
            row["big"] = k / 4
            row["text"] = "é" * (k % 4)
            k += 1
        pieces.append((i * SECOND, (i + 1) * SECOND, rows))
    made = source(package, pieces, dtype=DTYPE, **attributes)
    return package.takes_config(package.Option("gain", default=GAIN))(made)  # type: ignore[no-any-return]


def main(folder: Path) -> None:
    """Write all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import strax
    document = {"number": 7, "strax_defaults": {"gain": 3}, "comments": [{"comment": "é"}]}

    codecs = {"": "zstd", "-blosc": "blosc", "-lz4": "lz4", "-bz2": "bz2"}
    for ending, codec in codecs.items():
        theirs = folder / f"strax-2.2.3{ending}"
        theirs.mkdir(parents=True)
        context = their_context(strax, theirs, golden_class(strax, compressor=codec))
        context.make("run_7", "things", progress_bar=False)
        context.storage[0].write_run_metadata("run_7", dict(document))

    ours = folder / "format-1"
    ours.mkdir()
    our = our_context(ours, golden_class(strax_core))
    our.make("run_7", "things")
    our.write_run_metadata("run_7", document)
    (path,) = ours.glob("run_7-things-*/*-metadata.json")
    change(path, lambda metadata: metadata["writer"].update(host="example", pid=1))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a JSON document in place, in strax's layout."""
    document = json.loads(path.read_text("ascii"))
    edit(document)
    path.write_text(json.dumps(document, sort_keys=True, indent=4), "ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
