"""How long `import strax_core` and `strax plugins` take, as multiples of `import numpy`."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HEAVY = ("boto3", "numba", "pandas", "paramiko", "rich", "sqlalchemy")
LIMITS = {"import numpy": 1.0, "import strax_core": 1.8, "strax plugins": 3.0}


def commands() -> dict[str, list[str]]:
    """Return what is timed; all of it runs in the Python that runs this script."""
    found = {name: [sys.executable, "-c", name] for name in ("import numpy", "import strax_core")}
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    strax = shutil.which("strax", path=beside)
    if strax is not None:
        found["strax plugins"] = [strax, "plugins"]
    return found


def seconds_of(command: list[str]) -> float:
    """Run a command, from start to end of its process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own commands
    return time.perf_counter() - began


def heavy_imports() -> list[str]:
    """Return which of the heavy packages `import strax_core` brings in."""
    program = f"import sys, strax_core; print(*(sys.modules.keys() & set({HEAVY!r})))"
    answer = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return sorted(answer.stdout.split())


def main() -> None:
    """Time the commands in turns, print medians and ratios, and say whether they are in bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=25)
    runs = parser.parse_args().runs
    todo = commands()
    times: dict[str, list[float]] = {name: [] for name in todo}
    for number in range(runs + 1):  # the first run fills caches and does not count
        for name, command in todo.items():
            seconds = seconds_of(command)
            if number:
                times[name].append(seconds)
    numpy_s = statistics.median(times["import numpy"])
    ratios = {name: statistics.median(taken) / numpy_s for name, taken in times.items()}
    for name, ratio in ratios.items():
        limit = f"limit {LIMITS[name]:.1f}"
        print(f"{name:<20} {ratio * numpy_s * 1e3:7.0f} ms {ratio:6.2f} x   {limit}")
    heavy = heavy_imports()
    print(f"heavy packages imported: {', '.join(heavy) or 'none'}")
    too_slow = [name for name, ratio in ratios.items() if ratio > LIMITS[name]]
    raise SystemExit(bool(too_slow or heavy))


if __name__ == "__main__":
    main()
