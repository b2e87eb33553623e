"""The README's commands and examples do what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
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
    (programs / "nox").write_text('#!/bin/sh\necho "ASKED nox $*"\n[ ! -e "fail-$2" ]\n')
    (programs / "nox").chmod(0o755)
    test_line = 'echo "ASKED line"; echo "== 3 passed in 0.1s =="; exit $(cat status)'
    readme = README.replace(lines_under("Run the tests")[0], test_line)
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    (tmp_path / "status").write_text("0")
    return tmp_path


def run_checks(checkout: Path) -> tuple[bool, list[str]]:
    """Run `.ci/run`; return whether it passed, and what it asked for."""
    command = ["bash", str(checkout / ".ci" / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    return done.returncode == 0, [line for line in lines if line.startswith("ASKED")]


def test_ci_runs_the_test_line_of_the_readme_and_then_the_rest(checkout: Path) -> None:
    passed, asked = run_checks(checkout)

    assert passed
    assert asked[0] == "ASKED line"
    assert {word for line in asked for word in line.split()} >= {"lint", "types", "layers", "demo"}


def test_ci_fails_if_the_tests_fail(checkout: Path) -> None:
    (checkout / "status").write_text("1")

    assert run_checks(checkout) == (False, ["ASKED line"])


@pytest.mark.parametrize("session", ["lint", "demo"])
def test_ci_fails_if_another_part_fails(checkout: Path, session: str) -> None:
    (checkout / f"fail-{session}").touch()

    assert not run_checks(checkout)[0]


def test_the_examples_of_the_readme_print_what_it_says(tmp_path: Path) -> None:
    examples = list(EXAMPLE.finditer(README))

    assert examples, "README.md has no block marked <!-- example -->"
    for example in examples:
        command = [sys.executable, "-c", example["code"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stdout.rstrip() == example["output"].rstrip(), done.stderr
