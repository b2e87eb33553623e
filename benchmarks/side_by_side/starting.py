"""Times a whole process, from its start to the first rows."""

import subprocess
import sys
import time
from pathlib import Path

from jobs import Task

HERE = Path(__file__).resolve().parent


def seconds_to_first_rows(script: str, task: Task) -> float:
    """Run a script as a user would; it prints a line as soon as it has rows."""
    command = [sys.executable, str(HERE / script), task.place, task.data]
    began = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        line = process.stdout.readline() if process.stdout is not None else ""
        seconds = time.perf_counter() - began
    if not line.startswith("rows"):
        raise RuntimeError(f"{script} gave no rows; it ended with {process.returncode}")
    return seconds
