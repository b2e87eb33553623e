"""The benches: which cases, and which rows of the table they give."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from cases import (
    BZ2,
    DATA_TYPES,
    HDF5,
    LIMIT,
    LZ4,
    OURS,
    OURS_FSYNC,
    PARQUET,
    SHOWN,
    UPSTREAM,
    ZARR,
    ZSTD,
    Bench,
    Case,
    Peer,
    Results,
    Row,
    Settings,
    faster,
    mean_of,
    single,
    time_text,
)
from many_runs import answer_text

SHOWN_REPEAT = 3
ROWS_OF_A_KB = 11
SMALL_ROWS = (ROWS_OF_A_KB, 100)
ROWS_OF_A_MB = 11_494
ROWS_OF_A_SMALL_CHUNK = 100
N_DATA_TYPES = 3


def store(settings: Settings, peer: Peer, data: str) -> Case:
    """Return what stores the whole data of one type, for others to load."""
    task = settings.task(f"{peer.folder}/{data}", data, compressor=peer.compressor, keep=True)
    return Case(replace(peer, fsync=False), "save", task)


def reading(settings: Settings, job: str, peer: Peer, data: str) -> Case:
    """Return a job on what `store` has stored."""
    at_most = SHOWN_REPEAT if peer in SHOWN else 1000
    task = settings.task(f"{peer.folder}/{data}", data, compressor=peer.compressor, keep=True)
    return Case(peer, job, task, at_most)


def size(settings: Settings) -> Bench:
    """How large what is stored is."""
    peers = (OURS, UPSTREAM, ZSTD, LZ4, BZ2, PARQUET, ZARR, HDF5)
    stores = {(peer, data): store(settings, peer, data) for peer in peers for data in DATA_TYPES}

    def rows(results: Results) -> list[Row]:
        stored = {key: results[case][0].stored_bytes for key, case in stores.items()}
        whole = {data: results[stores[OURS, data]][0].result_bytes for data in DATA_TYPES}
        answer = []
        for peer in peers[1:]:
            each = [
                single(
                    f"stored size, {data}",
                    stored[OURS, data] / stored[peer, data],
                    "× the size",
                    against=peer.name,
                    ours=f"{whole[data] / stored[OURS, data]:.2f} : 1",
                    theirs=f"{whole[data] / stored[peer, data]:.2f} : 1",
                    target={UPSTREAM: "not larger", ZSTD: "size against zstd"}.get(peer),
                )
                for data in DATA_TYPES
            ]
            target = {UPSTREAM: "size", ZSTD: "size against zstd"}.get(peer)
            answer += [mean_of("stored size", each, target=target), *each]
        return answer

    return Bench(name="size", cases=(), rows=rows, stores=list(stores.values()))


def save(settings: Settings) -> Bench:
    """How long it takes to save what a source gives."""
    peers = (OURS, UPSTREAM, OURS_FSYNC, ZSTD, LZ4, BZ2, PARQUET, ZARR, HDF5)

    def case_of(peer: Peer, data: str) -> Case:
        task = settings.task(
            f"scratch-{peer.folder}-{data}", data, compressor=peer.compressor, fsync=peer.fsync
        )
        at_most = 1 if peer == BZ2 else SHOWN_REPEAT if peer in SHOWN else 1000
        return Case(peer, "save", task, at_most)

    cases = {(peer, data): case_of(peer, data) for data in DATA_TYPES for peer in peers}

    def rows(results: Results) -> list[Row]:
        answer = []
        for ours, theirs, what, target in (
            (OURS, UPSTREAM, "save", "save"),
            (OURS_FSYNC, UPSTREAM, "save with fsync", "save with fsync"),
            (OURS, ZSTD, "save", "not slower"),
            *((OURS, peer, "save", None) for peer in SHOWN),
        ):
            each = [
                faster(
                    f"{what}, {data}",
                    cases[ours, data],
                    cases[theirs, data],
                    results,
                    target=None if target is None else "not slower",
                )
                for data in DATA_TYPES
            ]
            answer += [mean_of(what, each, target=target), *each]
        return answer

    return Bench(name="save", cases=list(cases.values()), rows=rows)


def loading(
    settings: Settings, name: str, job: str, data_types: Sequence[str], peers: Sequence[Peer]
) -> tuple[dict[tuple[Peer, str], Case], list[Case]]:
    """Return the cases that load, by peer and data type, and what must be stored for them."""
    del name
    cases = {
        (peer, data): reading(settings, job, peer, data) for data in data_types for peer in peers
    }
    return cases, [store(settings, peer, data) for peer, data in cases]


def loads(
    settings: Settings,
    *,
    name: str,
    job: str,
    what: str,
    target: str,
    data_types: Sequence[str] = DATA_TYPES,
    peers: Sequence[Peer] = (UPSTREAM, ZSTD, LZ4, BZ2, PARQUET, ZARR, HDF5),
) -> Bench:
    """How long it takes to load."""
    cases, stores = loading(settings, name, job, data_types, (OURS, *peers))

    def rows(results: Results) -> list[Row]:
        answer = []
        for peer in peers:
            goal = {UPSTREAM: target, ZSTD: "not slower"}.get(peer)
            is_one = len(data_types) == 1
            each = [
                faster(
                    what if is_one else f"{what}, {data}",
                    cases[OURS, data],
                    cases[peer, data],
                    results,
                    target=goal if is_one else goal and "not slower",
                )
                for data in data_types
            ]
            answer += each if is_one else [mean_of(what, each, target=goal), *each]
        return answer

    return Bench(name=name, cases=list(cases.values()), rows=rows, stores=stores)


def memory(settings: Settings) -> Bench:
    """How much memory a full load needs, over the size of its result."""
    cases, stores = loading(settings, "memory", "load", DATA_TYPES, (OURS, UPSTREAM))
    cases = {key: replace(case, repeat_at_most=SHOWN_REPEAT) for key, case in cases.items()}

    def rows(results: Results) -> list[Row]:
        answer = []
        for data in DATA_TYPES:
            ours, theirs = (
                [each.peak_bytes / each.result_bytes for each in results[cases[peer, data]]]
                for peer in (OURS, UPSTREAM)
            )
            answer.append(
                Row(
                    what=f"peak memory of a full load, {data}",
                    against="upstream",
                    ours=f"{max(ours):.2f}",
                    theirs=f"{max(theirs):.2f}",
                    value=max(ours),
                    unit="× the result",
                    low=min(ours),
                    high=max(ours),
                    target="memory",
                )
            )
        return answer

    return Bench(name="memory", cases=list(cases.values()), rows=rows, stores=stores)


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
            for what, of in (
                ("time", lambda each: each.seconds),
                ("bytes written", lambda each: each.written_bytes),
            ):
                powers = [
                    math.log(of(b) / of(a)) / growth for a, b in zip(begin, end, strict=True)
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

    return Bench(name="chunks", cases=list(cases.values()), rows=rows)


def many(settings: Settings, peer: Peer, job: str, number: int, **options: Any) -> Case:
    """Return a question about very many runs."""
    return Case(
        peer, job, settings.task(f"many-{peer.module}", "peak_basics", number=number, **options)
    )


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
    what = f"availability of {n} runs x {N_DATA_TYPES} data types"

    def rows(results: Results) -> list[Row]:
        return [
            faster(
                f"{what}, against `{case.job}`", ours, case, results, target=f"availability against {case.job}"
            )
            for case in (one_by_one, several)
        ] + [faster(f"`is_stored` of {n} runs x {N_DATA_TYPES}, each alone", our_own, one_by_one, results)]

    cases = [ours, one_by_one, several, our_own]
    return Bench(name="availability", cases=cases, rows=rows, stores=many_stores(settings))


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
        return [faster(f"fuzzy, {n} pieces of another lineage", ours, theirs, scaled, target="fuzzy")]

    return Bench(name="fuzzy", cases=[ours, theirs], rows=rows, stores=many_stores(settings))


def limit(settings: Settings) -> Bench:
    """How near a full load is to decompressing and copying alone."""
    cases, stores = loading(settings, "limit", "load", DATA_TYPES, (OURS,))
    limits = {data: Case(LIMIT, "load", cases[OURS, data].task) for data in DATA_TYPES}

    def rows(results: Results) -> list[Row]:
        each = []
        for data in DATA_TYPES:
            row = faster(f"full load over the limit, {data}", cases[OURS, data], limits[data], results)
            each.append(
                replace(row, value=1 / row.value, low=1 / row.high, high=1 / row.low, unit="× the limit")
            )
        return [mean_of("full load over the limit", each, target="limit"), *each]

    both = [case for data in DATA_TYPES for case in (cases[OURS, data], limits[data])]
    return Bench(name="limit", cases=both, rows=rows, stores=stores)


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
        row = faster("process start to first rows of 1 MB", cases[OURS], cases[UPSTREAM], results)
        return [
            replace(
                row, value=1 / row.value, low=1 / row.high, high=1 / row.low, unit="× upstream's", target="start"
            )
        ]

    return Bench(name="start", cases=list(cases.values()), rows=rows, stores=stores)


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

    return Bench(name="small", cases=list(cases.values()), rows=rows, stores=stores)


COLUMNAR = (UPSTREAM, ZSTD, PARQUET, ZARR, HDF5)
BENCHES: dict[str, Callable[[Settings], Bench]] = {
    "size": size,
    "save": save,
    "load": partial(loads, name="load", job="load", what="load all", target="load"),
    "columns": partial(
        loads,
        name="columns",
        job="two_columns",
        what="load 2 of 22 columns",
        target="two columns",
        data_types=("peak_basics",),
        peers=COLUMNAR,
    ),
    "time": partial(
        loads,
        name="time",
        job="part_of_time",
        what="load 1 % of the time",
        target="part of the time",
        peers=(UPSTREAM, ZSTD),
    ),
    "table": partial(
        loads,
        name="table",
        job="table",
        what="`get_df` of 22 columns",
        target="table",
        data_types=("peak_basics",),
        peers=(UPSTREAM, ZSTD),
    ),
    "memory": memory,
    "chunks": chunks,
    "availability": availability,
    "fuzzy": fuzzy,
    "limit": limit,
    "start": start,
    "small": small,
}
