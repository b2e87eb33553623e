"""Power cuts, kills and failures: what has the final name is whole (W13 W14 W15 W16 W19)."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_line import (
    N_CHUNKS,
    RECORDS,
    RUN,
    Peaks,
    Records,
    context,
    files_in,
    folder_of,
    full_disk,
    left_by_writers,
    loading,
    local,
    values,
)

from strax_core import ConfigError, Context, DataNotAvailable, StorageFull

HERE = Path(__file__).parent


@pytest.mark.weakness("W13")
def test_data_are_durable_before_they_have_their_final_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = Context(str(tmp_path), plugins=[Records])
    final = folder_of(ctx, "records", tmp_path)
    synced_before: set[int] = set()
    synced_after: set[int] = set()
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        (synced_after if final.exists() else synced_before).add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", watched)
    ctx.make(RUN, "records")

    assert len(list(final.iterdir())) == N_CHUNKS + 1
    for path in (final, *final.iterdir()):
        assert path.stat().st_ino in synced_before, path
    assert tmp_path.stat().st_ino in synced_after


@pytest.fixture
def at_each_sync(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens whenever a writer has written a file and waits for the disk."""
    actions: list[Callable[[], object]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        for action in actions:
            action()

    monkeypatch.setattr(os, "fsync", watched)
    return actions


def disk_full() -> None:
    raise OSError(errno.ENOSPC, "no space left")


@pytest.mark.weakness("W14")
def test_a_reader_sees_the_old_document_of_a_run_or_the_new(
    tmp_path: Path, at_each_sync: list[Callable[[], object]]
) -> None:
    ctx = Context(str(tmp_path))
    seen = []
    ctx.write_run_metadata(RUN, {"mode": "old"})
    at_each_sync.append(lambda: seen.append(ctx.run_metadata(RUN)["mode"]))
    ctx.write_run_metadata(RUN, {"mode": "new"})

    assert seen == ["old", "new"]  # the file is durable, then its name


@pytest.mark.weakness("W14")
@pytest.mark.parametrize("value", [object(), {1, 2}, b"raw"], ids=["object", "set", "bytes"])
def test_a_document_that_cannot_be_stored_leaves_the_old_one(tmp_path: Path, value: object) -> None:
    ctx = Context(str(tmp_path))
    ctx.write_run_metadata(RUN, {"mode": "old", "n": np.int64(3)})

    for run_id in (RUN, "run_8"):
        with pytest.raises(ConfigError, match="cannot be stored: field 'mode'"):
            ctx.write_run_metadata(run_id, {"mode": value})
    assert ctx.run_metadata(RUN) == {"name": RUN, "mode": "old", "n": 3}
    assert list(files_in(tmp_path)) == [f"{RUN}-metadata.json"]


@pytest.mark.weakness("W14")
def test_a_disk_that_gets_full_leaves_the_old_document(
    tmp_path: Path, at_each_sync: list[Callable[[], object]]
) -> None:
    ctx = Context(str(tmp_path))
    ctx.write_run_metadata(RUN, {"mode": "old"})
    at_each_sync.append(disk_full)

    with pytest.raises(StorageFull):
        ctx.write_run_metadata(RUN, {"mode": "new"})
    assert ctx.run_metadata(RUN)["mode"] == "old"
    assert list(files_in(tmp_path)) == [f"{RUN}-metadata.json"]


@pytest.mark.weakness("W14")
def test_no_json_file_is_ever_seen_half_written(
    tmp_path: Path, at_each_sync: list[Callable[[], object]]
) -> None:
    n_seen = 0

    def read_all() -> None:
        nonlocal n_seen
        for path in [*tmp_path.rglob("*.json")]:
            json.loads(path.read_bytes())
            n_seen += 1

    ctx = Context(str(tmp_path), plugins=[Records])
    ctx.make(RUN, "records")
    at_each_sync.append(read_all)
    ctx.make(RUN, "records", again=True)

    assert n_seen > N_CHUNKS
    assert not [path for path, raw in files_in(tmp_path).items() if not raw]


class BreaksDown(Peaks):
    """Fails in the middle of a run."""

    provides = "peaks"

    def compute(self, records: np.ndarray, chunk_i: int) -> np.ndarray:  # type: ignore[override]
        if chunk_i == N_CHUNKS // 2:
            raise ZeroDivisionError("the detector is on fire")
        return super().compute(records)


BreaksDown.__name__ = "Peaks"  # it stands in the lineage


@pytest.mark.weakness("W15")
def test_what_failed_never_has_the_final_name_and_why_stands_beside(tmp_path: Path) -> None:
    ctx = context(tmp_path, plugins=[BreaksDown])
    with pytest.raises(ZeroDivisionError):
        ctx.make(RUN, "peaks")

    assert [path.name for path in tmp_path.iterdir()] == [".staging"]
    with pytest.raises(DataNotAvailable):
        ctx.find(RUN, "peaks")
    notes = {name.split("/")[1]: json.loads(text) for name, text in files_in(tmp_path).items()}
    assert set(notes) == {str(ctx.key_for(RUN, name)) for name in ("records", "peaks")}
    for note in notes.values():
        assert "ZeroDivisionError: the detector is on fire" in note["exception"]


@pytest.mark.weakness("W15")
def test_what_was_left_half_way_has_no_final_name(tmp_path: Path) -> None:
    chunks = context(tmp_path).get_iter(RUN, "records")
    for _ in range(N_CHUNKS // 2):
        next(chunks)
        assert [path.name for path in tmp_path.iterdir()] == [".staging"]
    chunks.close()  # type: ignore[attr-defined]

    assert files_in(tmp_path) == {}


@pytest.mark.weakness("W15")
def test_a_disk_that_gets_full_gives_nothing_the_final_name(tmp_path: Path) -> None:
    with pytest.raises(StorageFull):
        context(full_disk(tmp_path, "-metadata.json")).make(RUN, "records")

    assert [path.name for path in tmp_path.iterdir()] == [".staging"]


KILLED = """
import os, sys
from pathlib import Path
from small_line import RUN, context
chunks = context(Path(sys.argv[1])).get_iter(RUN, "records")
for _ in range(5):
    next(chunks)
os._exit(9)
"""


@pytest.mark.weakness("W16")
def test_what_a_killed_writer_left_is_in_nobodys_way_and_is_cleaned_up(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False, env=environment
    )
    assert done.returncode == 9
    assert len(left_by_writers(tmp_path)) > 1
    ctx = context(tmp_path)

    assert not ctx.is_stored(RUN, "records")
    assert list(ctx.scan_runs()) == []
    assert ctx.clean(tmp_path.name, dry_run=False) == []  # it may be alive: wait an hour
    ctx.make(RUN, "peaks")
    assert len(left_by_writers(tmp_path)) > 1
    reasons = {leftover.reason for leftover in ctx.clean(tmp_path.name, grace_s=0, dry_run=False)}
    assert "a writer that never committed" in reasons  # perhaps an unfinished file too
    assert not [name for name in files_in(tmp_path) if name.startswith(".staging")]
    assert values(loading(tmp_path).get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W19")
def test_a_save_while_another_error_is_handled_is_a_good_one(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    try:
        raise ValueError("something else")
    except ValueError:
        ctx.make(RUN, "records", max_workers=1)

    assert ctx.is_stored(RUN, "records")
    assert "exception" not in ctx.get_metadata(RUN, "records")
    assert "something else" not in json.dumps(dict(ctx.get_metadata(RUN, "records")))
    assert values(loading(tmp_path).get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W19")
def test_a_copy_while_another_error_is_handled_is_a_good_one(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    context(folders[0]).make(RUN, "records")
    ctx = loading(*folders)
    try:
        raise ValueError("something else")
    except ValueError:
        ctx.copy(RUN, "records", to="b")

    assert ctx.verify(RUN, "records") == ["a", "b"]
    assert values(loading(folders[1]).get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W19")
def test_a_saver_used_while_another_error_is_handled_commits(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    ctx = context(folders[0])
    ctx.make(RUN, "records")
    metadata = dict(ctx.get_metadata(RUN, "records"))
    for name in ("chunks", "start", "end", "writing_ended"):
        del metadata[name]
    try:
        raise ValueError("something else")
    except ValueError:
        with local(folders[1]).saver(ctx.key_for(RUN, "records"), metadata) as saver:
            for chunk_i, chunk in enumerate(ctx.get_iter(RUN, "records")):
                saver.save(chunk, chunk_i)

    assert values(loading(folders[1]).get_array(RUN, "records")) == RECORDS
