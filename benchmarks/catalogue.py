"""How fast is a catalogue of a million pieces of data, and how does that grow?

`--sizes 1000 10000 100000 1000000` fills one database to each size in turn, and asks it there. One
that holds data already (`--url`) is filled on from there. `--postgresql` starts a server.
"""

import argparse
import csv
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from own_postgres import PASSWORD, own_postgres
from sqlalchemy import func, select

from strax_core import (
    STRICT,
    DataKey,
    Lineage,
    MemoryBackend,
    Metadata,
    SecretReference,
    StorageBackend,
)
from strax_local import LocalBackend, LocalOptions
from strax_sql.catalogue.queries import COMPLETE
from strax_sql.catalogue.schema import CATALOGUE, PIECES
from strax_sql.catalogue.writes import Entry, register
from strax_sql.frontend import SqlFrontend
from strax_sql.options import SqlOptions

BACKENDS = ("disk", "bucket")
DATA_TYPES = ("raw_records", "records", "peaklets", "peaks", "events")
N_OPTIONS = 30  # of each data plugin, so that a lineage is as long as those in use
BATCH = 5000
N_QUESTIONS = 20_000
N_SEVERAL = 10_000
LIMITS = {
    "sqlite": {"median": 0.5e-3, "p99": 2e-3, "several": 0.25},
    "postgresql": {"median": 1.5e-3, "several": 0.25},
}
REBUILD_MIN = 2000  # folders a second
UPSTREAM_FACTOR_MIN = 5
DOTS_PER_INCH = 120


def lineage_of(data_type: str) -> Lineage:
    """Return a lineage with an entry for each data type up to this one."""
    chain = DATA_TYPES[: DATA_TYPES.index(data_type) + 1]
    options = {f"option_{i}": [i, i / 7, f"value {i}"] for i in range(N_OPTIONS)}
    return Lineage({name: (name.title(), "1.2.3", options) for name in chain})


LINEAGES = {name: lineage_of(name) for name in DATA_TYPES}


def key_of(number: int) -> DataKey:
    """Return the key of a piece of data; odd and even numbers alternate in no order of time."""
    run, kind = divmod(number, len(DATA_TYPES))
    data_type = DATA_TYPES[kind]
    return DataKey(f"{run:07d}", data_type, LINEAGES[data_type])


def entries(first: int, last: int) -> Iterator[Entry]:
    """Iterate over two copies of each piece of data."""
    for number in range(first, last):
        key = key_of(number)
        facts = {
            "state": COMPLETE,
            "write_id": f"{number:016x}",
            "data_id": f"{number:016x}",
            "size_bytes": 10**8 + number,
            "n_bytes": 3 * 10**8,
            "n_rows": 10**6,
            "start_ns": number * 10**9,
            "end_ns": (number + 1) * 10**9,
            "written_s": 1.7e9 + number,
        }
        for backend in BACKENDS:
            yield Entry.of(key, backend, key.name, facts)


def fill(frontend: SqlFrontend, first: int, last: int) -> float:
    """Enter pieces of data; return how many a second."""
    began = time.perf_counter()
    for start in range(first, last, BATCH):
        batch = list(entries(start, min(last, start + BATCH)))
        frontend.database.write(lambda connection, batch=batch: register(connection, batch))
    return (last - first) / (time.perf_counter() - began)


def ask_one_by_one(frontend: SqlFrontend, size: int, rng: random.Random) -> dict[str, float]:
    """Time the answers to single keys, half of them absent; all of the answer but metadata."""
    seconds = []
    for _ in range(N_QUESTIONS):
        number = rng.randrange(2 * size)
        began = time.perf_counter()
        found = frontend._find(key_of(number), STRICT)  # noqa: SLF001 - without reading metadata
        seconds.append(time.perf_counter() - began)
        if [at.backend for at in found] != (list(BACKENDS) if number < size else []):
            raise AssertionError(f"{number} of {size}: {found}")
    cuts = statistics.quantiles(seconds, n=100)
    return {"median": statistics.median(seconds), "p99": cuts[98]}


def ask_for_several(frontend: SqlFrontend, size: int, rng: random.Random) -> float:
    """Return the best time of three for ten thousand keys, half of them absent."""
    numbers = [rng.randrange(2 * size) for _ in range(N_SEVERAL)]
    keys = [key_of(number) for number in numbers]
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        found = frontend.find_several(keys)
        best = min(best, time.perf_counter() - began)
        if [each is not None for each in found] != [number < size for number in numbers]:
            raise AssertionError("a wrong answer")
    return best


