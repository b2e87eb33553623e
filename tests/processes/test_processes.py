import hashlib
import json
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import process_plugins as pp
import pytest

from strax_core import (
    ConfigError,
    Context,
    DataCorrupted,
    DataNotAvailable,
    DirectoryFrontend,
    MemoryBackend,
    Plugin,
    PluginGaveWrongOutput,
    StorageError,
    StorageFull,
    StorageUnavailable,
)

RUN = "run_1"
SPANS = [(i * pp.CHUNK_NS, (i + 1) * pp.CHUNK_NS) for i in range(pp.N_CHUNKS)]
CHAIN = (pp.Raw, pp.Records, pp.Peaks)


def pool_of(method: str, n_workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(n_workers, mp_context=multiprocessing.get_context(method))


@pytest.fixture(autouse=True)
def forks_where_threads_are() -> Iterator[None]:
    """Python 3.12 warns of that, whosever threads they are: numpy's too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        yield


@pytest.fixture(scope="module", params=["spawn", "fork"])
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with pool_of(request.param) as processes:
        yield processes


@pytest.fixture(scope="module")
def spawned() -> Iterator[ProcessPoolExecutor]:
    with pool_of("spawn") as processes:
        yield processes


@pytest.fixture
def mortal() -> Iterator[ProcessPoolExecutor]:
    """A pool for one test, that may break it."""
    with pool_of("fork") as processes:
        yield processes


def place(folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"frontend": "local", "path": str(folder), "fsync": False, "name": folder.name} | options


def context(folder: Path, *plugins: type[Plugin], config: Any = None, **options: Any) -> Context:
    return Context([place(folder, **options)], plugins=plugins, config=config or {})


def metadata_of(folder: Path, data_type: str) -> dict[str, Any]:
    (path,) = folder.glob(f"{RUN}-{data_type}-*/*metadata.json")
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def stored(folder: Path, data_type: str) -> list[Any]:
    """All that a save leaves but names, times and ids: metadata, and what each chunk holds."""
    document = metadata_of(folder, data_type)
    (data,) = folder.glob(f"{RUN}-{data_type}-*")
    for name in ("write_id", "data_id", "writing_started", "writing_ended", "writer"):
        del document[name]
    names = [chunk.pop("filename", None) for chunk in document["chunks"]]
    files = [name and hashlib.sha256((data / name).read_bytes()).hexdigest() for name in names]
    assert len(list(data.iterdir())) == 1 + sum(name is not None for name in names)
    return [document, files]


def is_made_elsewhere(folder: Path, data_type: str) -> bool:
    """Who writes in another process adds random letters to the names of files."""
    names = [chunk.get("filename") for chunk in metadata_of(folder, data_type)["chunks"]]
    return all(len(name.split("-")) == 4 for name in names if name is not None)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def nothing_but_notes(folder: Path) -> bool:
    return all(
        path.startswith(".staging/") and "/failed-" in path for path in everything(folder)
    ) and not any(path.name == "data" for path in folder.rglob("*"))


CASES: dict[str, tuple[Sequence[type[Plugin]], Sequence[str], Sequence[str], Sequence[str]]] = {
    # which data plugins, what is stored before, what is made elsewhere, what is made here
    "a source": ([pp.Raw], [], ["raw"], []),
    "a chain": (CHAIN, [], ["raw", "records", "peaks"], []),
    "on loaded input": ([pp.Raw, pp.Records], ["raw"], ["records"], []),
    "several outputs": ([pp.Raw, pp.Halves], ["raw"], ["low", "high"], []),
    "mixed": ([pp.Raw, pp.Records, pp.Here], [], ["raw", "records"], ["here"]),
    "made from what the line loads": (
        [pp.Raw, pp.Records, pp.OfBoth],
        ["raw"],
        ["records"],
        ["of_both"],
    ),
    "a generator": ([pp.Generated, pp.Records], [], [], ["raw", "records"]),
    "inputs cut alike": ([*CHAIN, pp.Both], ["raw", "peaks"], ["both"], []),
    "a chain with two inputs": ([*CHAIN, pp.Both], ["raw"], ["records", "peaks", "both"], []),
    "inputs cut differently": (
        [pp.Raw, pp.Coarse, pp.OfCoarse],
        ["raw", "coarse"],
        [],
        ["of_coarse"],
    ),
    "made here in between": (
        [pp.Raw, pp.Coarse, pp.OfCoarse],
        ["raw"],
        [],
        ["coarse", "of_coarse"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_save_with_two_processes_equals_one_without(
    case: str, pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    plugins, before, elsewhere, here = CASES[case]
    target = [*elsewhere, *here][-1]
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, executor in ((one, None), (two, pool)):
        for data_type in before:
            context(folder, *plugins).make(RUN, data_type)
        context(folder, *plugins).make(RUN, target, executor=executor)

    for data_type in (*elsewhere, *here):
        assert stored(two, data_type) == stored(one, data_type)
        assert is_made_elsewhere(two, data_type) == (data_type in elsewhere)
    rows = [context(folder, *plugins).get_array(RUN, target) for folder in (one, two)]
    assert np.array_equal(*rows)
    assert not (two / ".staging").exists()


def test_what_is_stored_is_what_the_instrument_gave(
    pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    ctx = context(tmp_path, pp.Raw)
    rows = ctx.get_array(RUN, "raw", executor=pool)
    expected = np.concatenate([pp.raw_rows(i) for i in range(pp.N_CHUNKS)])

    assert np.array_equal(rows, expected)
    assert np.array_equal(ctx.get_array(RUN, "raw"), expected)
    document = metadata_of(tmp_path, "raw")
    assert [(chunk["start"], chunk["end"]) for chunk in document["chunks"]] == SPANS
    assert [chunk["n"] for chunk in document["chunks"]] == [
        0 if i == pp.EMPTY_CHUNK else pp.N_ROWS for i in range(pp.N_CHUNKS)
    ]


def test_chunks_are_stored_as_computed_whatever_rechunk_on_save_says(
    spawned: ProcessPoolExecutor, tmp_path: Path
) -> None:
    ctx = context(tmp_path, pp.Raw, pp.Rechunked)
    ctx.make(RUN, "records", executor=spawned)
    chunks = metadata_of(tmp_path, "records")["chunks"]
    ctx.make(RUN, "records", again=True)

    assert [(chunk["start"], chunk["end"]) for chunk in chunks] == SPANS
    assert len(metadata_of(tmp_path, "records")["chunks"]) == 1


def test_each_place_has_its_own_codec(spawned: ProcessPoolExecutor, tmp_path: Path) -> None:
    codecs = {"a": "zstd", "b": "none", "c": "zstd"}
    for kind, executor in (("one", None), ("two", spawned)):
        places = [place(tmp_path / kind / name, compressor=codecs[name]) for name in codecs]
        Context(places, plugins=CHAIN).make(RUN, "peaks", executor=executor)

    for name, codec in codecs.items():
        for data_type in ("raw", "records", "peaks"):
            one, two = (tmp_path / kind / name for kind in ("one", "two"))
            assert metadata_of(two, data_type)["compressor"] == codec
            assert stored(two, data_type) == stored(one, data_type)
            assert is_made_elsewhere(two, data_type)


def test_a_place_in_memory_keeps_the_work_here(
    spawned: ProcessPoolExecutor, tmp_path: Path
) -> None:
    ctx = Context([place(tmp_path), "memory://"], plugins=[pp.Raw, pp.Records])
    ctx.make(RUN, "records", executor=spawned)

    assert not is_made_elsewhere(tmp_path, "records")
    expected = [len(pp.raw_rows(i)) for i in range(pp.N_CHUNKS)]
    for each in ("raw", "records"):
        assert [chunk["n"] for chunk in metadata_of(tmp_path, each)["chunks"]] == expected
        ctx.remove(RUN, each, from_=tmp_path.name)
        assert len(ctx.get_array(RUN, each)) == sum(expected)


def test_a_copy_in_memory_does_not_hinder_one_on_disk(
    spawned: ProcessPoolExecutor, tmp_path: Path
) -> None:
    memory = DirectoryFrontend(MemoryBackend(), name="memory", exclude="records")
    ctx = Context([memory, place(tmp_path)], plugins=[pp.Raw, pp.Records])
    ctx.make(RUN, "raw")
    ctx.make(RUN, "records", executor=spawned)

    assert is_made_elsewhere(tmp_path, "records")


class Measured(Executor):
    """Passes tasks on, and measures what comes back, as it travels."""

    def __init__(self, inner: Executor) -> None:
        self.inner = inner
        self.sent: list[int] = []
        self.returned: list[int] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.sent.append(len(pickle.dumps((fn, args))))
        future = self.inner.submit(fn, *args, **kwargs)
        future.add_done_callback(
            lambda done: self.returned.append(len(pickle.dumps(done.result())))
        )
        return future


def test_rows_travel_only_if_they_are_wanted_here(
    spawned: ProcessPoolExecutor, tmp_path: Path
) -> None:
    made, wanted = Measured(spawned), Measured(spawned)
    context(tmp_path / "a", *CHAIN).make(RUN, "peaks", executor=made)
    context(tmp_path / "b", *CHAIN).get_array(RUN, "peaks", executor=wanted)

    assert len(made.returned) == pp.N_CHUNKS + 1  # and the one that starts the processes
    assert max(made.returned) < 10_000
    nbytes = pp.VALUE.itemsize * ((pp.N_ROWS + 2) // 3)
    assert nbytes < max(wanted.returned) < nbytes + 10_000


class LikeDask(Executor):
    """Says not how many workers it has, pickles everything, and calls cancelled what goes on."""

    def __init__(self, *, is_slow: bool = False) -> None:
        self.threads = ThreadPoolExecutor(2)
        self.two_at_work, self.may_go_on = threading.Event(), threading.Event()
        self.is_slow = is_slow
        self.n_given = 0
        self.n_at_work = 0
        self.lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        task, answer = pickle.dumps((fn, args, kwargs)), Future[Any]()
        self.n_given += 1
        # The first begins the workers; the second, of a chunk, fails; the others are slow.
        waits_for = {1: None, 2: self.two_at_work}.get(self.n_given, self.may_go_on)

        def work() -> None:
            function, arguments, options = pickle.loads(task)  # noqa: S301 - our own
            with self.lock:
                self.n_at_work += 1
                if self.n_at_work == 2:
                    self.two_at_work.set()
            if self.is_slow and waits_for is not None:
                waits_for.wait()
            result = pickle.dumps(function(*arguments, **options))
            with self.lock:
                self.n_at_work -= 1
            if answer.set_running_or_notify_cancel():
                answer.set_result(pickle.loads(result))  # noqa: S301 - our own

        self.threads.submit(work)
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        self.threads.shutdown(wait, cancel_futures=cancel_futures)


def test_any_executor_will_do(tmp_path: Path) -> None:
    context(tmp_path / "one", *CHAIN).make(RUN, "peaks")
    with LikeDask() as executor:
        context(tmp_path / "two", *CHAIN).make(RUN, "peaks", executor=executor)

    for data_type in ("raw", "records", "peaks"):
        assert stored(tmp_path / "two", data_type) == stored(tmp_path / "one", data_type)
        assert is_made_elsewhere(tmp_path / "two", data_type)


def test_an_executor_that_cannot_cancel_is_waited_for(tmp_path: Path) -> None:
    full = pp.full_at(tmp_path / "full", chunks=range(1))  # all others would fit
    with LikeDask(is_slow=True) as executor:
        release = threading.Timer(0.5, executor.may_go_on.set)
        threading.Thread(target=lambda: executor.two_at_work.wait() and release.start()).start()
        with pytest.raises(StorageFull):
            Context([full], plugins=[pp.Raw]).make(RUN, "raw", executor=executor)

        assert executor.n_at_work == 0
    assert nothing_but_notes(tmp_path / "full")


def test_several_runs_share_the_processes(spawned: ProcessPoolExecutor, tmp_path: Path) -> None:
    ctx = context(tmp_path, pp.Raw, pp.Records)
    runs = [f"run_{i}" for i in range(5)]
    rows = ctx.get_array(runs, "records", executor=spawned)

    n_rows = pp.N_ROWS * (pp.N_CHUNKS - 1)
    assert rows["run_id"].tolist() == [run for run in runs for _ in range(n_rows)]
    assert len(list(tmp_path.glob("run_*-records-*"))) == 5


# Failures elsewhere


def make_troubled(folder: Path, trouble: str, executor: Executor, **options: Any) -> Context:
    ctx = context(folder, pp.Raw, pp.Troubled, config={"trouble": trouble})
    ctx.make(RUN, "raw")
    ctx.make(RUN, "records", executor=executor, **options)
    return ctx


def raw_only(folder: Path) -> bool:
    """Whether there is nothing but the input that was stored before, and notes."""
    document = metadata_of(folder, "raw")
    (data,) = folder.glob(f"{RUN}-*")
    files = everything(data)
    notes = [path for path in everything(folder) if not path.startswith(data.name)]
    assert len(files) == len(document["chunks"])  # metadata, and one chunk is empty
    return all(path.startswith(".staging/") and "/failed-" in path for path in notes)


@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        ("raise", pp.OwnError, "no such gain"),
        ("raise what does not travel", StorageError, "TwoPartError: this and that"),
        ("raise a lambda", StorageError, "OwnError: <function"),
        ("fail in setup", pp.OwnError, "no calibration"),
        ("another dtype", PluginGaveWrongOutput, "Troubled"),
        ("unsorted", PluginGaveWrongOutput, "Troubled"),
        ("leave", SystemExit, "leaving"),
    ],
)
def test_what_a_data_plugin_does_wrong_elsewhere_surfaces(
    trouble: str,
    error: type[BaseException],
    message: str,
    spawned: ProcessPoolExecutor,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message) as caught:
        make_troubled(tmp_path, trouble, spawned)

    assert raw_only(tmp_path)
    if error is not SystemExit:
        assert "elsewhere" in str(caught.value.__cause__)
        assert "compute.py" in str(caught.value.__cause__)
        notes = [path.read_text() for path in tmp_path.glob(".staging/*/failed-*")]
        assert len(notes) == 1
        assert "compute.py" in notes[0]
    if error is pp.OwnError:
        assert "data plugin Troubled" in caught.value.__notes__[0]
    context(tmp_path, pp.Raw, pp.Troubled).make(RUN, "records", executor=spawned)
    assert is_made_elsewhere(tmp_path, "records")


def test_a_place_that_fails_elsewhere_does_not_hinder_the_others(
    spawned: ProcessPoolExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = pp.full_at(tmp_path / "full", chunks=range(3, 9))
    ctx = Context([place(tmp_path / "good"), full], plugins=CHAIN)
    with caplog.at_level(logging.WARNING, "strax_core"):
        ctx.make(RUN, "peaks", executor=spawned)
    context(tmp_path / "one", *CHAIN).make(RUN, "peaks")

    for data_type in ("raw", "records", "peaks"):
        assert stored(tmp_path / "good", data_type) == stored(tmp_path / "one", data_type)
    assert nothing_but_notes(tmp_path / "full")
    notes = [path.read_text() for path in (tmp_path / "full").glob(".staging/*/failed-*")]
    assert len(notes) == 3
    assert all("no space left" in note and "ENOSPC" in note for note in notes)
    assert sum("no space left" in record.message for record in caplog.records) == 3


class Late(Executor):
    """Works when it is asked for the answer."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = Future[Any]()

        def result(timeout: float | None = None) -> Any:
            future.set_result(fn(*args, **kwargs))
            return Future.result(future, timeout)

        future.result = result  # type: ignore[method-assign]
        return future


def test_a_place_that_failed_once_is_tidied_up_after_the_tasks_under_way(tmp_path: Path) -> None:
    full = pp.full_at(tmp_path / "full", chunks=range(1))  # all others still fit
    Context([place(tmp_path / "good"), full], plugins=CHAIN).make(RUN, "peaks", executor=Late())

    assert nothing_but_notes(tmp_path / "full")
    assert [chunk["chunk_i"] for chunk in metadata_of(tmp_path / "good", "peaks")["chunks"]] == [
        *range(pp.N_CHUNKS)
    ]


def test_if_all_places_fail_elsewhere_that_is_the_error(
    spawned: ProcessPoolExecutor, tmp_path: Path
) -> None:
    places = [pp.full_at(tmp_path / name, chunks=range(3, 9)) for name in ("a", "b")]

    with pytest.raises(StorageFull, match="no space left") as caught:
        Context(places, plugins=[pp.Raw]).make(RUN, "raw", executor=spawned)
    assert "ENOSPC" in str(caught.value.__cause__)
    assert all(nothing_but_notes(tmp_path / name) for name in ("a", "b"))


def hurt(folder: Path, chunk_i: int, *, missing: bool) -> None:
    (path,) = folder.glob(f"{RUN}-raw-*/raw-*-{chunk_i:06d}*")
    if missing:
        path.unlink()
    else:
        path.write_bytes(bytes(reversed(path.read_bytes())))


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "corrupt"])
def test_an_input_is_read_from_the_next_copy(
    missing: bool,  # noqa: FBT001
    spawned: ProcessPoolExecutor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    places = [place(tmp_path / name) for name in ("a", "b")]
    ctx = Context(places, plugins=[pp.Raw, pp.Records])
    ctx.make(RUN, "raw")
    for name, chunk_i in (("a", 0), ("a", 3), ("b", 4)):
        hurt(tmp_path / name, chunk_i, missing=missing)
    with caplog.at_level(logging.WARNING, "strax_core"):
        ctx.make(RUN, "records", executor=spawned)
    context(tmp_path / "one", pp.Raw, pp.Records).make(RUN, "records")

    assert stored(tmp_path / "a", "records") == stored(tmp_path / "one", "records")
    assert is_made_elsewhere(tmp_path / "a", "records")
    assert [record.message.startswith("a could not load") for record in caplog.records] == [True]


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "corrupt"])
def test_an_input_that_no_copy_has_is_corrupt(
    missing: bool,  # noqa: FBT001
    spawned: ProcessPoolExecutor,
    tmp_path: Path,
) -> None:
    ctx = context(tmp_path, pp.Raw, pp.Records)
    ctx.make(RUN, "raw")
    hurt(tmp_path, 3, missing=missing)

    with pytest.raises(DataCorrupted, match=r"run run_1, raw, chunk 3"):
        ctx.make(RUN, "records", executor=spawned)
    assert not list(tmp_path.glob("*-records-*"))


