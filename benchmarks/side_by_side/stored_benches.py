"""The benches of whole data: size, save, load, memory, and how near the limit a load is."""

from collections.abc import Sequence
from dataclasses import replace

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
    SHOWN_REPEAT,
    UPSTREAM,
    ZARR,
    ZSTD,
    Bench,
    Case,
    Peer,
    Results,
    Row,
    Settings,
    as_share,
    faster,
    mean_of,
    single,
)


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
                    "x the size",
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

    return Bench(cases=(), rows=rows, stores=list(stores.values()))


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

    return Bench(cases=list(cases.values()), rows=rows)


def loading(
    settings: Settings, job: str, data_types: Sequence[str], peers: Sequence[Peer]
) -> tuple[dict[tuple[Peer, str], Case], list[Case]]:
    """Return the cases that load, by peer and data type, and what must be stored for them."""
    cases = {
        (peer, data): reading(settings, job, peer, data) for data in data_types for peer in peers
    }
    return cases, [store(settings, peer, data) for peer, data in cases]


def loads(
    settings: Settings,
    *,
    job: str,
    what: str,
    target: str,
    data_types: Sequence[str] = DATA_TYPES,
    peers: Sequence[Peer] = (UPSTREAM, ZSTD, LZ4, BZ2, PARQUET, ZARR, HDF5),
) -> Bench:
    """How long it takes to load."""
    cases, stores = loading(settings, job, data_types, (OURS, *peers))

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

    return Bench(cases=list(cases.values()), rows=rows, stores=stores)


def memory(settings: Settings) -> Bench:
    """How much memory a full load needs, over the size of its result."""
    cases, stores = loading(settings, "load", DATA_TYPES, (OURS, UPSTREAM))
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
                    unit="x the result",
                    low=min(ours),
                    high=max(ours),
                    target="memory",
                )
            )
        return answer

    return Bench(cases=list(cases.values()), rows=rows, stores=stores)


def limit(settings: Settings) -> Bench:
    """How near a full load is to decompressing and copying alone."""
    cases, stores = loading(settings, "load", DATA_TYPES, (OURS,))
    limits = {data: Case(LIMIT, "load", cases[OURS, data].task) for data in DATA_TYPES}

    def rows(results: Results) -> list[Row]:
        each = []
        for data in DATA_TYPES:
            row = faster(
                f"full load over the limit, {data}", cases[OURS, data], limits[data], results
            )
            each.append(as_share(row, "x the limit"))
        return [mean_of("full load over the limit", each, target="limit"), *each]

    both = [case for data in DATA_TYPES for case in (cases[OURS, data], limits[data])]
    return Bench(cases=both, rows=rows, stores=stores)
