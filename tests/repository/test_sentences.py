"""Docstrings begin with a noun or a verb, and few modules are called after what they are doing."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("*/src"), *ROOT.glob("plugins/*/src"), *ROOT.glob("examples/*/src")]
FILES = sorted(path for source in [*SOURCES, ROOT / "tools"] for path in source.rglob("*.py"))
NO_BEGINNING = {"what", "which", "who", "where", "how", "whether", "when", "why"}
GERUNDS_MAX = 0.05
GERUNDS = {  # each is the field's own word, or says what it brings
    "compiling",  # of kernels
    "choosing",  # of filters
    "decoding",
    "encoding",
    "renaming",  # the saver that renames
    "testing",
    "tracing",
    "upstream_warning",  # a noun
}


def documented(body: list[ast.stmt], name: str) -> Iterator[tuple[str, str]]:
    """Yield the public docstrings below a class or module, and texts of attributes, by name."""
    before: ast.stmt | None = None
    for node in body:
        match node:
            case ast.FunctionDef(name=own) | ast.ClassDef(name=own) if not own.startswith("_"):
                yield f"{name}.{own}", ast.get_docstring(node) or ""
                if isinstance(node, ast.ClassDef):
                    yield from documented(node.body, f"{name}.{own}")
        match before, node:
            case (
                ast.AnnAssign(target=ast.Name(id=attribute))
                | ast.Assign(targets=[ast.Name(id=attribute)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ) if not attribute.startswith("_"):
                yield f"{name}.{attribute}", text
        before = node


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_begin_with_a_noun_or_a_verb(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {path.stem: ast.get_docstring(tree) or "", **dict(documented(tree.body, path.stem))}
    found = [
        f"{name}: {text.splitlines()[0]}"
        for name, text in texts.items()
        if text and text.split()[0].strip("`*,.").lower() in NO_BEGINNING
    ]

    assert found == []


def test_few_modules_of_core_are_called_after_what_they_are_doing() -> None:
    modules = {path.stem for path in FILES if "strax_core/src" in str(path)} - {"__init__"}
    gerunds = {name for name in modules if name.endswith("ing")}

    assert gerunds <= GERUNDS
    assert len(gerunds) / len(modules) <= GERUNDS_MAX