def test_copies_of_two_makings_are_not_mixed(spawned: ProcessPoolExecutor, tmp_path: Path) -> None:
    for name in ("a", "b"):
        context(tmp_path / name, pp.Raw).make(RUN, "raw")
    hurt(tmp_path / "a", 3, missing=True)
    ctx = Context([place(tmp_path / name) for name in ("a", "b")], plugins=[pp.Raw, pp.Records])

    with pytest.raises(DataCorrupted, match="chunk 3"):
        ctx.make(RUN, "records", executor=spawned)


def test_a_class_that_nobody_else_can_import_is_named(
    spawned: ProcessPoolExecutor, tmp_path: Path
) -> None:
    class Local(pp.Records):
        provides = "records"

    with pytest.raises(ConfigError, match=r"data plugins Raw, Local .* top of a module"):
        context(tmp_path, pp.Raw, Local).make(RUN, "records", executor=spawned)
    assert nothing_but_notes(tmp_path)


def test_a_class_of_a_module_that_is_missing_elsewhere_is_named(
    spawned: ProcessPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "only_here", sys.modules[__name__])
    monkeypatch.setattr(OnlyHere, "__module__", "only_here")

    with pytest.raises(ConfigError, match=r"No module named 'only_here'.* be imported there"):
        context(tmp_path, OnlyHere).make(RUN, "raw", executor=spawned)
    assert nothing_but_notes(tmp_path)


