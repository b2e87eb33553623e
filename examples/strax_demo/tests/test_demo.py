"""The demo runs, says what it measured, and stops if one of its claims does not hold."""

import importlib.util
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strax_core import ConfigError, Context, StorageError
from strax_demo import exchange, requests, simulation
from strax_demo.folder import MARK, prepare_folder
from strax_demo.watching import Progress, watched

SIZE_MB = 2.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """Run the demo once, as a user does."""
    folder = tmp_path_factory.mktemp("demo")
    command = [shutil.which("strax", path=Path(sys.executable).parent) or "strax", "demo"]
    command += ["--size", f"{SIZE_MB:g}", "--upstream", "required", "--folder", str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return prepare_folder(tmp_path / "demo", size_mb=0.2)


@pytest.fixture
def context(config: Path) -> Context:
    return Context.from_config("demo", path=config)


def test_the_demo_runs_to_its_end(finished: tuple[Path, Any]) -> None:
    _, done = finished

    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("   ... ")] == []
    assert done.stdout.splitlines()[-3].endswith("every claim above was checked.")


@pytest.mark.parametrize(
    "line",
    [
        r"   records +\d+ +[\d,]+ +[\d.]+ MB +[\d.]+ MB +[\d.]+",
        r"   [\d.]+ s for [\d.]+ MB: [\d,]+ MB/s",
        r"   Made: nothing\. \d+ events loaded.*",
        r"   [\d.]+ s instead of [\d.]+ s: [\d,]+ times as fast",
        r"   records +(\w{10}) +\1 +found",
        r"   peaks +(\w{10}) +\1 +found",
        r"   events +(\w{10}) +(?!\1)\w{10} +made",
        r"   run_7 +(\w{10}) +(?!\1)\w{10} .* made peaks and events",
        r"   run_8 +(\w{10}) +\1 .* made nothing",
        r"   run_9 +peaks .* found in shared +same bytes",
        r"   run_10 +records .* loaded by strax +same bytes",
        r"     run_10 +events +\w{10} +complete .* zstd",
    ],
)
def test_the_demo_says(line: str, finished: tuple[Path, Any]) -> None:
    assert re.search(f"^{line}$", finished[1].stdout, re.MULTILINE), finished[1].stdout


def test_the_demo_is_about_as_large_as_asked(finished: tuple[Path, Any]) -> None:
    folder = finished[0] / "data"
    (path,) = folder.glob("run_1-records-*/*-metadata.json")
    n = sum(int(found) for found in re.findall(r'"nbytes": (\d+)', path.read_text()))

    assert n == pytest.approx(SIZE_MB * 1e6, rel=0.15)


def test_an_earlier_demo_is_removed_first(config: Path) -> None:
    (config.parent / "data").mkdir()
    (config.parent / "data" / "old").touch()
    (config.parent / "__pycache__").mkdir()  # Python makes it beside the data plugins for strax
    prepare_folder(config.parent, size_mb=1)

    assert [path.name for path in config.parent.iterdir()] == ["strax.toml"]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"thesis\.tex"):
        prepare_folder(tmp_path, size_mb=1)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_with_names_like_ours_is_left_alone_without_our_mark(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "strax.toml").write_text("[storage.mine]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not of an earlier demo"):
        prepare_folder(tmp_path, size_mb=1)

    assert not (tmp_path / "strax.toml").read_text(encoding="utf-8").startswith(MARK)


def test_the_demo_stops_if_the_second_request_makes_something(context: Context) -> None:
    first = requests.make_first(context)
    for place in context.storage:
        place.remove(context.key_for(requests.RUN, "events"))

    with pytest.raises(StorageError, match="the second request makes nothing"):
        requests.load_again(context, first)


def test_what_was_made_and_kept_is_measured(context: Context) -> None:
    with watched(context) as seen:
        context.make("run_1", "peaks")
    with watched(context) as seen_again:
        context.make("run_1", "peaks")

    assert seen.made_types == ["records", "peaks"]
    assert {piece.data_type for piece in seen.kept} == {"records", "peaks"}
    assert (seen_again.made, seen_again.kept) == ({}, [])


def test_without_strax_its_step_is_left_out_or_fails_if_it_is_required(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert exchange.exchange_with_strax(config, is_required=False) is False
    assert "pip install strax" in capsys.readouterr().out
    with pytest.raises(StorageError, match="pip install strax"):
        exchange.exchange_with_strax(config, is_required=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_live_line_on_a_terminal_and_is_wiped_at_the_end(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strax_demo.watching.LIVE_INTERVAL_S", 0.001)
    terminal = Terminal()
    with Progress(context, stream=terminal):
        context.make("run_1", "peaks")

    assert "at work" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_is_plain_lines_elsewhere(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strax_demo.watching.PLAIN_INTERVAL_S", 0.001)
    stream = io.StringIO()
    with Progress(context, stream=stream):
        context.make("run_1", "peaks")

    lines = stream.getvalue().splitlines()
    assert lines
    assert all(line.startswith("   ... ") for line in lines)
    assert "\x1b" not in stream.getvalue()


def test_the_simulation_gives_the_same_rows_for_the_same_chunk() -> None:
    first = simulation.simulate_records("run_1", 0, 5)

    assert np.array_equal(first, simulation.simulate_records("run_1", 0, 5))
    assert not np.array_equal(first[:9], simulation.simulate_records("run_2", 0, 5)[:9])


def test_every_simulated_event_is_found_as_two_peaks() -> None:
    records = simulation.simulate_records("run_1", 3, 100)
    events = simulation.build_events(
        simulation.find_peaks(records, gain=320.0, gap_ns=1000), elife_us=650.0
    )

    assert len(events) == 100
    assert set(events["n_peaks"]) == {2}
    assert np.mean(events["energy_kev"]) == pytest.approx(simulation.LINE_KEV, rel=0.05)


def test_no_rows_give_no_rows() -> None:
    no_records = np.zeros(0, dtype=simulation.RECORD)
    no_peaks = simulation.find_peaks(no_records, gain=1.0, gap_ns=1)

    assert (len(no_peaks), no_peaks.dtype) == (0, simulation.PEAK)
    assert len(simulation.build_events(no_peaks, elife_us=1.0)) == 0
