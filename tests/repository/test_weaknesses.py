"""Each weakness of strax that the document lists has a test here, and a cure that can be missed."""

import ast
from pathlib import Path

import pytest
from cures import DOCUMENT, ROOT, listed, marked_tests, marks
from removals import REMOVALS, Removal


def test_every_weakness_of_the_document_has_a_test_and_no_other() -> None:
    names = listed(DOCUMENT.read_text(encoding="utf-8"))

    assert names == sorted(set(names), key=lambda name: int(name[1:]))
    assert set(marked_tests()) == set(names)


def test_every_weakness_has_a_cure_that_can_be_taken_out() -> None:
    names = listed(DOCUMENT.read_text(encoding="utf-8"))

    assert {removal.weakness for removal in REMOVALS} == set(names)


@pytest.mark.parametrize(
    "removal", REMOVALS, ids=lambda removal: f"{removal.weakness}: {removal.what}"
)
def test_what_a_removal_takes_out_stands_there_once(removal: Removal) -> None:
    for file, old, new in removal.patches:
        text = (ROOT / file).read_text(encoding="utf-8")

        assert text.count(old) == 1, old
        ast.parse(text.replace(old, new))


def test_marks_are_found_in_the_text_of_tests(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_two.py").write_text(
        '@pytest.mark.weakness("W1")\n@pytest.mark.weakness("W2")\ndef test_a(): ...\n'
        "@pytest.mark.parametrize('x', [1])\ndef test_b(x): ...\n"
    )

    assert marked_tests(tmp_path) == {name: ["tests/test_two.py::test_a"] for name in ("W1", "W2")}
    assert listed("| W1 | a | b |\nsee W2 |\n| W33 | c | d |\n") == ["W1", "W33"]
    (function,) = ast.parse("@weakness('W1')\ndef test_c(): ...").body
    assert list(marks(function)) == []  # type: ignore[arg-type]
