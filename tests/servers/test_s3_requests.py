"""How many requests are made, counted on the way to the server."""

import http.client
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ceph_server import Ceph
from raw_s3 import BUCKET, RawS3, plain_client
from s3_places import backend_on
from s3_server import S3Server

from strax_core import Chunk, Context, DirectoryFrontend, Plugin
from strax_core.format.layout import prefix_of
from strax_core.testing import HttpProxy, everything, sample_key, save_sample
from strax_core.testing.levels import at_level

RUNS = 1000
CHUNKS = at_level(quick=3, full=20)


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


def context_on(
    server: S3Server, prefix: str, folder: Path, proxy: HttpProxy, **options: str
) -> Context:
    url = f"http://127.0.0.1:{proxy.port}"
    backend = backend_on(server, prefix, folder, endpoint_url=url, **options)
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
def test_what_is_there_of_a_thousand_runs_takes_one_listing_and_one_of_the_writers(
    moto_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    with HttpProxy(moto_server.address) as proxy:
        ctx = context_on(moto_server, prefix, tmp_path, proxy)
        put_samples(moto_server, BUCKET, prefix, names_of(ctx), n_chunks=0)

        assert lists_for_availability(ctx, proxy) == 1


@pytest.mark.servers
def test_on_ceph_a_thousand_files_are_removed_in_few_requests(
    ceph: Ceph, prefix: str, tmp_path: Path
) -> None:
    raw = RawS3(ceph.server, prefix)
    with HttpProxy(ceph.server.address) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        backend = backend_on(ceph.server, prefix, tmp_path, endpoint_url=url)
        key = sample_key()
        save_sample(backend, key)
        with ThreadPoolExecutor(8) as threads:
            of_a_dead_writer = f"{'0' * 16}-{'0' * 8}"
            paths = [
                f"{key.name}/{prefix_of(key.name)}-{i:06d}-{of_a_dead_writer}" for i in range(1000)
            ]
            list(threads.map(lambda path: raw.write(path, b"x"), paths))
        proxy.forget()
        backend.remove(key.name)

        assert len(proxy.requests) <= 15
        assert [one.status for one in proxy.requests if one.method == "POST"] == [200] * 2
    assert everything(raw) == set()


@pytest.mark.servers
@pytest.mark.long
def test_on_ceph_it_takes_as_many_listings_as_the_gateway_makes_of_them(
    ceph: Ceph, tmp_path: Path
) -> None:
    server, bucket = ceph.server, f"test-{secrets.token_hex(6)}"
    client = plain_client(server)
    client.create_bucket(Bucket=bucket, ACL="public-read-write")
    with HttpProxy(server.address) as proxy:
        ctx = context_on(server, "place", tmp_path, proxy, bucket=bucket)
        put_samples(server, bucket, "place", names_of(ctx), n_chunks=CHUNKS)

        def n_pages() -> int:
            asked = {"Bucket": bucket, "Prefix": "place/", "Delimiter": "/"}
            return len(list(client.get_paginator("list_objects_v2").paginate(**asked)))

        # It reads 1000 keys ahead, spread over the parts of its index: with 21 below each name, the
        # first page ends after some 650.
        assert n_pages() <= RUNS * (CHUNKS + 1) / 1000
        assert lists_for_availability(ctx, proxy) == n_pages()
        ceph.ceph("config", "set", "client.rgw", "rgw_list_bucket_min_readahead", "30000")
        try:
            while n_pages() > 1:  # until the gateway has heard of it
                pass
            assert lists_for_availability(ctx, proxy) == 1
        finally:
            ceph.ceph("config", "rm", "client.rgw", "rgw_list_bucket_min_readahead")


def names_of(ctx: Context) -> list[str]:
    """Return the names of the data of all runs."""
    return [ctx.key_for(run, "records").name for run in run_ids()]


def run_ids() -> list[str]:
    return [f"run_{i:04d}" for i in range(RUNS)]


def lists_for_availability(ctx: Context, proxy: HttpProxy) -> int:
    """Ask what there is; return how many listings that took, besides one of the writers."""
    proxy.forget()
    table = ctx.availability([*run_ids(), "run_x"], "records")

    has_it = table["records"] == ctx.storage[0].name
    assert has_it.tolist() == [True] * RUNS + [False]
    assert len(proxy.requests) == len(lists(proxy))
    assert len([target for target in lists(proxy) if "staging" in target]) == 1
    return len(lists(proxy)) - 1


def put_samples(
    server: S3Server, bucket: str, prefix: str, names: list[str], *, n_chunks: int
) -> None:
    """Put files under the names of stored data, which is what availability goes by.

    Without boto3, which takes longer over it than the server: anyone may write to this bucket.
    """

    def put(some: list[str]) -> None:
        files = (*(f"{i:06d}" for i in range(n_chunks)), "metadata.json")
        with closing(http.client.HTTPConnection(*server.address)) as connection:
            for name, file in product(some, files):
                start = name.partition("-")[2]
                connection.request("PUT", f"/{bucket}/{prefix}/{name}/{start}-{file}", b"{}")
                answer = connection.getresponse()
                told = answer.read()
                assert answer.status == 200, told

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put, (names[i::4] for i in range(4))))
