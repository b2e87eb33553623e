"""Compares the checkout with an older commit, in turns; `nox -s bench -- --against REF`."""

import argparse
import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benches import BENCHES
from cases import DATA_TYPES, Bench, Case, Settings
from jobs import Answer
from runner import Store, Workers, machine, say, touch_free_memory
from simulation import simulate

ROUNDS_MIN = 15
NOT_WORSE = 0.95
"""A measure is not worse if its interval reaches this share of the older commit's rate."""
CONFIDENCE = 0.95
SIZES: dict[str, Any] = {"size_mb": 100, "n_runs": 2000, "n_small": 100, "n_chunks": (300, 1000)}
QUICK: dict[str, Any] = {"size_mb": 10, "n_runs": 200, "n_small": 20, "n_chunks": (100, 300)}
LEFT_OUT = ("memory", "limit")
"""Their cases are those of `load`, which also tells the memory."""
SIDES = ("now", "before")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two commits: who works, and where its data lie."""

    workers: Workers
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What was measured of one case; more than 1 means that the checkout is better."""

    name: str
    now: float
    """The median: in s, or in bytes."""
    before: float
    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, name: str, now: Sequence[float], before: Sequence[float]) -> "Measure":
        """Compare numbers of which less is better, round by round."""
        ratios = [b / a for a, b in zip(now, before, strict=True)]
        low, high = interval(ratios)
        return cls(
            name=name,
            now=statistics.median(now),
            before=statistics.median(before),
            ratio=statistics.median(ratios),
            low=low,
            high=high,
        )

    @property
    def is_worse(self) -> bool:
        """Whether even the best end of the interval stays below what counts as equal."""
        return self.high < NOT_WORSE


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the interval in which the median lies with a confidence of at least 95 %.

    Two of the sorted values: the k-th from either end, where a fair coin shows fewer than k heads
    in as many throws with a chance of at most 2.5 %. Nothing is assumed of how times are spread,
    and a few slow rounds, which other work on the machine causes, do not move it. Of fewer than
    six values it is all of them.

    Source: W. J. Conover, Practical Nonparametric Statistics, confidence interval for a quantile.
    """
    ordered, n = sorted(values), len(values)
    k, below = 1, 1.0
    while k < n / 2 and 2 * (below + math.comb(n, k)) <= (1 - CONFIDENCE) * 2**n:
        below += math.comb(n, k)
        k += 1
    return ordered[k - 1], ordered[n - k]


def play(sides: dict[str, Side], name: str, rounds: int) -> list[Measure]:
    """Let both sides do all cases of a bench, in turns; who begins changes with each round."""
    benches = {side: BENCHES[name](each.settings) for side, each in sides.items()}
    stored = {side: _store(each, benches[side]) for side, each in sides.items()}
    done: dict[str, dict[str, list[Answer]]] = {}
    cases = {side: own_cases(bench) for side, bench in benches.items()}
    for number in range(rounds):
        order = SIDES if number % 2 else SIDES[::-1]
        for at, case in enumerate(cases["now"]):
            of_case = done.setdefault(case.name, {side: [] for side in SIDES})
            for side in order:
                of_case[side].append(sides[side].workers.answer(cases[side][at]))
            times = ", ".join(f"{side} {of_case[side][-1].seconds:.4g} s" for side in SIDES)
            say(f"  {number + 1}: {case.name}: {times}")
    return [*_sizes(stored), *(each for case in done for each in _measures(case, done[case]))]


def own_cases(bench: Bench) -> list[Case]:
    """Return those cases of a bench that are ours."""
    return [case for case in bench.cases if case.peer.module == "ours"]


def _store(side: Side, bench: Bench) -> dict[str, Answer]:
    store = Store(side.workers, side.settings.folder)
    own = [case for case in bench.stores if case.peer.module == "ours"]
    return {case.name: store.answer(case) for case in own}


def _sizes(stored: dict[str, dict[str, Answer]]) -> list[Measure]:
    """Compare the bytes of what was stored; they are the same each time."""
    return [
        Measure.of(
            f"{name}: stored bytes", [answer.stored_bytes], [stored["before"][name].stored_bytes]
        )
        for name, answer in stored["now"].items()
        if answer.stored_bytes
    ]


def _measures(name: str, done: dict[str, list[Answer]]) -> list[Measure]:
    """Compare the times of a case, and of full loads the memory.

    Raises:
        ValueError: the two gave different results, so their times mean nothing.
    """
    checks = {answer.check for answers in done.values() for answer in answers}
    if len(checks) > 1:
        raise ValueError(f"{name}: the two commits gave different results: {checks}")
    found = [Measure.of(f"{name}: seconds", *(_all(done[side], "seconds") for side in SIDES))]
    if ": load " in name:
        peaks = (_all(done[side], "peak_bytes") for side in SIDES)
        found.append(Measure.of(f"{name}: peak memory", *peaks))
    return found


def _all(answers: Sequence[Answer], field: str) -> list[float]:
    return [float(getattr(answer, field)) for answer in answers]


def table(measures: Sequence[Measure], commit: str) -> str:
    """Return what was measured, a line each."""
    head = (f"how many times as good as {commit}", "before", "now", "ratio", "95 % interval", "")
    lines = [head, *(_cells(each) for each in measures)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(each: Measure) -> tuple[str, ...]:
    is_time = each.name.endswith("seconds")
    before, now = (
        f"{value:.4g} s" if is_time else f"{value / 1e6:.4g} MB"
        for value in (each.before, each.now)
    )
    spread = f"{each.low:.3f} to {each.high:.3f}"
    verdict = "WORSE" if each.is_worse else "not worse"
    return (each.name, before, now, f"{each.ratio:.3f}", spread, verdict)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the user asked for."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- --against REF", description=__doc__)
    choice = [name for name in BENCHES if name not in LEFT_OUT]
    parser.add_argument("names", nargs="*", help=f"of benches: {', '.join(choice)}; none: all")
    parser.add_argument("--quick", action="store_true", help="small data, 3 rounds: for a look")
    parser.add_argument("--repeat", type=int, help=f"how many rounds; {ROUNDS_MIN} at least")
    parser.add_argument("--size-mb", type=float, help="of each data type")
    parser.add_argument("--folder", type=Path, required=True, help="where to work")
    parser.add_argument("--commit", required=True, help="what the older one is called")
    for side in SIDES:
        parser.add_argument(f"--python-{side}", required=True)
    options = parser.parse_args(given)
    for name in options.names:
        if name not in choice:
            parser.error(f"there is no bench {name!r} to compare; there are {', '.join(choice)}")
    if options.repeat is None:
        options.repeat = 3 if options.quick else ROUNDS_MIN
    elif options.repeat < ROUNDS_MIN and not options.quick:
        parser.error(f"{options.repeat} rounds say too little; {ROUNDS_MIN} at least, or --quick")
    options.names = options.names or choice
    return options


def sides_of(options: argparse.Namespace) -> dict[str, Side]:
    """Return both sides; they are given the same simulated rows."""
    sizes = QUICK if options.quick else SIZES
    sides = {}
    for side in SIDES:
        settings = Settings(folder=options.folder.resolve() / side, **sizes)
        if options.size_mb:
            settings = replace(settings, size_mb=options.size_mb)
        settings = replace(settings, folder=settings.folder / f"{settings.size_mb:g}-mb")
        for data_type in DATA_TYPES:
            simulate(data_type, settings.size_mb, settings.arrays / f"{data_type}.npy")
        python = getattr(options, f"python_{side}")
        sides[side] = Side(workers=Workers({"ours": python}), settings=settings)
    return sides


def main() -> None:
    """Compare, print the table, and end with an error if anything is worse."""
    options = arguments()
    sides = sides_of(options)
    versions = {side: each.workers.versions()["ours"] for side, each in sides.items()}
    for name in sorted({*versions["now"], *versions["before"]} - {"strax-core"}):
        both = [versions[side].get(name) for side in SIDES]
        if both[0] != both[1]:
            say(f"note: {name} is {both[0]} now, and {both[1]} before")
    measures: list[Measure] = []
    for name in options.names:
        say(f"{name}:")
        touch_free_memory()
        measures += play(sides, name, options.repeat)
    # Several benches store the same.
    measures = list({each.name: each for each in measures}.values())
    say(f"\n{options.repeat} rounds, load {os.getloadavg()[0]:.1f}")
    say(table(measures, options.commit))
    document = {
        "commit": options.commit,
        "machine": machine(),
        "versions": versions,
        "measures": [vars(each) for each in measures],
    }
    (options.folder / "against.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    worse = [each.name for each in measures if each.is_worse]
    for name in worse:
        say(f"WORSE: {name}")
    raise SystemExit(bool(worse))


if __name__ == "__main__":
    main()
