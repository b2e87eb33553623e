"""All mutants of a Python file: each one small change that a test should notice.

Left alone are docstrings, annotations, texts for people (what is raised or logged, and every string
with a blank in it) and `__repr__`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
NEVER_RAISED = "ZeroDivisionError"


@dataclass(frozen=True)
class Mutant:
    """One change of a file: what is done, in which line, and the text of the whole file then."""

    what: str
    line: int
    text: str


def mutants_of(text: str) -> list[Mutant]:
    """Return every mutant of a file, in the order of its lines."""
    return sorted(_Points(text).all(), key=lambda mutant: mutant.line)


class _Points:
    def __init__(self, text: str) -> None:
        self._source = text.encode()
        self._tree = ast.parse(text)
        lines = self._source.splitlines(keepends=True)
        self._starts = [0, *accumulate(map(len, lines))]  # ast counts columns in bytes

    def all(self) -> Iterator[Mutant]:
        return self._inside(self._tree)

    def _inside(self, node: ast.AST) -> Iterator[Mutant]:
        for child in _to_mutate(node):
            yield from self._of(child)
            yield from self._inside(child)

    def _of(self, node: ast.AST) -> Iterator[Mutant]:
        """Find what the node itself can be changed to."""
        match node:
            case ast.expr():
                yield from self._of_expression(node)
            case ast.stmt():
                yield from self._of_statement(node)
            case ast.comprehension():
                for test in node.ifs:
                    yield self._change(test, "True", "condition dropped")
            case ast.ExceptHandler(type=ast.expr() as kind):
                yield from self._of_caught(kind)

    def _of_expression(self, node: ast.expr) -> Iterator[Mutant]:
        match node:
            case ast.Compare():
                yield from self._of_comparison(node)
            case ast.BoolOp():
                word = "or" if isinstance(node.op, ast.And) else "and"
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield self._between(left, right, word)
            case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_text(node.left):
                yield self._between(node.left, node.right, ARITHMETIC[type(node.op)])
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                yield self._change(node, f"({ast.unparse(node.operand)})", "unary operator removed")
            case ast.IfExp():
                text = f"{ast.unparse(node.orelse)} if {ast.unparse(node.test)} else "
                yield self._change(node, text + ast.unparse(node.body), "branches swapped")
            case ast.Call(func=ast.Name(id="suppress")):
                for kind in node.args:
                    yield from self._of_caught(kind)
            case _:
                yield from self._of_value(node)

    def _of_value(self, node: ast.expr) -> Iterator[Mutant]:
        match node:
            case ast.Constant():
                yield from self._of_constant(node)
            case ast.JoinedStr() if not any(" " in text for text in _texts(node)):
                yield self._change(node, '"mutated"', "string")
            case ast.Dict() | ast.Set():
                for each in node.keys if isinstance(node, ast.Dict) else node.elts:
                    if isinstance(each, ast.Attribute):
                        yield self._change(each, "None", "entry dropped")

    def _of_comparison(self, node: ast.Compare) -> Iterator[Mutant]:
        values = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, values, values[1:], strict=False):
            for other in COMPARISONS[type(op)]:
                yield self._between(left, right, other)

    def _of_constant(self, node: ast.Constant) -> Iterator[Mutant]:
        match node.value:
            case bool():
                yield self._change(node, str(not node.value), "constant")
            case int() | float():
                for other in (node.value + 1, node.value - 1):
                    yield self._change(node, repr(other), "constant")
            case str() if " " not in node.value:
                yield self._change(node, repr(f"{node.value}XX"), "string")
            case bytes():
                yield self._change(node, repr(node.value + b"XX"), "bytes")

    def _of_caught(self, kind: ast.expr) -> Iterator[Mutant]:
        if isinstance(kind, ast.Tuple):
            for each in kind.elts:
                yield self._change(each, NEVER_RAISED, "not caught")
        elif ast.unparse(kind) == "BaseException":
            yield self._change(kind, "Exception", "not caught")
        else:
            yield self._change(kind, NEVER_RAISED, "not caught")

    def _of_statement(self, node: ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.If(test=test) if not isinstance(test, ast.Compare | ast.UnaryOp):
                yield self._change(test, f"not ({ast.unparse(test)})", "condition negated")
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                yield self._change(value, "None", "returned value")
            case ast.Return() | ast.Delete() | ast.Expr(value=ast.Call()):
                yield self._removed(node)
            case ast.Raise():
                yield self._removed(node)
                yield from self._of_raised(node)
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
                yield self._removed(node)
            case ast.AugAssign():
                yield self._removed(node)
                plain = f"{ast.unparse(node.target)} = {ast.unparse(node.value)}"
                yield self._change(node, plain, "no sum")
            case ast.Continue():
                yield self._change(node, "break", "break")
            case ast.Break():
                yield self._change(node, "continue", "continue")

    def _of_raised(self, node: ast.Raise) -> Iterator[Mutant]:
        if isinstance(node.exc, ast.Call):
            yield self._change(node.exc.func, "RuntimeError", "another error")
        if isinstance(node.cause, ast.Name):
            yield self._change(node.cause, "None", "no cause")

    def _removed(self, node: ast.stmt) -> Mutant:
        return self._change(node, "pass", "statement removed")

    def _between(self, left: ast.expr, right: ast.expr, operator: str) -> Mutant:
        """Put another operator between two operands; brackets and comments around them stay."""
        start, end = self._span(left)[1], self._span(right)[0]
        before = self._source[start:end].decode()
        after = next(i for i, character in enumerate(before) if character not in ") \n\t")
        stop = next(
            (i for i, character in enumerate(before) if i > after and character in " (\n#"),
            len(before),
        )
        if before[after:stop] in {"is", "not"} and before[stop:].split()[:1] in (["not"], ["in"]):
            stop = before.index("not" if before[after:stop] == "is" else "in", stop)
            stop += 3 if before[stop:].startswith("not") else 2
        where = start + len(before[:after].encode()), start + len(before[:stop].encode())
        return self._put(where, operator, f"{before[after:stop]} to {operator}", left.lineno)

    def _change(self, node: ast.expr | ast.stmt, text: str, what: str) -> Mutant:
        return self._put(self._span(node), text, what, node.lineno)

    def _put(self, span: tuple[int, int], text: str, what: str, line: int) -> Mutant:
        mutated = (self._source[: span[0]] + text.encode() + self._source[span[1] :]).decode()
        return Mutant(what, line, mutated)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset


def _to_mutate(node: ast.AST) -> Iterator[ast.AST]:
    """Iterate over the children in which there may be mutants."""
    left_out: set[int] = set()
    match node:
        case ast.FunctionDef(returns=returns):
            left_out.add(id(returns))
        case ast.arg() | ast.JoinedStr():
            return
        case ast.AnnAssign(annotation=annotation):
            left_out.add(id(annotation))
        case ast.Raise(exc=ast.Call() as call):
            left_out.add(id(call))
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(
                value=ast.Constant() | ast.Call(func=ast.Attribute(value=ast.Name("_LOG")))
            ):
                continue
            case ast.FunctionDef(name="__repr__") | ast.Import() | ast.ImportFrom():
                continue
            case ast.Assign(targets=[ast.Name("__all__")]) | ast.Call(func=ast.Name("TypeVar")):
                continue
        if id(child) not in left_out:
            yield child


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _texts(node: ast.JoinedStr) -> Iterator[str]:
    for part in node.values:
        if isinstance(part, ast.Constant):
            yield str(part.value)
