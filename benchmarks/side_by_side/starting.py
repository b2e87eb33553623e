"""Times a whole process, from its start to the first rows."""

import resource
import subprocess
import sys
import time
from pathlib import Path

from jobs import Elsewhere, Task

HERE = Path(__file__).resolve().parent


def seconds_to_first_rows(script: str, task: Task) -> Elsewhere:
    """Run a script as a user would; it prints a line as soon as it has rows."""
    command = [sys.executable, str(HERE / script), task.place, task.data]
    cpu, began = cpu_of_children(), time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        line = process.stdout.readline() if process.stdout is not None else ""
        seconds = time.perf_counter() - began
    if not line.startswith("rows"):
        raise RuntimeError(f"{script} gave no rows; it ended with {process.returncode}")
    return Elsewhere(seconds, cpu_of_children() - cpu)


def cpu_of_children() -> float:
    """Return the CPU time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
