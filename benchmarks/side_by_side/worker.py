"""Does one job of one peer in this process, and prints what was measured as JSON."""

import contextlib
import importlib
import json
import os
import sys
from importlib import metadata

from jobs import Job, Task, as_json, measure

VERSIONS = (
    *("strax-core", "strax", "numpy", "zarr", "pyarrow", "h5py"),
    *("hdf5plugin", "numba", "zstandard", "blosc", "zstd", "pandas"),
)


def versions() -> dict[str, str]:
    """Return the versions of what matters, as far as installed."""
    found = {}
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def main() -> None:
    """Run ``worker.py PEER JOB ARGUMENTS``; everything but the answer goes to stderr."""
    peer, name, arguments = sys.argv[1:]
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is no answer
    if name == "versions":
        answer_to.write(json.dumps(versions()))
    else:
        task = Task(**json.loads(arguments))
        job: Job = importlib.import_module(f"peer_{peer}").JOBS[name]
        answer_to.write(json.dumps(as_json(measure(job(task), task))))
    answer_to.close()


if __name__ == "__main__":
    main()
