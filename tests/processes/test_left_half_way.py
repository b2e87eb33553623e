"""A request that is left, fails or is interrupted leaves no thread, no file handle and no data."""

import gc
import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import strax_core

ROW = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])
N_CHUNKS = 50
PATIENCE_S = 600


class Raw(strax_core.Plugin):
    dtype = ROW
    rechunk_on_save = False
    closed: list[str] = []  # noqa: RUF012 - emptied by the fixture

    def chunks(self) -> Iterator[strax_core.Chunk]:
        try:
            for i in range(N_CHUNKS):
                rows = np.zeros(1000, ROW)
                rows["time"], rows["endtime"], rows["x"] = i * 10, i * 10 + 5, i
                yield self.chunk(start=i * 10, end=i * 10 + 10, data=rows)
        finally:
            self.closed.append(self.run_id)


class Peaks(strax_core.Plugin):
    depends_on = "raw"
    dtype = ROW
    error: BaseException | None = None

    def compute(self, raw: np.ndarray) -> np.ndarray:
        if self.error is not None and raw["x"][0] == N_CHUNKS // 2:
            raise self.error
        return raw


def context(folder: Path, *data_plugins: type[strax_core.Plugin]) -> strax_core.Context:
    place = {"frontend": "local", "path": str(folder), "fsync": False}
    return strax_core.Context([place], plugins=data_plugins or [Raw, Peaks])


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def n_handles() -> int:
    """Return how many file handles this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def threads_but_delayed_calls() -> set[threading.Thread]:
    """Return those that run, but for the one that ends by itself a second after a save."""
    return {each for each in threading.enumerate() if each.name != "strax-delayed-calls"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    Raw.closed.clear()
    gc.collect()  # what earlier tests left open
    threads, n_before = threads_but_delayed_calls(), n_handles()
    yield tmp_path / "data"
    assert threads_but_delayed_calls() <= threads
    assert n_handles() <= n_before


@pytest.mark.parametrize("stored", [(), ("raw",), ("raw", "peaks")])
@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize("n_taken", [0, 1, 30])
def test_an_iterator_that_is_closed_half_way_leaves_nothing(
    folder: Path,
    n_taken: int,
    stored: tuple[str, ...],
    progress: bool,  # noqa: FBT001
) -> None:
    for data_type in stored:
        context(folder).make("7", data_type)
    Raw.closed.clear()
    before = left_in(folder)
    chunks = context(folder).get_iter("7", "peaks", progress=progress)
    for _ in range(n_taken):
        next(chunks, None)
    chunks.close()

    assert left_in(folder) == before
    assert Raw.closed == (["7"] if n_taken and not stored else [])


@pytest.mark.parametrize("error", [ValueError("my own"), KeyboardInterrupt()])
def test_a_consumer_that_fails_leaves_nothing(folder: Path, error: BaseException) -> None:
    def consume() -> None:
        for i, _ in enumerate(context(folder).get_iter("7", "peaks", progress=True)):
            if i == 3:
                raise error

    with pytest.raises(type(error)):
        consume()
    error.__traceback__ = None  # it holds the frame, and so the iterator
    gc.collect()

    assert left_in(folder) == []
    assert Raw.closed == ["7"]


@pytest.mark.parametrize("ask", ["get_iter", "get_array", "make"])
@pytest.mark.parametrize("run_id", ["7", ["7", "8", "9"]])
@pytest.mark.parametrize("error", [ZeroDivisionError("on fire"), KeyboardInterrupt()])
def test_compute_that_fails_leaves_a_note_at_most(
    folder: Path, ask: str, run_id: Any, error: BaseException
) -> None:
    failing = type("Peaks", (Peaks,), {"error": error})
    with pytest.raises(type(error)):
        for _ in getattr(context(folder, Raw, failing), ask)(run_id, "peaks") or ():
            pass

    notes = left_in(folder)
    if isinstance(error, ZeroDivisionError):
        assert notes  # of those that failed, not of those given up for their sake
        assert all("on fire" in (folder / name).read_text() for name in notes)
    else:
        assert notes == []
    assert all("/failed-" in name for name in notes)
    assert "7" in Raw.closed


SCRIPT = """
    import json, signal, sys, threading, time, warnings

    # A shell's background jobs begin with it ignored, and hand that down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import strax_core
    from test_left_half_way import Peaks, Raw, context, n_handles

    warnings.simplefilter("ignore")
    how, folder = sys.argv[1], Path(sys.argv[2])
    strax_core.Context([], plugins=[Raw]).get_array("0", "raw")  # whatever is loaded only once
    n_before = n_handles()
    forever = threading.Event()

    def say_ready():
        print("ready", flush=True)

    class Told(Peaks):
        __version__ = "1"
        provides = "peaks"
        def compute(self, raw):
            if how in ("compute", "uncaught") and raw["x"][0] == 7:
                say_ready()
                forever.wait()
            if how == "anywhere":
                say_ready()
            return raw

    ctx = context(folder, Raw, Told)

    def ask():
        if how in ("consumer", "uncaught consumer"):
            for i, chunk in enumerate(ctx.get_iter("7", "peaks")):
                if i == 7:
                    say_ready()
                    forever.wait()
        elif how == "runs":
            say_ready()
            while True:
                ctx.get_array(["7", "8", "9"], "peaks")
                for run in "789":
                    for name in ("raw", "peaks"):
                        ctx.remove(run, name, from_=ctx.storage[0].name)
        else:
            for _ in iter(int, 1):
                ctx.get_array("7", "peaks")
                for name in ("raw", "peaks"):
                    ctx.remove("7", name, from_=ctx.storage[0].name)

    if how.startswith("uncaught"):
        ask()
    try:
        ask()
    except KeyboardInterrupt:
        pass
    # One that was being started when the signal came is about to end, and nobody's to wait for. If
    # the signal came just before the system heard of it, Python lists it for ever: it never runs.
    give_up = time.monotonic() + 60
    others = {{*threading.enumerate()}} - {{threading.main_thread()}}
    for thread in others:
        while thread in threading.enumerate() and time.monotonic() < give_up:
            try:
                thread.join()
            except RuntimeError:  # not even started
                time.sleep(0.001)
    left = [each for each in threading.enumerate() if each is not threading.main_thread()]
    print(json.dumps({{
        "threads": [each.name for each in left if each.ident is not None],
        "handles": n_handles() - n_before,
    }}), flush=True)
