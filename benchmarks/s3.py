"""How fast is S3, beside plain boto3, zarr 3 with obstore, and s3fs with Parquet?

All on one Ceph in memory on this machine. `tests/servers/install-debian.sh` installs it,
``pip install "zarr>=3" obstore s3fs pyarrow`` the others. Ways that are compared take turns; the
median of the rounds counts. See README.md for figures.
"""

import argparse
import ctypes
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "servers"))

from ceph_server import Ceph  # noqa: E402 - from the folder that was added
from raw_s3 import BUCKET, plain_client  # noqa: E402
from s3_places import backend_on  # noqa: E402
from s3_server import S3Server  # noqa: E402
from server_fixtures import with_bucket  # noqa: E402
from slow_line import line_to  # noqa: E402

from strax_core import Chunk, Context, DirectoryFrontend, Plugin  # noqa: E402

RECORDS = np.dtype(
    [("time", "<i8"), ("endtime", "<i8"), ("channel", "<i2"), ("area", "<f4"), ("wave", "<i2", 110)]
)
LOAD_LEAST, SAVE_LEAST, LATENCY_LEAST = 0.8, 0.8, 0.7
LATENCY_S = 0.02
N_CHUNKS, N_SMALL_CHUNKS, SMALL_BYTES = 60, 1000, 50_000
PARTS = ("none", "columns", "zstd", "gigabit", "peers", "latency")
GIGABIT_BYTES_S = 125e6


class Records(Plugin):
    """Pulses that were made beforehand."""

    provides = "records"
    dtype = RECORDS
    rechunk_on_save = False
    parts: tuple[Any, ...] = ()

    def chunks(self) -> Iterator[Chunk]:
        """Hand them out."""
        for rows in self.parts:
            start, end = int(rows["time"][0]), int(rows["time"][0]) + 10 * len(rows)
            yield self.chunk(start=start, end=end, data=rows)


def made_rows(size_bytes: float) -> Any:
    """Return pulses with noise of a few counts, as a digitiser gives."""
    rows = np.zeros(int(size_bytes / RECORDS.itemsize), RECORDS)
    noise = np.random.default_rng(1)
    rows["time"] = np.arange(len(rows)) * 10
    rows["endtime"] = rows["time"] + 10
    rows["channel"] = noise.integers(0, 500, len(rows))
    rows["area"] = noise.normal(100, 10, len(rows))
    for start in range(0, len(rows), 100_000):
        part = rows["wave"][start : start + 100_000]
        part[:] = noise.normal(0, 3, part.shape)
        part[:, 30:50] += noise.integers(0, 200, (len(part), 1), np.int16)
    return rows


@dataclass(frozen=True)
class Taken:
    """What something took."""

    seconds: float
    cpu_s: float
    """Of the client alone, on all processors."""


@dataclass(frozen=True)
class Bench:
    """One server, one set of rows."""

    server: S3Server
    folder: Path
    repeats: int
    concurrency: int
    rows: Any

    def context(self, prefix: str, codec: str, endpoint_url: str | None = None) -> Context:
        """Return a context on a place of the server."""
        url = endpoint_url or self.server.endpoint_url
        backend = backend_on(
            self.server, prefix, self.folder, endpoint_url=url, concurrency=self.concurrency
        )
        return Context([DirectoryFrontend(backend, compressor=codec)], plugins=[Records])

    def save(self, ctx: Context, run_id: str = "run") -> None:
        """Save all rows."""
        ctx.make(run_id, "records", max_workers=self.concurrency)

    def load(self, ctx: Context) -> None:
        """Load all rows, and see that they are all there."""
        rows = ctx.get_array("run", "records", max_workers=self.concurrency)
        if len(rows) != sum(map(len, Records.parts)):
            raise SystemExit("rows are missing")

    def medians(self, *ways: Callable[[int], object]) -> list[Taken]:
        """Return what each way takes; it is told which round it is.

        Before each, memory that is free goes back to the system. Else boto3's bodies would find
        theirs warm from the round before, and the one large array of a load would not.
        """
        give_back = ctypes.CDLL(None).malloc_trim
        rounds: list[list[Taken]] = [[] for _ in ways]
        for number in range(self.repeats):
            for way, taken in zip(ways, rounds, strict=True):
                give_back(0)
                began, cpu_began = time.perf_counter(), time.process_time()
                way(number)
                taken.append(Taken(time.perf_counter() - began, time.process_time() - cpu_began))
        return [
            Taken(median(one.seconds for one in taken), median(one.cpu_s for one in taken))
            for taken in rounds
        ]

    def stored(self, prefix: str) -> dict[str, int]:
        """Return keys and sizes of all chunks below a prefix."""
        pages = (
            self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        )
        found = [each for page in pages for each in page.get("Contents", ())]
        return {each["Key"]: each["Size"] for each in found if "metadata" not in each["Key"]}

    def client(self, endpoint_url: str | None = None) -> Any:
        """Return a client of boto3, plainly used."""
        server = replace(self.server, endpoint_url=endpoint_url or self.server.endpoint_url)
        return plain_client(server, max_pool_connections=self.concurrency)


