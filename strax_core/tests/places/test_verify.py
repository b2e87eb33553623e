"""What `verify` sees beyond what a load looks at."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from small_plugins import (
    N_CHUNKS,
    RECORDS,
    backend_of,
    chunk_path,
    context,
    edit_metadata,
    metadata_path,
    place,
)

from strax_core.codecs.columns import ColumnsCodec
from strax_core.errors import DataCorrupted
from strax_core.frontend.directory import DirectoryFrontend


def made(compressor: str = "columns") -> DirectoryFrontend:
    near = place("near", compressor=compressor)
    context(near).make("7", "records")
    return near


def edit(frontend: DirectoryFrontend, change: Callable[[list[Any]], object]) -> None:
    """Change entries of chunks in the metadata."""
    chunks = json.loads(backend_of(frontend).read(metadata_path(frontend, "records")))["chunks"]
    change(chunks)
    edit_metadata(frontend, "records", chunks=chunks)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("checksum_rows", lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), "its rows"),
        ("checksum_rows", lambda _: "md5:0", "'md5' are not known"),
        ("checksum", lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), "the file's"),
        ("max_endtime", lambda time: time - 1, "max_endtime is 1410, the metadata say 1409"),
        ("first_endtime", lambda time: time + 1, "first_endtime is "),
        ("last_time", lambda time: time - 1, "last_time is "),
    ],
)
def test_verify_compares_all_that_the_metadata_say_of_a_chunk(
    name: str, change: Callable[[Any], Any], told: str
) -> None:
    near = made("columns" if name == "checksum" else "zstd")
    edit(near, lambda chunks: chunks[1].update({name: change(chunks[1][name])}))
    ctx = context(near, forbid_creation_of="*")

    assert ctx.get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    with pytest.raises(DataCorrupted, match=f"run 7, records, chunk 1: .*{told}"):
        context(near).verify("7", "records")


def test_verify_compares_the_times_of_segments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, size in {"segment_bytes": 48, "block_bytes": 24, "small_bytes": 0}.items():
        monkeypatch.setattr(ColumnsCodec, name, size)
    near = made()

    def move(chunks: list[Any], ns: int) -> None:
        chunks[2]["codec"]["segments"][1][4] += ns

    edit(near, lambda chunks: move(chunks, 1))
    with pytest.raises(DataCorrupted, match="chunk 2: the rows from 2 on are of the times"):
        context(near).verify("7", "records")
    edit(near, lambda chunks: move(chunks, -1))
    assert context(near).verify("7", "records") == ["near"]


def test_verify_sees_bytes_added_to_a_file_of_which_the_size_is_not_known() -> None:
    near = made("zstd")
    edit(near, lambda chunks: chunks[2].pop("filesize"))
    assert context(near).verify("7", "records") == ["near"]
    path = chunk_path(near, "records", 2)
    backend_of(near).write(path, [backend_of(near).read(path), b"\0"])
    with pytest.raises(DataCorrupted, match="chunk 2: the file's checksum"):
        context(near).verify("7", "records")


def test_verify_reads_each_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    near = made()
    backend, asked = backend_of(near), list[str]()
    honest = backend.read

    def read(path: str) -> bytes:  # that of ranges goes by way of it, too
        asked.append(path)
        return honest(path)

    monkeypatch.setattr(backend, "read", read)
    context(near).verify("7", "records")

    assert sorted(path for path in asked if not path.endswith(".json")) == [
        chunk_path(near, "records", i) for i in range(N_CHUNKS)
    ]
