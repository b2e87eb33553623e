"""Patterns as in a shell, by which a command is told what to do something with."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a name fits one of the patterns; none at all: every name does."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
