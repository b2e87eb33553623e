"""Changes the code in small ways, one at a time, and looks whether the tests notice.

``python tools/mutation/mutation.py`` tries 180 mutants of what writes and reads data: a random
third each of the saver, of the loader, and of strax-local. It takes about a quarter of an hour.
``saver.py frontend.py`` tries only those files; ``--limit 0`` tries all mutants there are. Mutants
are written into a copy in a temporary folder. The end is 1 if 15 % or more of a group, or of all,
go unnoticed.

It is a script of our own, because mutmut 3 mutates functions only and draws no sample, and
cosmic-ray changes the files in place and removes no statements.
"""

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("strax_core", "plugins/strax_local", "tests", "pyproject.toml", "conftest.py")
SOURCES = ("strax_core/src", "plugins/strax_local/src")
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.nbc", "*.nbi")
ALIVE_MAX = 0.15
KILLED, TIMED_OUT, ALIVE = "killed", "timed out", "alive"


@dataclass(frozen=True)
class Group:
    """Files that belong together, and the tests that should notice.

    What notices most, and fast, is run first, by itself: to collect the others takes longer.
    """

    name: str
    files: tuple[str, ...]
    first: tuple[str, ...]
    then: tuple[str, ...]


CORE, CORE_TESTS = "strax_core/src/strax_core", "strax_core/tests"
LOCAL_TESTS = "plugins/strax_local/tests"
SLOW = (  # the other class has this test, too
    "TestLocalBackendThatWaitsForTheDisk::test_of_many_processes_exactly_one_creates_each_file"
)
GROUPS = (
    Group(
        "saver",
        (f"{CORE}/saver/saver.py",),
        (f"{CORE_TESTS}/saver/test_saver_errors.py",),
        (
            f"{CORE_TESTS}/saver/test_saver.py",
            f"{CORE_TESTS}/saver/test_commit.py",
            f"{CORE_TESTS}/context/test_context_overwrite.py",
            f"{CORE_TESTS}/backend/test_memory.py",
        ),
    ),
    Group(
        "loader",
        tuple(
            f"{CORE}/{name}.py"
            for name in (
                "loader/loader",
                "loader/segments",
                "loader/into_array",
                "loader/chunk_file",
                "codecs/encoded_chunk",
            )
        ),
        (f"{CORE_TESTS}/loader/test_loader_errors.py", f"{CORE_TESTS}/places/test_verify.py"),
        (
            f"{CORE_TESTS}/loader/test_loader.py",
            f"{CORE_TESTS}/loader/test_segments.py",
            f"{CORE_TESTS}/saver/test_saver.py",
            f"{CORE_TESTS}/testing/test_contract_reading.py",
            f"{CORE_TESTS}/backend/test_memory.py",
            f"{CORE_TESTS}/context/test_context_parts.py",
        ),
    ),
    Group(
        "strax_local",
        ("plugins/strax_local/src/strax_local/*.py",),
        (f"{LOCAL_TESTS}/test_local_details.py", f"{LOCAL_TESTS}/test_local.py"),
        (
            f"{LOCAL_TESTS}/test_local_contract.py",
            f"--deselect={LOCAL_TESTS}/test_local_contract.py::{SLOW}",
        ),
    ),
)


@dataclass(frozen=True)
class Trial:
    """A mutant of one file, and what became of it."""

    group: Group
    file: str
    before: str
    mutant: Mutant
    outcome: str = ""
    took_s: float = 0.0

    def hunk(self, context: int = 2) -> str:
        """Show the change as a diff."""
        before = self.before.splitlines()
        lines = difflib.unified_diff(
            before, self.mutant.text.splitlines(), self.file, self.mutant.what, "", "", context, ""
        )
        return "\n".join(lines)


