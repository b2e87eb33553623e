"""A reference to a secret: its place in a file or variable. The secret itself is never kept."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from strax_core.errors import ConfigError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HOW_TO_WRITE = '{ env = "NAME" } or { file = "path" }'


@dataclass(frozen=True, kw_only=True)
class SecretReference:
    """The name of an environment variable or of a file that holds a secret.

    - Its repr and its pickle hold the reference only; another process looks the secret up itself.
    - ``~`` in a file's path is the home of the user who reveals it.
    """

    __module__ = "strax_core"

    env: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a reference, without repeating it: it may be the secret.

        Raises:
            ConfigError: neither or both are given, or the variable's name is impossible.
        """
        given: list[object] = [value for value in (self.env, self.file) if value is not None]
        if len(given) != 1 or not isinstance(given[0], str) or not given[0]:
            raise ConfigError(f"a secret reference is one of {HOW_TO_WRITE}")
        if self.env is not None and not _VARIABLE.fullmatch(self.env):
            raise ConfigError("{ env = … } takes the name of an environment variable")

    @classmethod
    def from_table(cls, table: Mapping[str, object], folder: Path) -> "SecretReference":
        """Return the reference that ``{ env = … }`` or ``{ file = … }`` stands for.

        Args:
            table: with exactly one of the two keys.
            folder: a relative path of a file starts here.

        Raises:
            ConfigError: something else than one of the two keys with a text.
        """
        value = next(iter(table.values()), None)
        if len(table) != 1 or not looks_like_reference(table) or not isinstance(value, str):
            raise ConfigError(f"a secret reference is one of {HOW_TO_WRITE}")
        if "env" in table:
            return cls(env=value)
        return cls(file=value if value.startswith("~") else str(folder / value))

    def reveal(self) -> str:
        """Return the secret; keep it no longer than needed, and never in an attribute.

        A line break at the end of a file is not part of the secret.

        Raises:
            ConfigError: the variable is not set, or the file cannot be read; names the reference.
        """
        secret = _text_of(self) if self.env is None else os.environ.get(self.env, "")
        if not secret:
            raise ConfigError(f"there is no secret: {self!r} is not set or empty")
        return secret

    def __repr__(self) -> str:
        return (
            f"SecretReference({'env' if self.file is None else 'file'}={self.env or self.file!r})"
        )


def looks_like_reference(value: object) -> bool:
    """Return whether this is a table with no other keys than those of a reference."""
    return isinstance(value, Mapping) and bool(value) and set(value) <= {"env", "file"}


def _text_of(reference: SecretReference) -> str:
    try:
        content = Path(str(reference.file)).expanduser().read_bytes()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"the secret of {reference!r} cannot be read: {error}") from error
    text = content.decode("utf-8", errors="replace").rstrip("\r\n")
    # Not a strict decode: its error would carry the bytes of the file.
    if "\ufffd" in text:
        raise ConfigError(f"the secret of {reference!r} is not UTF-8 text")
    return text
