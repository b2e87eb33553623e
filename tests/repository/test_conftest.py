"""In one process and in several: skips and what is left open fail, and what is random is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[2] / "conftest.py"
GOOD = "def test_good(): pass\n"
SKIPPED = 'import pytest\n@pytest.mark.skip(reason="no server")\ndef test_it(): pass\n'
ALL_SKIPPED = 'import pytest\npytest.skip("no server", allow_module_level=True)\n'
LEAVES_OPEN = "def test_it():\n    left = [open(__file__)]\n    left.append(left)\n"
MANY = "def test_1(): pass\ndef test_2(): pass\n"
LONG = "import pytest\n@pytest.mark.long\ndef test_it(): pass\n"
SEED = "def test_it(seed): assert seed == {}\n"
DRAWS = """
from hypothesis import given, strategies
@given(strategies.integers(0, 10**9))
def test_it(number): print("drawn", number)
"""
in_any_way = pytest.mark.parametrize("n_processes", [0, 2])


def run_tests(folder: Path, n_processes: int, *options: str, **files: str) -> tuple[int, str]:
    """Run files of tests, with ours beside a good one; return the exit code and what was said."""
    ours = CONFTEST.read_text(encoding="utf-8")
    assert ours.count("pytest_plugins = [") == 1
    # The fixtures import what takes seconds.
    files = {"conftest": ours.replace("pytest_plugins = [", "_ = ["), "test_good": GOOD, **files}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-n", str(n_processes), *options]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # they take seconds, too
    )
    return done.returncode, done.stdout


@in_any_way
def test_skips_are_counted_and_fail_the_session(tmp_path: Path, n_processes: int) -> None:
    files = {"test_one": SKIPPED, "test_file": ALL_SKIPPED}
    code, said = run_tests(tmp_path, n_processes, **files)

    assert code == pytest.ExitCode.TESTS_FAILED
    assert "tests run: 1, skipped: 2\nFAILED: tests were skipped" in said


def test_skips_may_be_allowed(tmp_path: Path) -> None:
    code, said = run_tests(tmp_path, 0, "--allow-skips", test_one=SKIPPED)

    assert code == pytest.ExitCode.OK
    assert "tests run: 1, skipped: 1\n" in said


@in_any_way
def test_what_is_left_open_to_the_end_fails_the_session(tmp_path: Path, n_processes: int) -> None:
    code, said = run_tests(tmp_path, n_processes, test_last=LEAVES_OPEN)

    assert code == pytest.ExitCode.TESTS_FAILED
    assert "test_last.py" in said
    assert "unclosed file" in said or "Exception ignored in: <_io" in said


def test_side_by_side_the_long_ones_come_first_then_those_with_many_tests(tmp_path: Path) -> None:
    options = ("-v", "--dist", "loadscope", "--no-loadscope-reorder", "-o", "markers=long")
    code, said = run_tests(tmp_path, 1, *options, test_last=LONG, test_many=MANY)

    assert code == pytest.ExitCode.OK
    done = re.findall(r"PASSED (test_\w+)\.py", said)
    assert list(dict.fromkeys(done)) == ["test_last", "test_many", "test_good"]


@in_any_way
def test_the_seed_is_nought_unless_another_is_given_and_then_it_is_told(
    tmp_path: Path, n_processes: int
) -> None:
    assert run_tests(tmp_path, n_processes, test_one=SEED.format(0))[0] == pytest.ExitCode.OK
    code, said = run_tests(tmp_path, n_processes, "--seed", "77", test_one=SEED.format(77))

    assert code == pytest.ExitCode.OK
    assert "seed: 77\n" in said


@pytest.mark.parametrize("options", [(), ("--hypothesis-profile", "nightly")])
def test_the_examples_are_the_same_each_time_but_not_at_night(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    drawn = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        plugin = ("-p", "hypothesispytest") if options else ()
        code, said = run_tests(tmp_path / name, 0, "-s", *plugin, *options, test_one=DRAWS)
        assert code == pytest.ExitCode.OK, said
        drawn.append(re.findall(r"drawn (\d+)", said))

    assert len(drawn[0]) == len(drawn[1]) == (1000 if options else 100)
    assert (drawn[0] == drawn[1]) == (not options)
