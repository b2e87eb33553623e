"""Writes `place`: a configuration with a catalogue and small data in a database, and a directory.

    PYTHONPATH=tests/golden python tests/golden/make_place.py NEW_FOLDER

What was committed stays as it is: it stands for what people have. It is of the version before the
sub-packages.
"""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import strax_core as sc

CONFIGURATION = """\
[storage.catalog]
frontend = "sql"
url = "sqlite:///catalog.db"
backends = ["disk", "hall"]
write_to = { things = "hall", "*" = "disk" }

[storage.monitors]
frontend = "sqlblob"
url = "sqlite:///monitors.db"
take_only = ["monitors"]

[storage.folder]
frontend = "local"
path = "folder"
readonly = true

[backends.disk]
backend = "local"
path = "disk"

[backends.hall]
backend = "local"
path = "hall"

[context.golden]
storage = ["catalog", "monitors", "folder"]
plugins = ["make_place"]

[context.golden.config]
gain = 3
"""
Rows = np.ndarray[Any, np.dtype[np.void]]
DTYPE = [("time", "<i8"), ("endtime", "<i8"), ("x", "<i4")]


class Things(sc.Plugin):
    """Four rows in two chunks."""

    provides = "things"
    dtype = DTYPE
    gain = sc.Option(default=2, type=int)

    def chunks(self) -> Iterator[sc.Chunk]:
        """Yield them."""
        for i in range(2):
            rows = np.zeros(2, DTYPE)
            rows["time"] = [100 * i, 100 * i + 10]
            rows["endtime"] = rows["time"] + 5
            rows["x"] = self.gain * np.arange(2) + i
            yield self.chunk(start=100 * i, end=100 * i + 100, data=rows)


class Sums(sc.Plugin):
    """Twice as much, row by row."""

    provides = "sums"
    depends_on = "things"
    dtype = DTYPE

    def compute(self, things: Rows) -> Rows:
        """Return them."""
        rows = things.copy()
        rows["x"] *= 2
        return rows


class Monitors(Sums):
    """The same, kept in the database."""

    provides = "monitors"


def main(folder: Path) -> None:
    """Write all of it."""
    for name in ("disk", "hall", "folder"):
        (folder / name).mkdir(parents=True)
    os.chdir(folder)
    socket.gethostname = lambda: "lab"
    Path("strax.toml").write_text(CONFIGURATION, encoding="utf-8")
    context = sc.Context.from_config("golden")
    for run_id in ("run_7", "run_8"):
        context.make(run_id, ["things", "sums", "monitors"])
    context.storage[0].write_run_metadata("run_7", {"number": 7, "tags": ["é"]})
    place = {"frontend": "local", "path": "folder"}
    sc.Context(place, plugins=[Things], config={"gain": 3}).make("run_9", "things")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