class Copy:
    """A copy of the packages and their tests, in which one mutant at a time is tried."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
            else:
                shutil.copy(ROOT / name, root / name)

    def check(self, groups: Sequence[Group]) -> dict[Group, float]:
        """Run the tests on the code as it is; return how long each group takes, in seconds."""
        modules = "[strax_core.__file__, strax_local.__file__]"
        asked = f"import sys, strax_core, strax_local; sys.stdout.write(repr({modules}))"
        if self._run([sys.executable, "-c", asked], 60) or self._said().count(str(self._root)) != 2:
            raise SystemExit(f"the copy is not what would be tested: {self._said()}")
        took: dict[Group, float] = {}
        for group in groups:
            begin = time.monotonic()
            if self._test(group, 600):
                said = (self._root / "said").read_text(errors="replace")
                raise SystemExit(
                    f"the tests of {group.name} fail without a mutant:\n{said[-3000:]}"
                )
            took[group] = time.monotonic() - begin
            say(f"{group.name}: {took[group]:.0f} s without a mutant")
        return took

    def outcome_of(self, trial: Trial, timeout_s: float) -> Trial:
        """Put a mutant in, run the tests of its group, and take it out again."""
        path = self._root / trial.file
        ast.parse(trial.mutant.text)  # a mutant that is no Python would be noticed by everything
        path.write_text(trial.mutant.text, encoding="utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
        begin = time.monotonic()
        try:
            code = self._test(trial.group, timeout_s, PYTHONDONTWRITEBYTECODE="1")
        finally:
            path.write_text(trial.before, encoding="utf-8")
        outcome = TIMED_OUT if code is None else KILLED if code else ALIVE
        took_s = time.monotonic() - begin
        return replace(trial, outcome=outcome, took_s=round(took_s, 1))

    def _said(self) -> str:
        return (self._root / "said").read_text(encoding="utf-8", errors="replace")

    def _test(self, group: Group, timeout_s: float, **variables: str) -> int | None:
        """Run the tests of a group up to the first that fails; None if one did not end."""
        for tests in (group.first, group.then):
            quiet = ["-q", "-x", "--tb=short", "-p", "no:cacheprovider"]
            command = [sys.executable, "-m", "pytest", *quiet, f"--basetemp={self._root / 'files'}"]
            code = self._run([*command, *tests], timeout_s, **variables)
            if code != 0:
                return code
        return 0

    def _run(self, command: list[str], timeout_s: float, **variables: str) -> int | None:
        """Run a command in the copy; None if it did not end. Nothing that it started stays."""
        paths = os.pathsep.join(str(self._root / source) for source in SOURCES)
        environment = {**os.environ, "PYTHONPATH": paths, "STRAX_CONTRACT": "quick", **variables}
        with (self._root / "said").open("wb") as said:
            process = subprocess.Popen(
                command,
                cwd=self._root,
                env=environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def drawn(asked: Sequence[str], *, limit: int, seed: int) -> list[Trial]:
    """Draw mutants, as many of each group as of any other as far as there are, in random order."""
    generator = random.Random(seed)  # noqa: S311 - no secret
    pools = []
    for group in GROUPS:
        texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in files_of(group, asked)}
        pool = [
            Trial(group, file, text, mutant)
            for file, text in texts.items()
            for mutant in mutants_of(text)
        ]
        generator.shuffle(pool)
        pools.append(pool)
    chosen: list[Trial] = []
    for i, pool in enumerate(sorted(pools, key=len)):
        share = (limit - len(chosen)) // (len(pools) - i)
        chosen += pool[:share] if limit else pool
    if not chosen:
        raise SystemExit(f"there is nothing to mutate in {', '.join(asked)}")
    generator.shuffle(chosen)
    return chosen


def files_of(group: Group, asked: Sequence[str]) -> list[str]:
    """Return the files of a group, or those of them that were asked for, by name or ending."""
    found = [
        str(path.relative_to(ROOT))
        for pattern in group.files
        for path in sorted(ROOT.glob(pattern))
    ]
    return [
        file
        for file in found
        if not asked or any(f"/{file}".endswith(f"/{each}") for each in asked)
    ]


def tried(trials: Sequence[Trial], *, jobs: int) -> Iterator[Trial]:
    """Try all mutants, each job in a copy of its own; yield them in their order."""
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - no fixed name
    with tempfile.TemporaryDirectory(dir=in_memory) as folder, ThreadPoolExecutor(jobs) as pool:
        copies: SimpleQueue[Copy] = SimpleQueue()
        groups = [group for group in GROUPS if any(trial.group is group for trial in trials)]
        for number in range(jobs):
            copies.put(Copy(Path(folder) / f"copy_{number}"))
        first = copies.get()
        took = first.check(groups)
        copies.put(first)

        def try_one(trial: Trial) -> Trial:
            copy = copies.get()
            try:
                return copy.outcome_of(trial, 20 + 4 * took[trial.group])
            finally:
                copies.put(copy)

        yield from pool.map(try_one, trials)


def table(trials: Sequence[Trial]) -> tuple[str, bool]:
    """Return the figures of each file, group and all, and whether few enough are alive."""
    lines = [f"{'':56}{'mutants':>8}{KILLED:>8}{TIMED_OUT:>11}{'alive %':>9}"]
    groups = [group for group in GROUPS if any(trial.group is group for trial in trials)]
    passed = True
    for group in groups:
        of_group = [trial for trial in trials if trial.group is group]
        lines += [
            _line(file, [trial for trial in of_group if trial.file == file])[0]
            for file in sorted({trial.file for trial in of_group})
        ]
        line, alive = _line(f"= {group.name}", of_group)
        lines.append(line)
        passed &= alive < ALIVE_MAX
    line, alive = _line("= all", trials)
    return "\n".join([*lines, line]), passed and alive < ALIVE_MAX


def _line(name: str, trials: Sequence[Trial]) -> tuple[str, float]:
    counts = [
        sum(trial.outcome == outcome for trial in trials) for outcome in (KILLED, TIMED_OUT, ALIVE)
    ]
    alive = counts[2] / len(trials)
    return f"{name:56}{len(trials):8}{counts[0]:8}{counts[1]:11}{100 * alive:9.1f}", alive


def as_json(trials: Sequence[Trial]) -> str:
    """Return all that is known about the mutants."""
    return json.dumps(
        [
            {
                "group": trial.group.name,
                "file": trial.file,
                "line": trial.mutant.line,
                "what": trial.mutant.what,
                "diff": trial.hunk(0),
                "outcome": trial.outcome,
                "took_s": trial.took_s,
            }
            for trial in trials
        ],
        indent=1,
    )


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Draw, try, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", help="files to mutate, by name; none: all")
    parser.add_argument("--seed", type=int, default=1, help="which mutants are drawn")
    parser.add_argument("--limit", type=int, default=180, help="how many mutants; 0: all")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    parser.add_argument("--list", action="store_true", help="show the mutants, try none")
    asked = parser.parse_args()
    trials = drawn(asked.files, limit=asked.limit, seed=asked.seed)
    if asked.list:
        say("\n\n".join(trial.hunk() for trial in trials))
        return 0
    done: list[Trial] = []
    for trial in tried(trials, jobs=asked.jobs):
        done.append(trial)
        say(
            f"{len(done):4} of {len(trials)} {trial.outcome:9} {trial.took_s:5.1f} s  "
            f"{trial.file}:{trial.mutant.line} {trial.mutant.what}"
        )
        if asked.json:
            asked.json.write_text(as_json(done), encoding="utf-8")
    survivors = sorted(
        (trial for trial in done if trial.outcome == ALIVE),
        key=lambda trial: (trial.file, trial.mutant.line),
    )
    say("\n\n".join(["", *(trial.hunk() for trial in survivors), ""]))
    figures, passed = table(done)
    say(figures)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
