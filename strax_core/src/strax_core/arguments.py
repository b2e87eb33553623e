"""Checks of what users give: names, whole numbers; and a suggestion for a misspelt word."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from strax_core.errors import ConfigError

Some = TypeVar("Some")


def names(given: Any, argument: str) -> tuple[str, ...]:
    """Return one name, or several, as a tuple; `ConfigError` for anything else."""
    if isinstance(given, str):
        return (given,)
    listed = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(each, str) for each in listed):
        raise ConfigError(f"{argument} is {given!r}; give a name, or several")
    return listed


def positive_int(given: object, argument: str) -> int:
    """Return a whole number above 0; `ConfigError` for anything else."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f"{argument} is {given!r}; give a whole number above 0")
    return given


def takes_old_keyword(old: str, new: str) -> Callable[[type[Some]], type[Some]]:
    """Let a class take a keyword by its old name, too, until 1.0."""

    def change(kind: type[Some]) -> type[Some]:
        init = kind.__init__

        def init_by_either_name(self: Some, **given: Any) -> None:
            if old in given:
                given[new] = given.pop(old)
            init(self, **given)

        kind.__init__ = wraps(init)(init_by_either_name)  # type: ignore[method-assign, assignment]
        return kind

    return change


def near_name(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like this one, if any is near."""
    import difflib

    return next(iter(difflib.get_close_matches(word.lower(), sorted(known), n=1)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``(did you mean 'x'?)``, or the known names if none is near."""
    listed = sorted(known)
    near = near_name(word, listed)
    if near is not None:
        return f"(did you mean {near!r}?)"
    return f"(known: {', '.join(listed)})" if listed else "(there are none)"
