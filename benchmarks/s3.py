"""How fast is S3, beside plain boto3, zarr 3 with obstore, and s3fs with Parquet?

All on one Ceph in memory on this machine, in one run. `tests/servers/install-debian.sh` installs
it, ``pip install "zarr>=3" obstore s3fs pyarrow`` the others; those not there are left out.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "servers"))

from ceph_server import Ceph  # noqa: E402 - from the folder that was added
from raw_s3 import BUCKET, plain_client  # noqa: E402
from s3_places import backend_on  # noqa: E402
from s3_server import S3Server  # noqa: E402
from server_fixtures import with_bucket  # noqa: E402

from strax_core import Chunk, Context, DirectoryFrontend, Plugin  # noqa: E402
from strax_core.testing import Proxy  # noqa: E402

RECORDS = np.dtype(
    [("time", "<i8"), ("endtime", "<i8"), ("channel", "<i2"), ("area", "<f4"), ("wave", "<i2", 110)]
)
LOAD_LEAST, SAVE_LEAST, LATENCY_LEAST = 0.8, 0.8, 0.7
LATENCY_S = 0.02
N_SMALL_CHUNKS = 1000


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
class Bench:
    """One server, one set of rows."""

    server: S3Server
    folder: Path
    repeats: int
    concurrency: int

    def context(self, prefix: str, codec: str, endpoint_url: str | None = None) -> Context:
        """Return a context on a place of the server."""
        url = endpoint_url or self.server.endpoint_url
        backend = backend_on(
            self.server, prefix, self.folder, endpoint_url=url, concurrency=self.concurrency
        )
        return Context([DirectoryFrontend(backend, compressor=codec)], plugins=[Records])

    def best(self, action: Callable[[int], object]) -> float:
        """Return the least number of seconds that an action takes; it is told which time it is."""
        taken = []
        for number in range(self.repeats):
            began = time.perf_counter()
            action(number)
            taken.append(time.perf_counter() - began)
        return min(taken)

    def stored(self, prefix: str) -> dict[str, int]:
        """Return keys and sizes of all chunks below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        found = [each for page in pages for each in page.get("Contents", ())]
        return {each["Key"]: each["Size"] for each in found if "metadata" not in each["Key"]}

    @property
    def client(self) -> Any:
        """Return a client of boto3, plainly used."""
        return plain_client(self.server, max_pool_connections=self.concurrency)


def compare_with_boto3(bench: Bench, codec: str) -> Iterator[tuple[str, float, float | None]]:
    """Yield lines: what, its MB/s, and the ratio to boto3 that is the least to be kept."""

    def save(number: int) -> None:
        ctx = bench.context(f"{codec}-{number}", codec)
        ctx.make("run", "records", max_workers=bench.concurrency)

    saves = bench.best(save)
    sizes = bench.stored(f"{codec}-0/")
    stored_mb = sum(sizes.values()) / 1e6
    client = bench.client
    bodies = {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in sizes}
    with ThreadPoolExecutor(bench.concurrency) as threads:

        def put(key: str, number: int) -> None:
            client.put_object(Bucket=BUCKET, Key=f"plain-{number}/{key}", Body=bodies[key])

        def get(key: str) -> int:
            return len(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

        puts = bench.best(lambda i: list(threads.map(lambda key: put(key, i), bodies)))
        bodies.clear()
        gets = bench.best(lambda _: list(threads.map(get, sizes)))
    reader = bench.context(f"{codec}-0", codec)
    loads = bench.best(lambda _: reader.get_array("run", "records", max_workers=bench.concurrency))
    yield f"boto3 PUT, bytes of {codec}", stored_mb / puts, None
    yield f"save, {codec}", stored_mb / saves, SAVE_LEAST * stored_mb / puts
    yield f"boto3 GET, bytes of {codec}", stored_mb / gets, None
    yield f"load, {codec}", stored_mb / loads, LOAD_LEAST * stored_mb / gets


def rows_a_second(bench: Bench, rows: Any) -> Iterator[tuple[str, float]]:
    """Yield who loads how many million rows a second, ours first."""
    reader = bench.context("zstd-0", "zstd")
    n_rows = len(rows) / 1e6
    ours = bench.best(lambda _: reader.get_array("run", "records", max_workers=bench.concurrency))
    yield "strax-s3, zstd", n_rows / ours
    if find_spec("obstore") and find_spec("zarr"):
        yield "zarr 3 + obstore", n_rows / _zarr(bench, rows)
    if find_spec("s3fs") and find_spec("pyarrow"):
        yield "s3fs + Parquet", n_rows / _parquet(bench, rows)


def _zarr(bench: Bench, rows: Any) -> float:
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
    per_chunk = max(1, len(rows) // 20)
    for name in RECORDS.names or ():
        values = rows[name]
        chunks = (per_chunk, *values.shape[1:])
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)[:] = values
    group = zarr.open_group(store, mode="r")
    return bench.best(lambda _: {name: group[name][:] for name in RECORDS.names or ()})


def _parquet(bench: Bench, rows: Any) -> float:
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
        name: pa.FixedSizeListArray.from_arrays(pa.array(rows[name].reshape(-1)), 110)
        if rows[name].ndim > 1
        else pa.array(rows[name])
        for name in RECORDS.names or ()
    }
    path = f"{BUCKET}/parquet/rows.parquet"
    table = pa.table(columns)
    pq.write_table(
        table, path, filesystem=files, compression="zstd", row_group_size=len(rows) // 20
    )
    return bench.best(lambda _: pq.read_table(path, filesystem=files))


def latency_ratio(bench: Bench) -> float:
    """Return the rate of many small chunks with latency, as a part of that without."""
    Records.parts = tuple(np.array_split(made_rows(N_SMALL_CHUNKS * 50_000), N_SMALL_CHUNKS))
    bench.context("small", "zstd").make("run", "records")
    with Proxy(bench.server.address) as proxy:
        reader = bench.context("small", "zstd", f"http://127.0.0.1:{proxy.port}")

        def load(_: int) -> None:
            reader.get_array("run", "records", max_workers=bench.concurrency)

        without = bench.best(load)
        proxy.latency_s = LATENCY_S / 2
        return without / bench.best(load)


def main() -> int:
    """Print tables; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=float, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    broken = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ceph").mkdir()
        ceph = Ceph(Path(folder) / "ceph")
        try:
            ceph.start()
            server = with_bucket(ceph.server)
            bench = Bench(server, Path(folder), options.repeats, options.concurrency)
            rows = made_rows(options.size_mb * 1e6)
            Records.parts = tuple(np.array_split(rows, 20))
            for codec in ("none", "zstd"):
                for what, rate, least in compare_with_boto3(bench, codec):
                    print(f"{what:32} {rate:8.0f} MB/s stored", flush=True)
                    broken += [what] if least is not None and rate < least else []
            ours, *others = rows_a_second(bench, rows)
            for who, rate in (ours, *others):
                print(f"{who:32} {rate:8.2f} million rows/s", flush=True)
                broken += [f"more than {who}"] if rate > ours[1] else []
            wide = Bench(server, Path(folder), options.repeats, 32)
            ratio = latency_ratio(wide)
            print(f"{'20 ms of latency, 32 at once':32} {ratio:8.2f} of the rate without")
            broken += ["latency"] if ratio < LATENCY_LEAST else []
        finally:
            ceph.kill()
    for what in broken:
        print(f"NOT KEPT: {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
