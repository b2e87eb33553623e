"""The demo's working folder and the ``strax.toml`` in it."""

import math
import shutil
from pathlib import Path

from strax_core import ConfigError
from strax_demo.simulation import BYTES_PER_EVENT, EVENTS_PER_CHUNK_MAX

MARK = "# Written by `strax demo`, which empties this folder when it starts again.\n"
CONFIG_FILE = "strax.toml"
UPSTREAM_FILE = "detector_for_strax.py"
OURS = (CONFIG_FILE, UPSTREAM_FILE, "__pycache__", "data", "shared")

TEMPLATE = """{mark}
[storage.scratch]
frontend = "local"
path = "./data"

[storage.shared]                  # a folder that the package strax uses too
frontend = "local"
path = "./shared"
compressor = "zstd"               # a codec that it knows

[context.demo]                    # a long run
storage = ["scratch"]
plugins = ["strax_demo.detector"]
[context.demo.config]
n_chunks = {n_chunks}
events_per_chunk = {events_per_chunk}

[context.calibrated]              # short runs, with calibrations from the documents about runs
storage = ["scratch"]
plugins = ["strax_demo.detector"]
use_per_run_defaults = true
[context.calibrated.config]
n_chunks = 1

[context.exchange]                # short runs, shared with the package strax
storage = ["shared"]
plugins = ["strax_demo.detector"]
[context.exchange.config]
n_chunks = 2
"""


def prepare_folder(folder: Path, *, size_mb: float) -> Path:
    """Empty the folder of an earlier demo, or make a new one; return its ``strax.toml``.

    Raises:
        ConfigError: it holds something else, or cannot be used.
    """
    config = folder / CONFIG_FILE
    try:
        _check_ours(folder, config)
        folder.mkdir(exist_ok=True)
        n_events = max(1, round(size_mb * 1e6 / BYTES_PER_EVENT))
        n_chunks = math.ceil(n_events / EVENTS_PER_CHUNK_MAX)
        text = TEMPLATE.format(
            mark=MARK, n_chunks=n_chunks, events_per_chunk=math.ceil(n_events / n_chunks)
        )
        # First of all, so that a demo that is stopped here knows its folder again.
        config.write_text(text, encoding="utf-8")
        for name in OURS:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            elif path != config:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used for the demo: {error.strerror}") from error
    return config


def _check_ours(folder: Path, config: Path) -> None:
    if not folder.exists():
        return
    others = sorted(path.name for path in folder.iterdir() if path.name not in OURS)
    is_marked = config.is_file() and config.read_text(encoding="utf-8").startswith(MARK)
    if others or (any(folder.iterdir()) and not is_marked):
        what = others[0] if others else next(folder.iterdir()).name
        raise ConfigError(
            f"{folder} holds something that is not of an earlier demo ({what}); "
            "give an empty or a new one with --folder"
        )
