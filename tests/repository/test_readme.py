"""The README's commands and examples do what it says."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"<!-- example -->\s*```python\n(?P<code>.*?)```\s+```text\n(?P<output>.*?)```", re.DOTALL
)


def lines_under(heading: str) -> list[str]:
    """Return the lines of the first fenced block under this heading."""
    block = re.search(rf"^#+ {heading}$.*?^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return block.group(1).splitlines() if block else []


@pytest.mark.parametrize(
    ("heading", "session"), [("Run the demo", "demo"), ("Run the tests", "tests")]
)
def test_each_readme_command_is_one_line_that_does_its_set_up(heading: str, session: str) -> None:
    lines = lines_under(heading)

    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && ")
    assert lines[0].endswith(f" -s {session}")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a folder with the real `.ci/run`, and commands that only say what they were asked."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    says = 'echo "ASKED nox $*"; echo "== 2 passed in 9.87s (0:01:02) =="'
    (programs / "nox").write_text(f'#!/bin/sh\n{says}\n[ ! -e "fail-$2" ]\n')
    (programs / "nox").chmod(0o755)
    servers = tmp_path / "tests" / "servers"
    servers.mkdir(parents=True)
    install = 'echo "ASKED install"; [ ! -e fail-install ]\n'
    (servers / "install-debian.sh").write_text(install)
    test_line = 'echo "ASKED line"; echo "== 3 passed in 0.1s =="; exit $(cat status)'
    readme = README.replace(lines_under("Run the tests")[0], test_line)
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    (tmp_path / "status").write_text("0")
    return tmp_path


@dataclass(frozen=True)
class Checks:
    """How `.ci/run` ended, what it asked for, the table of seconds, and its last lines."""

    passed: bool
    asked: list[str]
    timed: list[str]
    end: list[str]


def run_checks(checkout: Path) -> Checks:
    command = ["bash", str(checkout / ".ci" / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    asked = [line.removeprefix("ASKED ") for line in lines if line.startswith("ASKED")]
    timed = [found[1] for line in lines if (found := re.fullmatch(r" +\d+  (\w.*)", line))]
    return Checks(done.returncode == 0, asked, timed, [*done.stderr.splitlines(), *lines[-3:]])


def test_ci_runs_the_test_line_of_the_readme_and_then_the_rest(checkout: Path) -> None:
    checks = run_checks(checkout)

    assert checks.passed
    assert checks.asked[:2] == ["line", "install"]
    assert sorted(checks.asked[2:]) == [
        "nox -s demo -- --size 60",
        "nox -s layers",
        "nox -s lint",
        "nox -s servers",
        "nox -s types",
        "nox -s wheels",
    ]
    assert checks.timed == [
        *("tests", "install of servers", "lint", "types", "layers", "wheels", "demo"),
        *("servers, beside lint to demo", "all together"),
    ]
    assert checks.end == [
        "all passed; the tests, and those with servers, ended with:",
        "== 3 passed in 0.1s ==",
        "== 2 passed in 9.87s (0:01:02) ==",
    ]


def test_ci_ends_if_the_tests_fail(checkout: Path) -> None:
    (checkout / "status").write_text("1")
    checks = run_checks(checkout)

    assert (checks.passed, checks.asked) == (False, ["line"])
    assert checks.timed == ["tests, failed", "all together"]


@pytest.mark.parametrize(
    "part", ["install", "servers", "lint", "types", "layers", "demo", "wheels"]
)
def test_ci_fails_if_another_part_fails(checkout: Path, part: str) -> None:
    (checkout / f"fail-{part}").touch()
    checks = run_checks(checkout)

    assert not checks.passed
    assert not any("all passed" in line for line in checks.end)
    (told,) = [name for name in checks.timed if name.endswith(", failed")]
    assert part in told


def test_ci_names_all_parts_beside_each_other_that_failed(checkout: Path) -> None:
    for part in ("lint", "wheels"):
        (checkout / f"fail-{part}").touch()

    assert run_checks(checkout).end[:2] == ["FAILED: lint", "FAILED: wheels"]


def test_the_examples_of_the_readme_print_what_it_says(tmp_path: Path) -> None:
    examples = list(EXAMPLE.finditer(README))

    assert examples, "README.md has no block marked <!-- example -->"
    for example in examples:
        command = [sys.executable, "-c", example["code"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stdout.rstrip() == example["output"].rstrip(), done.stderr
