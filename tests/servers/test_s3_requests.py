"""How many requests are made, counted on the way to the server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from raw_s3 import RawS3
from s3_places import backend_on
from s3_server import S3Server

from strax_core import Chunk, Context, DirectoryFrontend, Plugin
from strax_core.testing import HttpProxy

RUNS = 1000


class Records(Plugin):
    """Pulses, in chunks of 1000."""

    provides = "records"
    dtype = (("time", "i8"), ("endtime", "i8"), ("adc", "i4"), ("baseline", "f4"))
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for start in (0, 1000, 2000):
            rows = np.zeros(1000, self.dtype)
            rows["time"] = start + np.arange(1000)
            rows["endtime"] = rows["time"] + 1
            rows["adc"] = rows["time"] % 7
            yield self.chunk(start=start, end=start + 1000, data=rows)


def context_on(server: S3Server, prefix: str, folder: Path, proxy: HttpProxy) -> Context:
    url = f"http://127.0.0.1:{proxy.port}"
    backend = backend_on(server, prefix, folder, endpoint_url=url)
    return Context([DirectoryFrontend(backend)], plugins=[Records])


def lists(proxy: HttpProxy) -> list[str]:
    return [request.target for request in proxy.requests if "list-type" in request.target]


def test_one_column_of_one_chunk_takes_at_most_three_requests_and_no_listing(
    moto_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    with HttpProxy(moto_server.address) as proxy:
        context_on(moto_server, prefix, tmp_path, proxy).make("run_7", "records")
        reader = context_on(moto_server, prefix, tmp_path, proxy)
        proxy.forget()
        adc = reader.get_array("run_7", "records", columns=["adc"], chunk_numbers=[1])["adc"]
        n_requests = len(proxy.requests)
        assert lists(proxy) == []
        proxy.forget()
        assert len(reader.get_array("run_7", "records")) == 3000

        assert lists(proxy) == []
        assert len(proxy.requests) <= 1 + 3
    assert adc.tolist() == [time % 7 for time in range(1000, 2000)]
    assert n_requests <= 3


@pytest.mark.servers
@pytest.mark.parametrize(
    ("server_name", "n_chunks", "n_lists"),
    # Ceph 16 does not fill its pages if many keys lie below each name.
    [("moto_server", 2, 1), ("ceph_server", 20, 2)],
)
def test_what_is_there_of_a_thousand_runs_takes_few_listings(
    request: pytest.FixtureRequest,
    prefix: str,
    tmp_path: Path,
    server_name: str,
    n_chunks: int,
    n_lists: int,
) -> None:
    server: S3Server = request.getfixturevalue(server_name)
    with HttpProxy(server.address) as proxy:
        ctx = context_on(server, prefix, tmp_path, proxy)
        runs = [f"run_{i:04d}" for i in range(RUNS)]
        names = [ctx.key_for(run, "records").name for run in runs]
        _put_samples(RawS3(server, prefix), names, n_chunks)
        proxy.forget()
        table = ctx.availability([*runs, "run_x"], "records")

        has_it = table["records"] == ctx.storage[0].name
        assert has_it.tolist() == [True] * RUNS + [False]
        assert len(proxy.requests) == len(lists(proxy))
        assert len([target for target in lists(proxy) if "staging" not in target]) == n_lists
        assert len([target for target in lists(proxy) if "staging" in target]) == 1


def _put_samples(raw: RawS3, names: list[str], n_chunks: int) -> None:
    """Put files under the names of stored data: availability goes by names."""

    def put(name: str) -> None:
        start = name.partition("-")[2]
        for i in range(n_chunks):
            raw.write(f"{name}/{start}-{i:06d}", b"x")
        raw.write(f"{name}/{start}-metadata.json", json.dumps({"chunks": []}).encode())

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(put, names))
