"""Takes each cure of a weakness out of a copy of the code, and looks whether its tests notice.

``python tools/cures/cures.py`` tries all, ``python tools/cures/cures.py W1 W3`` only some. It takes
minutes. The copy is made in a temporary folder. The end is 1 if a test passes without its cure.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from removals import REMOVALS, Removal

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "coming-from-strax.md"
TESTS = ("strax_core/tests", "plugins/*/tests", "examples/*/tests", "tests", "tools")
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.nbc", "*.nbi")
TIMEOUT_S = 300


def listed(document: str) -> list[str]:
    """Return the weaknesses in the table of a document."""
    return re.findall(r"^\| (W\d+) \|", document, re.MULTILINE)


def marked_tests(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the tests that are marked with each weakness, as pytest names them."""
    found: dict[str, list[str]] = {}
    for folder in TESTS:
        for path in sorted(
            path for tests in root.glob(folder) for path in tests.rglob("test_*.py")
        ):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for function in tree.body:
                if isinstance(function, ast.FunctionDef):
                    for weakness in marks(function):
                        test = f"{path.relative_to(root)}::{function.name}"
                        found.setdefault(weakness, []).append(test)
    return found


def marks(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the weaknesses that a test is marked with."""
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(
                func=ast.Attribute(attr="weakness"), args=[ast.Constant(value=str(name))]
            ):
                yield name


def run_tests(root: Path, tests: list[str]) -> tuple[int, str]:
    """Run tests of a copy; return pytest's answer and what it says of the first failure."""
    sources = [
        root / "strax_core" / "src",
        *sorted(root.glob("plugins/*/src")),
        *sorted(root.glob("examples/*/src")),
    ]
    environment = {
        **os.environ,
        # Before everything that is installed, which may be the original.
        "PYTHONPATH": os.pathsep.join(str(path) for path in sources),
        "COLUMNS": "400",  # so that pytest says why a test failed
        "PYTHONDONTWRITEBYTECODE": "1",  # or an older second's bytecode may stand for the code
    }
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*pytest, *tests],
            check=False,
            capture_output=True,
            text=True,
            cwd=root,
            env=environment,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end within {TIMEOUT_S} s"
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+::.*)$", done.stdout, re.MULTILINE)
    return done.returncode, failed[0] if failed else done.stdout.strip()[-300:]


def without(root: Path, removal: Removal) -> dict[Path, str]:
    """Take a cure out of a copy; return what stood in the files."""
    before: dict[Path, str] = {}
    for file, old, new in removal.patches:
        text = (root / file).read_text(encoding="utf-8")
        before.setdefault(root / file, text)
        if text.count(old) != 1:
            raise SystemExit(f"{file} holds {text.count(old)} times, not once:\n{old}")
        (root / file).write_text(text.replace(old, new), encoding="utf-8")
    return before


def try_one(root: Path, removal: Removal, tests: list[str]) -> bool:
    """Say whether the tests notice that a cure is missing."""
    before = without(root, removal)
    code, said = run_tests(root, tests)
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")
    verdict = {0: "SURVIVED", 1: "noticed"}.get(code, "NOT RUN")
    sys.stdout.write(f"{removal.weakness:4} {verdict:9} {removal.what}\n{'':15}{said:.300}\n")
    sys.stdout.flush()
    return code == 1


def main(asked: list[str]) -> int:
    """Try all cures, or those of the weaknesses that were asked for."""
    tests = marked_tests()
    if unknown := set(asked) - set(tests):
        raise SystemExit(f"no test is marked with {', '.join(sorted(unknown))}")
    wanted = asked or list(tests)
    removals = [removal for removal in REMOVALS if removal.weakness in wanted]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "copy"
        shutil.copytree(ROOT, root, ignore=LEFT_OUT)
        code, said = run_tests(root, [test for name in wanted for test in tests[name]])
        if code:
            raise SystemExit(f"the tests fail with all cures in place: {said}")
        noticed = [try_one(root, removal, tests[removal.weakness]) for removal in removals]
    sys.stdout.write(f"{sum(noticed)} of {len(noticed)} missing cures were noticed\n")
    return 0 if all(noticed) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