"""


def interrupted(folder: Path, how: str, *, after: int = 1) -> tuple[int, str, str]:
    """Return exit code and output of a process that gets a SIGINT after so many lines."""
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", script, how, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(after):
            line = process.stdout.readline()
            assert line == "ready\n", line + process.communicate()[1]
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # it tells where it hangs
            pytest.fail(process.communicate()[1], pytrace=False)
    return process.returncode, out[out.find("{") :], err


def is_clean_or_whole(folder: Path) -> bool:
    """Say whether nothing is staged; what was committed before is whole."""
    names = left_in(folder)
    for name in {name.split("/")[0] for name in names}:
        assert name != ".staging", names
        assert name.count("-") == 2
        metadata = json.loads(
            (folder / name / f"{name.split('-', 1)[1]}-metadata.json").read_text()
        )
        assert "writing_ended" in metadata
    return True


@pytest.mark.parametrize("how", ["consumer", "compute"])
def test_ctrl_c_leaves_nothing(folder: Path, how: str) -> None:
    code, out, err = interrupted(folder, how)

    assert (code, err) == (0, "")
    assert json.loads(out) == {"threads": [], "handles": 0}
    assert left_in(folder) == []


@pytest.mark.parametrize("how", ["uncaught", "uncaught consumer"])
def test_ctrl_c_that_nobody_catches_leaves_nothing(folder: Path, how: str) -> None:
    code, _, err = interrupted(folder, how)

    assert code in (-signal.SIGINT, 130)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in err
    assert left_in(folder) == []


@pytest.mark.parametrize(
    ("how", "after"), [("anywhere", n) for n in (1, 20, 50, 51, 120)] + [("runs", 1)]
)
def test_ctrl_c_at_any_time_leaves_nothing_half_done(folder: Path, how: str, after: int) -> None:
    code, out, err = interrupted(folder, how, after=after)

    assert (code, err) == (0, "")
    assert json.loads(out) == {"threads": [], "handles": 0}
    assert is_clean_or_whole(folder)
