"""The real strax and we at work in one folder: save, fail, kill, remove, in random order.

    python tests/upstream/together.py --sequences 200 --seed 1

After each step both are asked for every key, by contexts that were made for the question.

- Strict, both must give the same answer. Where strax raises instead of answering, that is counted,
  and ours must be no.
- Fuzzy, ours must be yes exactly where some data that fit are stored; wherever strax says yes, too.
  strax's wrong noes and its errors are counted.
- Ours never raises.
- What one has saved, the other loads.

It starts no thread that outlives a step, because it forks. Everything that it does follows from the
seed, but for the order in which our threads write.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from twins import TIMES, Rows, made_from, our_context, rows_of, source, their_context

import strax_core

RUNS = ("run_0", "run_1")
# `gain` is an option of things, `cut` one of results; strax compares tuples badly.
CONFIGS: tuple[dict[str, Any], ...] = (
    {"gain": (1, 2.5), "cut": 1},
    {"gain": (1, 3.5), "cut": 1},
    {"gain": (1, 2.5), "cut": 2},
)
FUZZY: tuple[dict[str, tuple[str, ...]], ...] = (
    {"fuzzy_for_options": ("gain",)},
    {"fuzzy_for_options": ("cut",)},
    {"fuzzy_for": ("things",)},
)
CODECS = ("blosc", "zstd", "lz4", "bz2")
CHUNKS = 3
STEPS = 5
OFTEN = 0.6  # how often a step is about the same data as others of its sequence
KILLED = 137
WRITES_MAX = 40  # a save of both data types makes about so many calls that change the folder
PIECES = [
    (i * 1000, (i + 1) * 1000, rows_of(TIMES, [i * 1000 + 1, i * 1000 + 201], seed=i))
    for i in range(CHUNKS)
]


@dataclass(frozen=True)
class Query:
    """One piece of data, as a user asks for it."""

    run_id: str
    data_type: str
    config: int

    @property
    def options(self) -> dict[str, Any]:
        return CONFIGS[self.config]

    @property
    def tracked(self) -> dict[str, Any]:
        names = ("gain",) if self.data_type == "things" else ("gain", "cut")
        return {name: self.options[name] for name in names}

    def serves(self, other: "Query", fuzzy: dict[str, tuple[str, ...]]) -> bool:
        """Say whether these data serve where `other` was asked for; written down by hand."""
        free = set(fuzzy.get("fuzzy_for_options", ()))
        if "things" in fuzzy.get("fuzzy_for", ()):
            free.add("gain")
        same = (self.run_id, self.data_type) == (other.run_id, other.data_type)
        return same and all(
            name in free or value == other.tracked[name] for name, value in self.tracked.items()
        )


KEYS = [
    *(Query(run_id, "things", config) for run_id in RUNS for config in (0, 1)),
    *(Query(run_id, "results", config) for run_id in RUNS for config in (0, 1, 2)),
]


@dataclass(frozen=True)
class Step:
    """What is done next."""

    what: str
    by: str
    wanted: Query
    codec: str
    fails_in: str = ""
    fails_at: int = 0
    dies_at: int = 0
    leaves_empty_file: bool = False


NOTHING_WORKS = Step(what="load", by="", wanted=KEYS[0], codec="zstd", fails_in="things results")


@dataclass
class Report:
    """What was seen."""

    n_sequences: int = 0
    n_steps: int = 0
    n_died: int = 0
    """Kills that hit before the save was over."""
    strict: Counter[str] = field(default_factory=Counter)
    """Answers of both: yes, no; of strax: errors, by type."""
    fuzzy: Counter[str] = field(default_factory=Counter)
    """Yes and no of both; strax's wrong noes, and its errors, by type."""
    wrong: list[str] = field(default_factory=list)
    """What must not be, with sequence and steps."""


def data_plugins(package: ModuleType, step: Step | None = None) -> list[type]:
    """Return the two classes of this package; a step may make one of them fail."""
    codec = step.codec if step else "zstd"
    fails_in, fails_at = (step.fails_in, step.fails_at) if step else ("", 0)
    seen: list[int] = []

    def compute(self: Any, things: Rows) -> Rows:  # noqa: ARG001 - both call it so
        seen.append(len(things))
        if "results" in fails_in and len(seen) > fails_at:
            raise ZeroDivisionError("the detector is on fire")
        return np.array(things)

    things = source(
        package,
        PIECES,
        dtype=TIMES,
        compressor=codec,
        fails_at=fails_at if "things" in fails_in else None,
    )
    results = made_from(
        package, "things", compute, dtype=TIMES, compressor=codec, rechunk_on_save=False
    )
    return [
        package.takes_config(package.Option("gain", default=(1, 2.5)))(things),
        package.takes_config(package.Option("cut", default=1))(results),
    ]