def compare_on_a_gigabit(bench: Bench) -> Iterator[tuple[str, float]]:
    """Compare with boto3 over a line as fast as most have one; yield promises that are not kept."""
    with line_to(bench.server.address[1], GIGABIT_BYTES_S) as (port, _):
        for codec in ("none", "columns", "zstd"):
            yield from compare_with_boto3(bench, codec, f"http://127.0.0.1:{port}", "1 Gbit/s, ")


def compare_with_boto3(
    bench: Bench, codec: str, endpoint_url: str | None = None, where: str = ""
) -> Iterator[tuple[str, float]]:
    """Print the rates of stored bytes; yield promises that are not kept."""
    Records.parts = tuple(np.array_split(bench.rows, N_CHUNKS))
    place = f"{where.partition(' ')[0]}{codec}"
    ctx = bench.context(place, codec, endpoint_url)
    bench.save(ctx)
    sizes = bench.stored(f"{place}/run-")
    stored_mb = sum(sizes.values()) / 1e6
    client = bench.client(endpoint_url)
    bodies = {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in sizes}

    def put(key: str, number: int) -> None:
        client.put_object(Bucket=BUCKET, Key=f"plain-{number}/{key}", Body=bodies[key])

    def get(key: str) -> bytes:
        content: bytes = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    with ThreadPoolExecutor(bench.concurrency) as threads:
        puts, saves, gets, loads = bench.medians(
            lambda i: list(threads.map(lambda key: put(key, i), bodies)),
            lambda i: bench.save(ctx, f"run_{i}"),
            lambda _: list(threads.map(get, sizes)),  # held all at once, as a load does
            lambda _: bench.load(ctx),
        )
    for what, theirs, ours, least in (
        ("save", puts, saves, SAVE_LEAST),
        ("load", gets, loads, LOAD_LEAST),
    ):
        ratio = theirs.seconds / ours.seconds
        print(
            f"{where}{what}, {codec}: {stored_mb:.0f} MB stored at "
            f"{stored_mb / ours.seconds:.0f} MB/s ({ours.cpu_s:.2f} s of CPU), boto3 at "
            f"{stored_mb / theirs.seconds:.0f} MB/s ({theirs.cpu_s:.2f} s), ratio {ratio:.2f}",
            flush=True,
        )
        if codec == "none" and ratio < least:  # with others, the codec's work counts, too
            yield f"{where}{what}, {codec}: {least} of boto3", ratio


def compare_with_peers(bench: Bench) -> Iterator[tuple[str, float]]:
    """Print who loads how many rows a second; yield promises that are not kept."""
    Records.parts = tuple(np.array_split(bench.rows, N_CHUNKS))
    reader = bench.context("rows", "columns")
    bench.save(reader)
    ways = {
        "strax-s3": lambda: bench.load(reader),
        "zarr 3 + obstore": _zarr(bench),
        "s3fs + Parquet": _parquet(bench),
    }
    taken = bench.medians(*(lambda _, way=way: way() for way in ways.values()))
    for who, each in zip(ways, taken, strict=True):
        print(f"{who:18} {len(bench.rows) / 1e6 / each.seconds:6.2f} million rows/s", flush=True)
        if each.seconds < taken[0].seconds:
            yield f"more rows a second than {who}", each.seconds / taken[0].seconds


