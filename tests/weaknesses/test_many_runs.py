"""Many runs and many chunks cost what they must (W35, W37, W38); who chooses the codec (W42)."""

import json
import pickle
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from small_line import RECORDS, RUN, Peaks, Records, context, loading, local, values

from strax_core import Buffer, Chunk, DataKey, Entry
from strax_core.format import keys
from strax_local import LocalBackend, LocalFrontend, LocalOptions

N_RUNS = 60


class Counting(LocalBackend):
    """A directory that counts what it is asked, and the bytes of metadata that it is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalOptions(path=str(folder), fsync=False))
        self.asked: Counter[str] = Counter()

    def read(self, path: str) -> bytes:
        self.asked["read", path] += 1
        return super().read(path)

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        self.asked["list", folder] += 1
        return super().list(folder, starts_with=starts_with)

    def folder_names(self, folder: str, *, starts_with: str = "") -> Iterator[str]:
        self.asked["list", folder] += 1
        return super().folder_names(folder, starts_with=starts_with)

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        if path.endswith(".json"):
            self.asked["bytes"] += sum(len(buffer) for buffer in buffers)
        super().write(path, buffers, create_only=create_only)


class Calibrated(Peaks):
    """The same peaks, in a later version."""

    __version__ = "2"
    provides = "peaks"


Calibrated.__name__ = "Peaks"  # it stands in the lineage


def many_runs(folder: Path, n_runs: int) -> list[str]:
    """Store peaks of one run, and of others by copying its folder; return the runs."""
    runs = [f"run{i}" for i in range(n_runs)]
    ctx = context(folder)
    ctx.make(runs[0], "peaks")
    for data_type in ("records", "peaks"):
        first = folder / str(ctx.key_for(runs[0], data_type))
        for run in runs[1:]:
            other = folder / str(ctx.key_for(run, data_type))
            other.mkdir()
            for path in first.iterdir():
                raw = path.read_bytes()
                if path.suffix == ".json":
                    raw = raw.replace(b'"run0"', f'"{run}"'.encode())
                (other / path.name).write_bytes(raw)
    return runs


@pytest.mark.weakness("W38")
def test_what_many_runs_have_is_found_by_two_listings(tmp_path: Path) -> None:
    runs = many_runs(tmp_path, N_RUNS)
    backend = Counting(tmp_path)
    ctx = loading(LocalFrontend(backend, name="here"))
    table = ctx.availability([*runs, "missing"], ["records", "peaks"])

    assert (table == "here").all(axis=1).to_dict() == {run: run in runs for run in table.index}
    assert backend.asked == {("list", ""): 1, ("list", ".staging"): 1}


@pytest.mark.weakness("W37")
def test_a_loose_match_of_many_runs_reads_each_candidate_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    parse = DataKey.parse_name

    def counted(name: str) -> tuple[str, str, str] | None:
        looked_at.append(name)
        return parse(name)

    runs = many_runs(tmp_path, N_RUNS)
    backend = Counting(tmp_path)
    here = LocalFrontend(backend, name="here")
    monkeypatch.setattr(keys.DataKey, "parse_name", staticmethod(counted))
    ctx = context(here, plugins=[Calibrated], fuzzy_for="peaks")
    table = ctx.availability([*runs, "missing"], "peaks")

    assert (table["peaks"] == "here").to_dict() == {run: run in runs for run in table.index}
    listings = {key: n for key, n in backend.asked.items() if key[0] == "list"}
    reads = {key: n for key, n in backend.asked.items() if key[0] == "read"}
    assert listings == {("list", ""): 1, ("list", ".staging"): 1}
    assert sorted(reads.values()) == [1] * N_RUNS
    assert len(looked_at) == 2 * N_RUNS  # folders of records and of peaks, each once


@pytest.mark.weakness("W35")
@pytest.mark.parametrize("in_other_processes", [False, True])
def test_the_bytes_of_metadata_grow_as_the_number_of_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_other_processes: bool
) -> None:
    monkeypatch.setattr("strax_core.saver.journal.SEGMENT_INTERVAL_S", 1e-3)
    ctx = context(tmp_path)
    ctx.make(RUN, "records")
    row = ctx.get_array(RUN, "records")[:1]
    metadata = {**ctx.get_metadata(RUN, "records")}
    for name in ("chunks", "start", "end", "writing_ended"):
        del metadata[name]

    def metadata_bytes(n_chunks: int) -> int:
        folder = tmp_path / str(n_chunks)
        folder.mkdir()
        backend = Counting(folder)
        here = LocalFrontend(backend, name="here")
        with here.saver(ctx.key_for(RUN, "records"), metadata) as saver:
            # A pickled copy writes as another process does: a segment of the journal a chunk.
            writer = saver
            if in_other_processes:
                writer = pickle.loads(pickle.dumps(saver))  # noqa: S301 - made here
            for i in range(n_chunks):
                rows = row.copy()
                rows["time"] += 1000 * i
                rows["endtime"] += 1000 * i
                start, end = 1000 * i, 1000 * (i + 1)
                piece = Chunk(start, end, rows, RUN, "records")
                writer.save(piece, i)
                time.sleep(2e-3)  # time for the owner's next segment
            if writer is not saver:
                backend.asked += writer.medium.asked
        final = here.get_metadata(ctx.key_for(RUN, "records"))
        receipts = json.dumps(final["chunks"]).encode()
        assert len(final.chunks) == n_chunks
        return backend.asked["bytes"] - 2 * len(receipts)

    # Each receipt in one segment and in the final metadata; around them a constant, and a little
    # a segment. How many segments an owner writes is a matter of time.
    few, many = metadata_bytes(5), metadata_bytes(80)
    assert many - few < 75 * 40


@pytest.mark.weakness("W42")
def test_the_call_then_the_place_then_the_data_plugin_choose_the_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Records, "compressor", "lz4")

    def stored(place: Path) -> str:
        return loading(place).get_metadata(RUN, "records").compressor

    places = {name: tmp_path / name for name in ("plugin", "place", "call")}
    for folder in places.values():
        folder.mkdir()
    near, far = local(places["plugin"]), local(places["place"], compressor="bz2")
    context(near, far).make(RUN, "records")
    last = local(places["call"], compressor="bz2")
    loading(near, last).copy(RUN, "records", "call", compressor="none")

    assert {name: stored(folder) for name, folder in places.items()} == {
        "plugin": "lz4",
        "place": "bz2",
        "call": "none",
    }
    for folder in places.values():
        assert values(loading(folder).get_array(RUN, "records")) == RECORDS
