"""The script that mutates the code changes what it should, and what it names is there."""

import ast
import subprocess
import sys

import pytest
from mutants import mutants_of
from mutation import ALIVE, GROUPS, KILLED, ROOT, TIMED_OUT, Trial, drawn, files_of, table

LEFT_ALONE = '''
"""A docstring."""
import os
__all__ = ["left", "alone"]
def left(alone: "Text" = None) -> "Text":
    """Another docstring."""
    _LOG.warning("%s", 1 + 1)
    raise ValueError("text", 1, f"{alone}")
class Alone:
    def __repr__(self):
        return "<Alone>"
'''


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = (a) is not (b)", {"x = (a) is (b)"}),
        ("x = a not in b", {"x = a in b"}),
        ("x = 'é' == b", {"x = 'é' != b", "x = 'éXX' == b"}),
        ("x = a and b", {"x = a or b"}),
        ("x = not a", {"x = (a)"}),
        ("x = a + b * c", {"x = a - b * c", "x = a + b // c"}),
        ("x = True", {"x = False"}),
        ("x = 5", {"x = 6", "x = 4"}),
        ("x = 'a text for people'", set()),
        ("x = f'{a}/{b}'", {'x = "mutated"'}),
        ("x = a if b else c", {"x = c if b else a"}),
        ("x.y = a", {"pass"}),
        ("x[a] += b", {"pass", "x[a] = b"}),
        ("act()", {"pass"}),
        ("if a: act()", {"if not (a): act()", "if a: pass"}),
        ("raise E(a) from b", {"pass", "raise RuntimeError(a) from b", "raise E(a) from None"}),
        ("x = {e.A: a}", {"x = {None: a}"}),
        ("x = [a for a in b if c]", {"x = [a for a in b if True]"}),
    ],
)
def test_a_line_has_these_mutants(line: str, mutated: set[str]) -> None:
    assert {mutant.text for mutant in mutants_of(line)} == mutated


def test_an_error_that_is_caught_is_not_caught() -> None:
    text = "try:\n    act()\nexcept (A, B):\n    pass\nexcept BaseException:\n    raise\n"
    kinds = {
        ast.unparse(handler.type)
        for mutant in mutants_of(text)
        for statement in ast.parse(mutant.text).body
        if isinstance(statement, ast.Try)
        for handler in statement.handlers
        if handler.type is not None
    }

    never = "ZeroDivisionError"
    assert kinds == {"(A, B)", f"({never}, B)", f"(A, {never})", "BaseException", "Exception"}


def test_texts_for_people_and_annotations_are_left_alone() -> None:
    mutants = [mutant for mutant in mutants_of(LEFT_ALONE) if "raise ValueError" in mutant.text]

    assert {(mutant.line, mutant.what) for mutant in mutants} == set()
    assert {mutant.what for mutant in mutants_of(LEFT_ALONE)} == {
        "statement removed",
        "another error",
    }


def test_what_the_script_names_is_there() -> None:
    for group in GROUPS:
        assert files_of(group, [])
        named = (*group.first, *group.then)
        tests = [test for test in named if not test.startswith("--deselect=")]
        assert [test for test in tests if not (ROOT / test).is_file()] == []
        for test in set(named) - set(tests):
            path, _, name = test.removeprefix("--deselect=").partition("::")
            assert f"class {name.partition('::')[0]}" in (ROOT / path).read_text(encoding="utf-8")


def test_a_seed_draws_the_same_mutants_again_and_as_many_of_each_group() -> None:
    first, again, other = (drawn([], limit=99, seed=seed) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert [sum(trial.group is group for trial in first) for group in GROUPS] == [33, 33, 33]
    assert {trial.file for trial in drawn(["saver.py"], limit=5, seed=1)} == {
        "strax_core/src/strax_core/saver/saver.py"
    }


@pytest.mark.parametrize(("alive", "passed"), [(14, True), (15, False)])
def test_too_many_that_live_are_a_failure(*, alive: int, passed: bool) -> None:
    (trial, *_) = drawn(["saver.py"], limit=1, seed=1)
    outcomes = [ALIVE] * alive + [TIMED_OUT] * 5 + [KILLED] * (95 - alive)
    trials = [
        Trial(trial.group, trial.file, trial.before, trial.mutant, outcome) for outcome in outcomes
    ]
    figures, is_passed = table(trials)

    assert is_passed is passed
    assert figures.splitlines()[-1].split() == [
        "=",
        "all",
        "100",
        str(95 - alive),
        "5",
        f"{alive}.0",
    ]


def test_the_script_shows_its_mutants_and_touches_no_file() -> None:
    command = [
        sys.executable,
        str(ROOT / "tools" / "mutation" / "mutation.py"),
        "--list",
        "--limit",
        "3",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert shown.count("\n@@ ") == 3
