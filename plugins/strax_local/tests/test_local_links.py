"""Nothing outside a place is touched, whatever links lie in it; the victims are scratch folders."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from strax_core import (
    Chunk,
    Context,
    DataCorrupted,
    Plugin,
    RunMetadataNotAvailable,
    StorageBackend,
    StorageError,
)
from strax_core.testing import (
    clean,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_local.backend import LocalBackend
from strax_local.frontend import LocalFrontend
from strax_local.options import LocalOptions


class Records(Plugin):
    """A hundred rows in four chunks."""

    dtype = np.dtype([("time", "<i8"), ("endtime", "<i8")])
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for start in range(0, 100, 25):
            rows = np.zeros(25, self.dtype)
            rows["time"] = np.arange(start, start + 25)
            rows["endtime"] = rows["time"] + 1
            yield self.chunk(start=start, end=start + 25, data=rows)


KEY = sample_key("run_1")
RECORDS = Context(storage=[], plugins=[Records]).key_for("run_1", "records").name
DEAD = "0" * 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "place"
    root.mkdir()
    return root


@pytest.fixture
def backend(root: Path) -> LocalBackend:
    return LocalBackend(LocalOptions(path=str(root), fsync=False))


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder with all names that we delete somewhere, which must stay as it is."""
    victim = tmp_path / "victim"
    of_records = RECORDS.partition("-")[2]
    for path in (
        *("file", "sub/file", "data/file", f"{DEAD}/data/file", f"{DEAD}/ticket.json"),
        *("ticket.json", f"failed-{DEAD}.json", f"tmp-{DEAD}", f"{KEY.name}/file"),
        *(f"{of_records}-000000", f"{of_records}-metadata.json", f"{RECORDS}/file"),
    ):
        (victim / path).parent.mkdir(parents=True, exist_ok=True)
        (victim / path).write_text(path)
    before = contents(victim)
    yield victim
    assert contents(victim) == before
    assert {path.name for path in victim.iterdir()} == {path.split("/")[0] for path in before}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def die(backend: StorageBackend) -> Path:
    """Leave what a writer leaves that is killed; return its folder."""
    saver = backend.saver(KEY.name, sample_metadata(KEY), overwrite="always")
    saver.save(sample_chunks(KEY)[0], 0)
    folder = Path(backend.place) / saver.staging.folder
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    saver.abort()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.rename(folder)
    return folder


@pytest.mark.parametrize("target", ["victim", "../../victim", "missing", "link"])
def test_clean_leaves_a_link_in_staging_and_says_so(
    backend: LocalBackend, root: Path, victim: Path, target: str
) -> None:
    where = str(victim) if target == "victim" else target
    (root / ".staging").mkdir()
    (root / ".staging" / "link").symlink_to(where)
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert (told.path, told.stays) == (".staging/link", True)
    assert where in told.reason
    assert (root / ".staging" / "link").is_symlink()


def test_a_writer_that_died_before_its_first_chunk_leaves_nothing(
    backend: LocalBackend, root: Path
) -> None:
    (root / ".staging" / KEY.name / DEAD / "data").mkdir(parents=True)

    assert clean(backend, grace_s=0, dry_run=False)
    assert [path for path in root.rglob("*") if path.name != ".staging"] == []


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize("bad", ["x/../../victim", "/victim", "..", f"../{KEY.name}", "", 7, None])
def test_a_ticket_that_points_out_of_the_place_is_left(backend: LocalBackend, bad: object) -> None:
    folder = die(backend)
    (folder / "ticket.json").write_text(json.dumps({"backend_key": bad}))
    (told,) = clean(backend, grace_s=0, dry_run=False)

    assert told.stays
    assert (folder / "data").is_dir()


def test_a_chunk_or_metadata_file_that_is_a_link_is_refused(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    metadata = save_sample(backend, KEY)
    named = next(info.filename for info in metadata.chunks if info.filename)
    moved = tmp_path / "moved"
    (root / KEY.name / named).rename(moved)
    (root / KEY.name / named).symlink_to(moved)
    with pytest.raises(DataCorrupted, match="is a link to"):
        list(backend.loader(KEY.name))
    document = next((root / KEY.name).glob("*metadata.json"))
    document.rename(tmp_path / "document")
    document.symlink_to(tmp_path / "document")
    with pytest.raises(DataCorrupted, match="is a link to"):
        backend.get_metadata(KEY.name)


def test_a_run_document_that_is_a_link_is_refused_and_the_others_are_read(
    backend: LocalBackend, root: Path, tmp_path: Path
) -> None:
    frontend = LocalFrontend(backend)
    for run_id in ("run_1", "run_2"):
        frontend.write_run_metadata(run_id, {"mode": run_id})
    (root / "run_1-metadata.json").rename(tmp_path / "document")
    (root / "run_1-metadata.json").symlink_to(tmp_path / "document")

    with pytest.raises(DataCorrupted, match="is a link to"):
        frontend.run_metadata("run_1")
    assert [each["name"] for each in frontend.scan_runs()] == ["run_2"]
    with pytest.raises(RunMetadataNotAvailable):
        frontend.run_metadata("run_3")


N_SWAPS = int(os.environ.get("STRAX_LINK_SWAPS", "40"))


@pytest.mark.parametrize("what", ["staging", "key", "ticket", "data", "piece"])
def test_a_link_that_comes_and_goes_leads_nobody_out(
    backend: LocalBackend, root: Path, victim: Path, what: str
) -> None:
    """A folder is swapped for a link while all that writes and deletes is at work."""
    ctx = Context(LocalFrontend(backend, name="place"), plugins=[Records])
    errors: list[Exception] = []
    done = threading.Event()

    def work() -> None:
        codecs = cycle(["zstd", "none"])
        while not done.is_set():
            for action in (
                lambda: ctx.make("run_1", "records", again=True),
                lambda: ctx.rewrite("run_1", "records", at="place", compressor=next(codecs)),
                lambda: ctx.clean("place", grace_s=0, dry_run=False),
                lambda: ctx.remove("run_1", "records", from_="place"),
            ):
                try:
                    action()
                except (StorageError, UserWarning):
                    continue
                except Exception as error:  # noqa: BLE001 - told by the test, not lost in a thread
                    errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        n_swapped = 0
        while n_swapped < N_SWAPS and worker.is_alive():
            if _swap(root, root / ".staging" / RECORDS, victim, what):
                n_swapped += 1
            else:
                done.wait(1e-4)  # lets the other thread make it
    finally:
        done.set()
        worker.join()
    assert errors == []


def _swap(root: Path, of_key: Path, victim: Path, what: str) -> bool:
    """Put a link in the place of a folder for a moment; say whether the folder was there."""
    try:
        tickets = (path for path in of_key.iterdir() if path.is_dir()) if what[0] in "td" else None
        folder = {"staging": of_key.parent, "key": of_key, "piece": root / of_key.name}.get(what)
        if folder is None:
            folder = next(tickets or iter(()))
            folder = folder / "data" if what == "data" else folder
        aside = root / "aside"
        folder.rename(aside)
    except (OSError, StopIteration):
        return False
    try:
        folder.symlink_to(victim)
        os.sched_yield()
        folder.unlink()
        aside.rename(folder)
    except OSError:  # somebody was faster
        with suppress(OSError):
            folder.unlink()
    shutil.rmtree(aside, ignore_errors=True)
    return True
