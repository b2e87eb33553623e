"""One name, or several, as users give them."""

from collections.abc import Iterable
from typing import Any

from strax_core.errors import ConfigError


def texts(given: Any, argument: str) -> tuple[str, ...]:
    """Return one name, or several, as a tuple; `ConfigError` for anything else."""
    if isinstance(given, str):
        return (given,)
    listed = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(each, str) for each in listed):
        raise ConfigError(f"{argument} is {given!r}; give a name, or several")
    return listed