class OnlyHere(pp.Raw):
    provides = "raw"


# Processes that die

STEPS = ["read", "compute", "encode", "write", "the end"]


@pytest.mark.parametrize("how", ["exit", "kill"])
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_dies_leaves_nothing_visible(
    how: str, step: str, mortal: ProcessPoolExecutor, tmp_path: Path
) -> None:
    with pytest.raises(StorageUnavailable, match=r"a worker died.*ask again") as caught:
        make_troubled(tmp_path, f"{how} in {step}", mortal)

    assert type(caught.value.__cause__).__name__ == "BrokenProcessPool"
    left = [path for path in everything(tmp_path) if path.startswith(".staging/")]
    # Of a file that was being written the death leaves what `clean` calls never finished.
    n_unfinished = sum(path.startswith(".staging/tmp-") for path in left)
    assert n_unfinished <= (2 if step == "write" else 1)
    assert sum("/failed-" in path for path in left) == len(left) - n_unfinished == 1
    assert not list(tmp_path.glob("*-records-*"))
    with pytest.raises(StorageUnavailable, match="give a new one"):
        make_troubled(tmp_path, "", mortal)
    with pool_of("fork") as second:
        make_troubled(tmp_path, "", second)
    assert is_made_elsewhere(tmp_path, "records")
    assert not [path for path in everything(tmp_path) if "/failed-" in path]


