"""The benches of everything else: many small things, many runs, and the start."""

import math
from dataclasses import replace

from cases import (
    OURS,
    OURS_FSYNC,
    SHOWN_REPEAT,
    UPSTREAM,
    Bench,
    Case,
    Peer,
    Results,
    Row,
    Settings,
    as_share,
    faster,
    time_text,
)
from many_runs import answer_text

ROWS_OF_A_KB = 11
SMALL_ROWS = (ROWS_OF_A_KB, 100)
ROWS_OF_A_MB = 11_494
ROWS_OF_A_SMALL_CHUNK = 100
N_DATA_TYPES = 3


def chunks(settings: Settings) -> Bench:
    """How time and written bytes grow with the number of small chunks."""

    def case_of(peer: Peer, number: int) -> Case:
        place = f"scratch-chunks-{peer.module}-{number}"
        task = settings.task(
            place, "peak_basics", number=number, rows=ROWS_OF_A_SMALL_CHUNK, keep_chunks=True
        )
        return Case(peer, "save", task, SHOWN_REPEAT if peer == OURS else 1)

    numbers = {OURS: settings.n_chunks, UPSTREAM: settings.n_chunks_upstream}
    cases = {(peer, n): case_of(peer, n) for peer in numbers for n in numbers[peer]}

    def rows(results: Results) -> list[Row]:
        answer = []
        for peer, (few, *_, many) in numbers.items():
            begin, end = results[cases[peer, few]], results[cases[peer, many]]
            goal = "linear" if peer == OURS else None
            growth = math.log(many / few)
            for what, of in (("time", "seconds"), ("bytes written", "written_bytes")):
                powers = [
                    math.log(getattr(b, of) / getattr(a, of)) / growth
                    for a, b in zip(begin, end, strict=True)
                ]
                answer.append(
                    Row(
                        what=f"{many} small chunks, {what}: power of the number",
                        against="" if peer == OURS else peer.name,
                        ours=time_text(end[0].seconds) if peer == OURS else "",
                        theirs=time_text(end[0].seconds) if peer != OURS else "",
                        value=sorted(powers)[len(powers) // 2],
                        unit="power",
                        low=min(powers),
                        high=max(powers),
                        target=goal,
                    )
                )
        return answer

    return Bench(cases=list(cases.values()), rows=rows)


def many(settings: Settings, peer: Peer, job: str, number: int) -> Case:
    """Return a question about very many runs."""
    return Case(peer, job, settings.task(f"many-{peer.module}", "peak_basics", number=number))


def many_stores(settings: Settings) -> list[Case]:
    """Return what stores very many runs."""
    return [many(settings, peer, "many_runs", settings.n_runs) for peer in (OURS, UPSTREAM)]


def availability(settings: Settings) -> Bench:
    """What is stored of 10,000 runs."""
    n = settings.n_runs
    ours = many(settings, OURS, "availability", n)
    one_by_one = replace(many(settings, UPSTREAM, "is_stored", n), repeat_at_most=SHOWN_REPEAT)
    several = replace(many(settings, UPSTREAM, "find_several", n), repeat_at_most=SHOWN_REPEAT)
    our_own = replace(many(settings, OURS, "is_stored", n), repeat_at_most=SHOWN_REPEAT)

    def rows(results: Results) -> list[Row]:
        return [
            faster(
                f"availability, against `{case.job}`",
                ours,
                case,
                results,
                target=f"availability against {case.job}",
            )
            for case in (one_by_one, several)
        ] + [
            faster(
                "`is_stored`, one by one",
                our_own,
                one_by_one,
                results,
            )
        ]

    cases = [ours, one_by_one, several, our_own]
    return Bench(cases=cases, rows=rows, stores=many_stores(settings))


def fuzzy(settings: Settings) -> Bench:
    """The same, where all is stored under another lineage."""
    n = settings.n_runs * N_DATA_TYPES
    ours = many(settings, OURS, "fuzzy", settings.n_runs)
    theirs = replace(
        many(settings, UPSTREAM, "fuzzy", settings.n_fuzzy), repeat_at_most=SHOWN_REPEAT
    )

    def rows(results: Results) -> list[Row]:
        expected = {ours: answer_text(n), theirs: answer_text(settings.n_fuzzy)}
        for case, check in expected.items():
            if {answer.check for answer in results[case]} != {check}:
                raise ValueError(f"{case.name} found {results[case][0].check}, not {check}")
        scale = n / settings.n_fuzzy
        scaled = {
            ours: [replace(each, check="") for each in results[ours]],
            theirs: [
                replace(each, seconds=each.seconds * scale, check="") for each in results[theirs]
            ],
        }
        return [faster("fuzzy, all of another lineage", ours, theirs, scaled, target="fuzzy")]

    return Bench(cases=[ours, theirs], rows=rows, stores=many_stores(settings))


def start(settings: Settings) -> Bench:
    """From the start of a process to the first rows."""
    cases, stores = {}, []
    for peer in (OURS, UPSTREAM):
        task = settings.task(
            f"megabyte-{peer.module}", "peak_basics", number=1, rows=ROWS_OF_A_MB, keep=True
        )
        stores.append(Case(peer, "save_small", task))
        cases[peer] = Case(peer, "start", task)

    def rows(results: Results) -> list[Row]:
        row = faster("start to first rows of 1 MB", cases[OURS], cases[UPSTREAM], results)
        return [replace(as_share(row, "x upstream's"), target="start")]

    return Bench(cases=list(cases.values()), rows=rows, stores=stores)


def small(settings: Settings) -> Bench:
    """Small pieces, one after the other."""
    cases: dict[tuple[Peer, str, int], Case] = {}
    stores = []
    for n_rows in SMALL_ROWS:
        for peer in (OURS, UPSTREAM, OURS_FSYNC):
            task = settings.task(
                f"scratch-small-{peer.folder}-{n_rows}",
                "peak_basics",
                number=settings.n_small,
                rows=n_rows,
                fsync=peer.fsync,
            )
            cases[peer, "save", n_rows] = Case(peer, "save_small", task)
            if peer != OURS_FSYNC:
                place = str(settings.folder / f"small-{peer.module}-{n_rows}")
                task = replace(task, place=place, keep=True)
                stores.append(Case(peer, "save_small", task))
                cases[peer, "load", n_rows] = Case(peer, "load_small", task)

    def rows(results: Results) -> list[Row]:
        answer = []
        for n_rows in SMALL_ROWS:
            what = "1 kB" if n_rows == ROWS_OF_A_KB else f"{n_rows} rows"
            for ours, job, words, target in (
                (OURS, "save", "save", "not slower"),
                (OURS_FSYNC, "save", "save with fsync", None),
                (OURS, "load", "load", "not slower"),
            ):
                pair = cases[ours, job, n_rows], cases[UPSTREAM, job, n_rows]
                title = f"{words} {settings.n_small} pieces of {what}"
                answer.append(faster(title, *pair, results, target=target))
        return answer

    return Bench(cases=list(cases.values()), rows=rows, stores=stores)
