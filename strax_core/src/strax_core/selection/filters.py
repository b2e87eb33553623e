"""Conditions on rows, as a user writes them: numexpr texts, or functions."""

import ast
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from strax_core.arguments import did_you_mean
from strax_core.chunks import Rows
from strax_core.errors import ConfigError

Condition = str | Callable[[Rows], Any]
Mask = npt.NDArray[np.bool_]

# numexpr before 2.11 keeps its last expression in one place for all threads, and one compiled
# expression must not run twice at once: https://github.com/pydata/numexpr/issues/569
_one_at_a_time = Lock()


def checked_conditions(given: object) -> tuple[Condition, ...]:
    """Return the conditions that all must hold; none if nothing or an empty list is given.

    A text is only ever the user's own. Never pass on one that stands in a file or in metadata:
    numexpr evaluates it.

    Raises:
        ConfigError: neither a text nor a function nor a list of these, or no readable text.
    """
    if given is None:
        return ()
    conditions = tuple(given) if isinstance(given, list | tuple) else (given,)
    for condition in conditions:
        if isinstance(condition, str):
            if not _names_in(condition):
                raise ConfigError(f"where {condition!r} names no column, so it selects nothing")
        elif not callable(condition):
            raise ConfigError(
                f"where is a {type(condition).__name__}; give a text such as 'area > 10', "
                "a list of texts, or a function that takes rows and returns booleans"
            )
    return conditions


def _names_in(text: str) -> frozenset[str]:
    """Return the columns that a text names.

    Raises:
        ConfigError: the text cannot be read, or joins conditions as numexpr cannot.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"where {text!r} cannot be read: {error}") from error
    # numexpr's own message about these is about something else.
    if any(isinstance(node, ast.BoolOp | ast.Not) or _is_chain(node) for node in ast.walk(tree)):
        raise ConfigError(
            f"where {text!r}: join conditions with & | ~ and parentheses, not with and, or, not "
            "and a < b < c; or give a list of texts"
        )
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called
    )


def columns_in(condition: Condition) -> frozenset[str] | None:
    """Return the columns that a condition looks at; None: a function, which may look at any."""
    return _names_in(condition) if isinstance(condition, str) else None


def _is_chain(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) and len(node.ops) > 1


def check_columns(condition: Condition, dtype: np.dtype[Any]) -> None:
    """Check that a text names columns of this dtype, with one value a row.

    Raises:
        ConfigError: a column is not there, or holds several values a row.
    """
    if not isinstance(condition, str):
        return
    for name in sorted(_names_in(condition)):
        if name not in (dtype.names or ()):
            hint = did_you_mean(name, dtype.names or ())
            raise ConfigError(f"where {condition!r}: there is no column {name!r} {hint}")
        if dtype[name].shape or dtype[name].names:
            raise ConfigError(
                f"where {condition!r}: column {name!r} holds several values a row; "
                "give a function instead of a text"
            )


def mask_of(condition: Condition, rows: Rows) -> Mask:
    """Return for each row whether the condition holds.

    Raises:
        ConfigError: numexpr refuses the text, or the result is not one boolean a row.
    """
    if isinstance(condition, str):
        result, what = _evaluated(condition, rows), f"where {condition!r}"
    else:
        name = getattr(condition, "__name__", type(condition).__name__)
        result, what = np.asarray(condition(rows)), f"where: the function {name}"
    if result.dtype != np.bool_ or result.shape != (len(rows),):
        raise ConfigError(
            f"{what} gives {result.dtype} of shape {result.shape}; "
            f"it must give one boolean a row, so bool of shape ({len(rows)},)"
        )
    return result


def _evaluated(text: str, rows: Rows) -> npt.NDArray[Any]:
    import numexpr

    check_columns(text, rows.dtype)
    columns = {name: rows[name] for name in _names_in(text)}
    for name, column in columns.items():
        if column.dtype.kind == "u" and len(column) and column.max() > np.iinfo(np.int64).max:
            # numexpr would take them for negative numbers, without a word.
            raise ConfigError(
                f"where {text!r}: column {name!r} has values beyond int64; give a function instead"
            )
    try:
        with _one_at_a_time:
            result = numexpr.evaluate(
                text.strip(), local_dict=columns, global_dict={}, sanitize=True
            )
    # numexpr has no errors of its own: it lets out whatever Python raises on the text.
    except Exception as error:
        raise ConfigError(f"where {text!r}: numexpr cannot evaluate it: {error}") from error
    return np.asarray(result)