def test_the_other_workers_have_ended_before_what_they_wrote_is_removed(
    mortal: ProcessPoolExecutor, tmp_path: Path
) -> None:
    ctx = context(tmp_path / "data", pp.Raw, pp.Troubled)
    ctx.make(RUN, "raw")
    ctx.set_config({"trouble": "kill in another process", "folder": str(tmp_path)})

    with pytest.raises(StorageUnavailable, match="a worker died"):
        ctx.make(RUN, "records", executor=mortal)
    mortal.shutdown(wait=True)
    assert raw_only(tmp_path / "data")
    assert not list((tmp_path / "data").rglob("data"))


def test_a_source_that_dies_leaves_nothing_visible(
    mortal: ProcessPoolExecutor, tmp_path: Path
) -> None:
    ctx = context(tmp_path, pp.TroubledRaw, pp.Records)

    with pytest.raises(StorageUnavailable, match="a worker died"):
        ctx.make(RUN, "records", executor=mortal)
    assert not list(tmp_path.glob("run_1*"))


def test_a_worker_that_dies_ends_all_runs(mortal: ProcessPoolExecutor, tmp_path: Path) -> None:
    ctx = context(tmp_path, pp.Raw, pp.Troubled, config={"trouble": "kill in compute"})

    with pytest.raises(StorageUnavailable, match="a worker died"):
        ctx.make([f"run_{i}" for i in range(4)], "records", executor=mortal)
    assert not list(tmp_path.glob("run_*"))