@cache
def strax() -> ModuleType:
    """The real one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import strax
    strax.utils.tqdm.monitor_interval = 0  # no thread
    module: ModuleType = strax
    return module


@cache
def plain(package: ModuleType) -> list[type]:
    return data_plugins(package)


def theirs(folder: Path, config: dict[str, Any], classes: list[type], **options: Any) -> Any:
    return their_context(strax(), folder, *classes, config=config, **options)


def ours(
    folder: Path, config: dict[str, Any], classes: list[type], **options: Any
) -> strax_core.Context:
    return our_context(folder, *classes, config=config, **options)


def save(folder: Path, step: Step) -> None:
    wanted = step.wanted
    if step.by == "strax":
        context = theirs(folder, wanted.options, data_plugins(strax(), step))
        context.make(wanted.run_id, wanted.data_type, progress_bar=False)
    else:
        our = ours(folder, wanted.options, data_plugins(strax_core, step))
        our.make(wanted.run_id, wanted.data_type, max_workers=1)


def fail(folder: Path, step: Step) -> None:
    with contextlib.suppress(ZeroDivisionError):
        save(folder, step)


def kill(folder: Path, step: Step) -> bool:
    """Save in a child that dies at one of its writes; say whether it did."""
    for thread in threading.enumerate():
        if thread.name == "strax-delayed-calls":
            thread.join()  # it ends by itself a second after the last save
    if threading.active_count() > 1:
        raise RuntimeError(f"a fork beside other threads: {threading.enumerate()}")
    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(dying(folder, step))
            save(folder, step)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == KILLED


def dying(folder: Path, step: Step) -> Callable[[str, tuple[Any, ...]], None]:
    """Return what ends this process when the folder is about to be changed for the n-th time.

    A process that dies between opening a file and closing it leaves an empty one, as what it wrote
    stands in a buffer of its own.
    """
    changes = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
    seen: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_open = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if not is_open and event not in changes:
            return
        # A relative one is inside a folder that is open: of strax, one that is being removed.
        path = folder / ".staging" / str(arguments[0])
        if not path.is_relative_to(folder):
            return
        seen.append(event)
        if len(seen) == step.dies_at:
            if is_open and step.leaves_empty_file:
                with contextlib.suppress(FileNotFoundError):  # of ours, before there is any staging
                    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
            os._exit(KILLED)

    return hook


def remove(folder: Path, step: Step) -> None:
    context = ours(folder, step.wanted.options, plain(strax_core))
    key = context.key_for(step.wanted.run_id, step.wanted.data_type)
    if step.by == "ours":
        with contextlib.suppress(strax_core.DataNotAvailable):
            context.storage[0].remove(key)
    elif (folder / str(key)).exists():
        shutil.rmtree(folder / str(key))


def do(folder: Path, step: Step, report: Report) -> None:
    if step.what == "save":
        save(folder, step)
    elif step.what == "fail":
        fail(folder, step)
    elif step.what == "kill":
        report.n_died += kill(folder, step)
    else:
        remove(folder, step)


def random_step(random: random.Random, often: Query) -> Step:
    what = random.choice(["save", "save", "fail", "kill", "kill", "remove"])
    wanted = often if random.random() < OFTEN else random.choice(KEYS)
    return Step(
        what=what,
        by=random.choice(["strax", "ours"]),
        wanted=wanted,
        codec=random.choice(CODECS),
        fails_in=random.choice(["things", wanted.data_type]) if what == "fail" else "",
        fails_at=random.randrange(CHUNKS),
        dies_at=random.randrange(1, WRITES_MAX) if what == "kill" else 0,
        leaves_empty_file=random.random() < 0.5,
    )


def answer(ask: Callable[[str, str], bool], run_id: str, data_type: str) -> str:
    try:
        return "yes" if ask(run_id, data_type) else "no"
    except Exception as error:  # noqa: BLE001 - that it raises is what is asked
        return type(error).__name__


def answers(folder: Path, package: ModuleType, **options: Any) -> dict[Query, str]:
    """Ask for every key, each configuration with a context of its own."""
    made = ours if package is strax_core else theirs
    told: dict[Query, str] = {}
    for number, config in enumerate(CONFIGS):
        context = made(folder, config, plain(package), **options)
        told |= {
            wanted: answer(context.is_stored, wanted.run_id, wanted.data_type)
            for wanted in KEYS
            if wanted.config == number
        }
    return told


def check(folder: Path, fuzzy: dict[str, tuple[str, ...]], report: Report) -> Iterator[str]:
    """Compare the answers; yield what must not be."""
    our_answers = answers(folder, strax_core)
    for wanted, their_answer in answers(folder, strax()).items():
        our_answer = our_answers[wanted]
        report.strict[their_answer] += 1
        is_error = their_answer not in ("yes", "no")
        if our_answer != ("no" if is_error else their_answer):
            yield f"strict, {wanted}: strax says {their_answer}, ours {our_answer}"
    stored = [
        wanted for wanted in KEYS if our_answers[wanted] == "yes" or is_unnamed(folder, wanted)
    ]
    our_answers = answers(folder, strax_core, **fuzzy)
    for wanted, their_answer in answers(folder, strax(), **fuzzy).items():
        our_answer = our_answers[wanted]
        right = "yes" if any(each.serves(wanted, fuzzy) for each in stored) else "no"
        if our_answer != right or (their_answer == "yes" and our_answer != "yes"):
            yield f"{fuzzy}, {wanted}: strax says {their_answer}, ours {our_answer}, right {right}"
        if their_answer == right:
            report.fuzzy[right] += 1
        else:
            report.fuzzy["wrong no of strax" if their_answer == "no" else their_answer] += 1


def is_unnamed(folder: Path, wanted: Query) -> bool:
    """Say whether all of it is there, but strax died before it gave it its name.

    strax takes such data for a fuzzy match, also of their own key, though not for an exact one.
    """
    name = str(plain_key(wanted))
    metadata = folder / f"{name}_temp" / f"{name.partition('-')[2]}-metadata.json"
    if not metadata.exists() or not (text := metadata.read_text("ascii")):
        return False
    document = json.loads(text)
    return "writing_ended" in document and "exception" not in document


@cache
def plain_key(wanted: Query) -> strax_core.DataKey:
    context = strax_core.Context([], plugins=plain(strax_core), config=wanted.options)
    return context.key_for(wanted.run_id, wanted.data_type)


def run_sequence(number: int, seed: int, report: Report) -> None:
    choose = random.Random(f"{seed} {number}")  # noqa: S311 - to be repeated, not to be secret
    fuzzy, often = FUZZY[number % len(FUZZY)], choose.choice(KEYS)
    report.n_sequences += 1
    done: list[Step] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(STEPS):
            step = random_step(choose, often)
            done.append(step)
            try:
                do(folder, step, report)
                told = list(check(folder, fuzzy, report))
                told += expected(folder, step)
            except Exception as error:  # noqa: BLE001 - the report says with which steps
                told = [f"{type(error).__name__}: {error}"]
            report.n_steps += 1
            if told:
                steps = "\n    ".join(str(each) for each in done)
                report.wrong.append(f"sequence {number}: {'; '.join(told)}\n    {steps}")
                return


def expected(folder: Path, step: Step) -> Iterator[str]:
    """Yield what the step itself promises and did not keep."""
    wanted = step.wanted
    if step.what in ("save", "remove"):
        context = ours(folder, wanted.options, plain(strax_core))
        is_stored = context.is_stored(wanted.run_id, wanted.data_type)
        if is_stored != (step.what == "save"):
            yield f"after {step.what}, is_stored is {is_stored}"
    if step.what == "save":
        loaded = loaded_by_us if step.by == "strax" else loaded_by_strax
        if loaded(folder, wanted).tobytes() != b"".join(rows.tobytes() for _, _, rows in PIECES):
            yield "what was saved does not load on the other side"


def loaded_by_us(folder: Path, wanted: Query) -> Rows:
    context = ours(folder, wanted.options, data_plugins(strax_core, NOTHING_WORKS))
    return context.get_array(wanted.run_id, wanted.data_type, max_workers=1)


def loaded_by_strax(folder: Path, wanted: Query) -> Rows:
    context = theirs(folder, wanted.options, data_plugins(strax(), NOTHING_WORKS))
    rows: Rows = context.get_array(wanted.run_id, wanted.data_type, progress_bar=False)
    return rows


def run(n_sequences: int, seed: int) -> Report:
    """Do so many sequences; strax's own prints are dropped."""
    report = Report()
    with (
        open(os.devnull, "w") as nowhere,  # noqa: PTH123 - a device
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for number in range(n_sequences):
            run_sequence(number, seed, report)
    return report


def main() -> int:
    """Print the report; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = run(options.sequences, options.seed)
    sys.stdout.write(json.dumps(vars(report), indent=4) + "\n")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