def _zarr(bench: Bench) -> Callable[[], object]:
    import obstore.store
    import zarr
    from zarr.storage import ObjectStore

    store = ObjectStore(
        obstore.store.S3Store(
            BUCKET,
            prefix="zarr",
            endpoint=bench.server.endpoint_url,
            access_key_id=bench.server.access_key,
            secret_access_key=bench.server.secret_key,
            region="us-east-1",
            client_options={"allow_http": True},
        )
    )
    group = zarr.create_group(store, overwrite=True)
    per_chunk = max(1, len(bench.rows) // N_CHUNKS)
    for name in RECORDS.names or ():
        values = bench.rows[name]
        chunks = (per_chunk, *values.shape[1:])
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)[:] = values
    group = zarr.open_group(store, mode="r")
    return lambda: {name: group[name][:] for name in RECORDS.names or ()}


def _parquet(bench: Bench) -> Callable[[], object]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import s3fs

    files = s3fs.S3FileSystem(
        key=bench.server.access_key,
        secret=bench.server.secret_key,
        endpoint_url=bench.server.endpoint_url,
        config_kwargs={
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    )
    columns = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(bench.rows[name].reshape(-1)), 110)
        if bench.rows[name].ndim > 1
        else pa.array(bench.rows[name])
        for name in RECORDS.names or ()
    }
    path = f"{BUCKET}/parquet/rows.parquet"
    pq.write_table(
        pa.table(columns),
        path,
        filesystem=files,
        compression="zstd",
        row_group_size=len(bench.rows) // N_CHUNKS,
    )
    return lambda: pq.read_table(path, filesystem=files)


def compare_with_latency(bench: Bench) -> Iterator[tuple[str, float]]:
    """Print what latency costs many small chunks; yield the promise if it is not kept."""
    Records.parts = tuple(np.array_split(made_rows(N_SMALL_CHUNKS * SMALL_BYTES), N_SMALL_CHUNKS))
    bench.save(bench.context("small", "columns"))
    with line_to(bench.server.address[1]) as (port, set_latency):
        reader = bench.context("small", "columns", f"http://127.0.0.1:{port}")
        bench.load(reader)

        def load(latency_s: float) -> float:
            set_latency(latency_s / 2)
            began = time.perf_counter()
            bench.load(reader)
            return time.perf_counter() - began

        pairs = [(load(0), load(LATENCY_S)) for _ in range(bench.repeats)]
    without, within = (median(each) for each in zip(*pairs, strict=True))
    print(
        f"{N_SMALL_CHUNKS} chunks, {bench.concurrency} at once: {without:.2f} s, with "
        f"{LATENCY_S * 1000:g} ms of latency {within:.2f} s, ratio {without / within:.2f}",
        flush=True,
    )
    if without / within < LATENCY_LEAST:
        yield f"{LATENCY_LEAST} of the rate with latency", without / within


def measured(bench: Bench, part: str) -> Iterator[tuple[str, float]]:
    """Measure one part; yield promises that are not kept."""
    if part == "peers":
        return compare_with_peers(bench)
    if part == "gigabit":
        return compare_on_a_gigabit(bench)
    if part == "latency":
        return compare_with_latency(bench)
    return compare_with_boto3(bench, part)


def main() -> int:
    """Print what is measured; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=PARTS, help="by default all")
    parser.add_argument("--size-mb", type=float, default=400)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    broken = []
    rows = made_rows(options.size_mb * 1e6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ceph").mkdir()
        ceph = Ceph(folder / "ceph")
        try:
            ceph.start()
            server = with_bucket(ceph.server)
            for part in options.parts or PARTS:
                concurrency = 32 if part == "latency" else options.concurrency
                bench = Bench(server, folder, options.repeats, concurrency, rows)
                broken += measured(bench, part)
        finally:
            ceph.kill()
    for what, ratio in broken:
        print(f"NOT KEPT: {what}: {ratio:.2f}")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
