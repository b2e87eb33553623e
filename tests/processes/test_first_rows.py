"""What a fresh process needs for its first rows: no compiler, which takes longer than they do."""

import subprocess
import sys
from pathlib import Path

SHARED = """
import sys
import numpy as np
import strax_core as sc

class Hits(sc.Plugin):
    provides = "hits"
    depends_on = ()
    data_kind = "hits"
    dtype = [("time", "i8"), ("endtime", "i8"), ("area", "f8")]

    def chunks(self):
        rows = np.zeros(40_000, self.dtype)
        rows["time"] = rows["endtime"] = np.arange(40_000)
        yield self.chunk(start=0, end=40_000, data=rows)

ctx = sc.Context(sys.argv[1], plugins=[Hits])
"""
SAVED = SHARED + 'ctx.make("7", "hits")'
LOADED = SHARED + (
    'assert ctx.get_metadata("7", "hits")["compressor"] == "columns"\n'
    'assert (ctx.get_array("7", "hits")["time"] == np.arange(40_000)).all()\n'
    'print("numba" in sys.modules)'
)


def test_the_first_mb_is_loaded_without_a_compiler(tmp_path: Path) -> None:
    for script in (SAVED, LOADED):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            check=True,
            capture_output=True,
            text=True,
        )

    assert done.stdout.strip() == "False"