PARENT = """
import sys
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
import signal
import process_plugins as pp
from strax_core import Context
if __name__ == "__main__":
    # A shell's background jobs begin with it ignored, and hand that down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = {"frontend": "local", "path": sys.argv[1], "fsync": False}
    config = {"trouble": "wait", "folder": sys.argv[2]}
    ctx = Context([place], plugins=[pp.Raw, pp.Troubled], config=config)
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=fork) as pool:
        ctx.make("run_1", "records", executor=pool)
"""


def begun(folder: Path, outside: Path) -> subprocess.Popen[bytes]:
    """Start another Python that makes data in processes; return it once a worker is in compute."""
    outside.mkdir()
    path = [str(Path(__file__).parent), *sys.path]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PARENT, str(folder), str(outside)],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stderr=subprocess.PIPE,
    )
    while not (outside / "reached").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_a_parent_that_is_killed_leaves_nothing_visible_and_clean_removes_the_rest(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    ctx = context(folder, pp.Raw, pp.Troubled)
    with begun(folder, tmp_path / "outside") as process:
        os.killpg(process.pid, signal.SIGKILL)

    assert not list(folder.glob("run_1*"))
    assert any(path.endswith("ticket.json") for path in everything(folder))
    with pytest.raises(DataNotAvailable):
        ctx.get_metadata(RUN, "records")
    later_s = -60  # as if a minute had passed
    assert ctx.clean("data", grace_s=later_s, dry_run=False)
    assert everything(folder) == []
    ctx.make(RUN, "records")


def test_ctrl_c_ends_the_tasks_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    context(folder, pp.Raw)
    with begun(folder, tmp_path / "outside") as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
        try:
            said = process.communicate(timeout=600)[1].decode()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise

    assert process.returncode not in (0, None)
    assert "KeyboardInterrupt" in said or "a worker died" in said
    assert nothing_but_notes(folder)


# Left half-way


def test_what_is_left_half_way_leaves_nothing(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    chunks = context(tmp_path, *CHAIN).get_iter(RUN, "peaks", executor=pool)
    assert next(chunks).start == 0
    chunks.close()

    assert everything(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    # What was still to do was waited for, so that nothing is written from now on.
    assert pool.submit(os.getpid).result() > 0
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_waiting_ends_what_is_under_way(
    spawned: ProcessPoolExecutor, tmp_path: Path
) -> None:
    inner, waited = [], []

    class Interrupted(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = spawned.submit(fn, *args, **kwargs)
            inner.append(future)
            if len(inner) == 3:  # the one that begins them, and two chunks
                result = future.result

                def interrupt(timeout: float | None = None) -> Any:
                    if not waited:
                        waited.append(timeout)
                        raise KeyboardInterrupt
                    return result(timeout)

                future.result = interrupt  # type: ignore[method-assign]
            return future

    with pytest.raises(KeyboardInterrupt):
        context(tmp_path, *CHAIN).make(RUN, "peaks", executor=Interrupted())
    assert all(future.done() for future in inner)
    assert list(tmp_path.iterdir()) == []


# What is given


def test_an_executor_that_was_shut_down_is_named(tmp_path: Path) -> None:
    with pool_of("spawn") as ended:
        pass
    with pytest.raises(ConfigError, match=r"ProcessPoolExecutor takes no tasks.*give a new one"):
        context(tmp_path, pp.Raw).make(RUN, "raw", executor=ended)


def test_processes_are_forked_before_a_thread_of_ours_runs(tmp_path: Path) -> None:
    names: list[list[str]] = []

    class Forking(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            names.append([thread.name for thread in threading.enumerate()])
            future = Future[Any]()
            future.set_result(fn(*args, **kwargs))
            return future

    for thread in threading.enumerate():
        if thread.name == "strax-delayed-calls":
            thread.join()  # of an earlier save; it ends by itself
    before = {thread.name for thread in threading.enumerate()}
    context(tmp_path, pp.Raw).make(RUN, "raw", executor=Forking())

    assert not any(name.startswith("strax") for name in {*names[0]} - before)
    assert any(name == "strax-delayed-calls" for name in {*names[1]} - before)


def test_the_places_are_told_of_what_was_written_elsewhere_as_by_one_writer(
    spawned: ProcessPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strax_core.saver.journal.SEGMENT_INTERVAL_S", 0.01)
    chunks = context(tmp_path, pp.Raw).get_iter(RUN, "raw", executor=spawned)
    for _ in range(3):
        next(chunks)
    noted: list[int] = []
    while len(noted) < 3:
        segments = sorted(tmp_path.glob(".staging/*/*/journal-*"))
        documents = [json.loads(path.read_bytes()) for path in segments]
        noted = [chunk["chunk_i"] for each in documents for chunk in each["chunks"]]
    chunks.close()

    assert noted == sorted(noted)
    assert len({path.name.split("-")[1] for path in segments}) == 1