def make_folders(folder: Path, number: int) -> None:
    """Make pieces of data of one empty chunk, without waiting for the disk."""
    dtype = "[('time', '<i8'), ('endtime', '<i8'), ('area', '<f4')]"
    chunk = {"chunk_i": 0, "n": 0, "start": 0, "end": 10**9, "nbytes": 0, "subruns": None}
    for i in range(number):
        key = key_of(i)
        document = {
            "run_id": key.run_id,
            "data_type": key.data_type,
            "data_kind": key.data_type,
            "dtype": dtype,
            "lineage": key.lineage.as_json(),
            "lineage_hash": key.lineage_hash,
            "compressor": "zstd",
            "strax_version": "2.2.3",
            "writing_started": 1.7e9,
            "writing_ended": 1.7e9 + 1,
            "start": 0,
            "end": 10**9,
            "write_id": f"{i:016x}",
            "data_id": f"{i:016x}",
            "chunks": [{**chunk, "run_id": key.run_id}],
        }
        name = f"{key.data_type}-{key.lineage_hash}-metadata.json"
        (folder / key.name).mkdir()
        (folder / key.name / name).write_bytes(Metadata(document, place="").to_bytes())


def upstream_one_by_one(folder: Path, n_stored: int) -> float:
    """Return how long strax takes for ten thousand keys, half of them absent."""
    import strax

    frontend = strax.DataDirectory(str(folder), readonly=True)
    step = max(1, 2 * n_stored // N_SEVERAL)
    wanted = []
    for number in range(0, 2 * n_stored, step):
        key = key_of(number)
        lineage = {name: tuple(entry) for name, entry in key.lineage.as_json().items()}
        wanted.append(strax.DataKey(key.run_id, key.data_type, lineage))
    began = time.perf_counter()
    found = 0
    for each in wanted:
        try:
            frontend.find(each)
            found += 1
        except strax.DataNotAvailable:
            continue
    seconds = time.perf_counter() - began
    if found != len(wanted) // 2:
        raise AssertionError(f"strax found {found} of {len(wanted)}")
    return seconds * N_SEVERAL / len(wanted)


def opened(url: str, password: str | None, backends: dict[str, StorageBackend]) -> SqlFrontend:
    """Open a catalogue."""
    is_sqlite = password is None or url.startswith("sqlite")
    reference = None if is_sqlite else SecretReference(env=password)
    options = SqlOptions(url=url, password=reference, backends=backends, mirror_runs=False)
    return SqlFrontend(options)


def measure_growth(frontend: SqlFrontend, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Fill a catalogue to each size, and ask it there."""
    rng = random.Random(7)  # noqa: S311 - the same keys each time
    lines: list[dict[str, Any]] = []
    filled = frontend.database.read(
        lambda connection: connection.execute(select(func.count()).select_from(PIECES)).scalar_one()
    )
    for size in sizes:
        line: dict[str, Any] = {"size": size, "entered_per_s": None}
        if filled < size:
            line["entered_per_s"] = fill(frontend, filled, size)
            filled = size
        elif filled > size:
            raise SystemExit(f"{frontend.name} holds {filled} pieces already, more than {size}")
        if not frontend.options.is_sqlite:
            frontend.database.write(analyze)
        line.update(ask_one_by_one(frontend, size, rng))
        line["several"] = ask_for_several(frontend, size, rng)
        lines.append(line)
        rate = line["entered_per_s"]
        print(
            f"{size:9,d} pieces x {len(BACKENDS)}: "
            f"{'' if rate is None else f'{rate:,.0f} entered a second; '}"
            f"one key {line['median'] * 1e3:.3f} ms median, {line['p99'] * 1e3:.3f} ms p99; "
            f"{N_SEVERAL} keys {line['several'] * 1e3:.0f} ms",
            flush=True,
        )
    return lines


def analyze(connection: Any) -> None:
    """Let PostgreSQL count, as its own daemon would after a while."""
    for table in CATALOGUE.sorted_tables:
        connection.exec_driver_sql(f"ANALYZE {table.name}")


def keep(lines: Sequence[dict[str, Any]], folder: Path, name: str) -> None:
    """Write the figures into a table, in which those of other sizes stay."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"catalogue-{name}.csv"
    kept = {int(line["size"]): line for line in read_table(path)}
    kept.update({line["size"]: line for line in lines})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept[size] for size in sorted(kept))


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the figures that are kept; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(folder: Path) -> None:
    """Draw how the answers grow, on each database of which there are figures; needs matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("matplotlib is not installed, so nothing is drawn", file=sys.stderr)
        return
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (one, several) = plt.subplots(1, 2, figsize=(9, 3.6))
    for name, colour in (("sqlite", "tab:blue"), ("postgresql", "tab:orange")):
        table = read_table(folder / f"catalogue-{name}.csv")
        sizes = [int(line["size"]) for line in table]
        for axes, field, style in (
            (one, "median", "o-"),
            (one, "p99", "o--"),
            (several, "several", "o-"),
        ):
            values = [float(line[field]) * 1e3 for line in table]
            what = "" if field == "several" else f", {field}"
            axes.plot(sizes, values, style, color=colour, label=f"{name}{what}")
            limit = LIMITS[name].get(field)
            if limit is not None and (name, field) != ("postgresql", "several"):
                axes.axhline(limit * 1e3, color="tab:gray", linewidth=0.8, linestyle=":")
    one.set(xscale="log", yscale="log", xlabel="pieces of data, two copies each", ylabel="ms")
    one.set(ylim=(0.05, 20), title="one key, half of them absent")
    one.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    several.set(xscale="log", ylim=(0, None), xlabel="pieces of data, two copies each", ylabel="ms")
    several.set_title(f"{N_SEVERAL:,} keys at once")
    for axes in (one, several):
        axes.plot([], [], color="tab:gray", linewidth=0.8, linestyle=":", label="promised")
        axes.legend(fontsize="small", ncols=2)
    figure.tight_layout()
    figure.savefig(folder / "catalogue.png", dpi=DOTS_PER_INCH, metadata={"Software": None})


def broken_promises(name: str, line: dict[str, Any]) -> list[str]:
    """Return which limits the largest size broke."""
    return [
        f"{field}: {line[field]:.6f} s, not under {limit} s"
        for field, limit in LIMITS[name].items()
        if line[field] >= limit
    ]


def measure_folders(work: Path, n_folders: int, url: str, password: str | None) -> list[str]:
    """Rebuild from folders, and ask strax about them; return which promises were broken."""
    folder = work / f"folders-{n_folders}"
    if not folder.exists():
        folder.mkdir()
        make_folders(folder, n_folders)
    frontend = opened(url, password, {"disk": LocalBackend(LocalOptions(path=str(folder)))})
    began = time.perf_counter()
    number = sum(1 for _ in frontend.rebuild_catalogue(dry_run=False))
    rate = number / (time.perf_counter() - began)
    print(f"rebuild: {number:,} of {n_folders:,} folders, {rate:,.0f} a second")
    broken = [] if number == n_folders else ["rebuild did not find all"]
    if rate < REBUILD_MIN:
        broken.append(f"rebuild: {rate:.0f} a second, not {REBUILD_MIN}")
    if not frontend.options.is_sqlite:
        frontend.database.write(analyze)
    theirs = upstream_one_by_one(folder, n_folders)
    keys = [
        key_of(number) for number in range(0, 2 * n_folders, max(1, 2 * n_folders // N_SEVERAL))
    ]
    began = time.perf_counter()
    found = frontend.find_several(keys)
    ours = (time.perf_counter() - began) * N_SEVERAL / len(keys)
    frontend.database.close()
    if sum(each is not None for each in found) != len(keys) // 2:
        broken.append("find_several gave a wrong answer")
    print(f"{N_SEVERAL} keys: strax {theirs:.3f} s, here {ours:.3f} s: {theirs / ours:.1f} x")
    if theirs / ours < UPSTREAM_FACTOR_MIN:
        broken.append(f"only {theirs / ours:.1f} x faster than strax")
    return broken


def main() -> int:
    """Measure; return 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--folders", type=int, default=100_000, help="0: no rebuild")
    parser.add_argument(
        "--work", type=Path, help="where the folders are, or are left; else nowhere"
    )
    parser.add_argument("--postgresql", action="store_true", help="start a server of its own")
    parser.add_argument("--url", help="of a database; left out: a file of SQLite")
    parser.add_argument("--rebuild-url", help="of an empty one; left out: a file of SQLite")
    parser.add_argument("--password-env", metavar="NAME", help="variable that holds the password")
    parser.add_argument("--out", type=Path, help="folder for figures and plot")
    options = parser.parse_args()
    broken = []
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        if options.postgresql:
            new_database = stack.enter_context(own_postgres())
            options.url, options.rebuild_url = new_database(), new_database()
            options.password_env = PASSWORD
        if options.sizes:
            url = options.url or f"sqlite:///{temporary}/catalog.db"
            name = url.partition(":")[0]
            frontend = opened(
                url, options.password_env, {name: MemoryBackend() for name in BACKENDS}
            )
            lines = measure_growth(frontend, options.sizes)
            frontend.database.close()
            if options.out is not None:
                keep(lines, options.out, name)
                draw(options.out)
            broken += broken_promises(name, lines[-1])
        if options.folders:
            url = options.rebuild_url or f"sqlite:///{temporary}/rebuilt.db"
            work = options.work or Path(temporary)
            broken += measure_folders(work, options.folders, url, options.password_env)
    for each in broken:
        print(f"NOT KEPT: {each}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
