"""Turning a table of strax.toml, or a dictionary, into checked options."""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from strax_core.arguments import did_you_mean
from strax_core.config.secret import HOW_TO_WRITE, SecretReference, looks_like_reference
from strax_core.errors import ConfigError, PluginError

_AUTHORITY_WITHOUT_USER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^/:@]*)(:\d+)?/")
_TOML_NAMES: Mapping[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    type(None): "nothing",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Keys and values as a user wrote them, and where: for messages and relative paths."""

    values: Mapping[str, object] = dataclasses.field(repr=False)
    place: str  # "[storage.archive] of /home/me/strax.toml"
    folder: Path  # relative paths start here

    def refuse_unknown(self, known: typing.Iterable[str]) -> None:
        """Raise ConfigError for the first key that is not known."""
        names = set(known)
        for key in self.values:
            if key not in names:
                raise ConfigError(f"{self.place}: unknown key {key!r} {did_you_mean(key, names)}")


def has_password(text: str) -> bool:
    """Return whether a text is a URL with a password in it, as in ``ssh://user:password@host``."""
    _, separator, rest = text.partition("://")
    before_at, at, _ = rest.partition("@")
    if not separator or not at or _AUTHORITY_WITHOUT_USER.match(rest):
        return False
    return ":" in before_at


def refuse_password(text: str, place: str) -> None:
    """Raise ConfigError, without repeating the text, if it is a URL with a password."""
    if has_password(text):
        raise ConfigError(
            f"{place}: a URL must not hold a password; leave it out and use "
            f"the place's own way to log in, or an option that takes {HOW_TO_WRITE}"
        )


def build_options(options_class: type, table: Table) -> Any:
    """Return an instance of a dataclass of options, made from a table.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type; names the table,
            and never repeats a value.
        PluginError: the options class is not a dataclass, or its types do not exist.
    """
    fields = option_fields(options_class)
    table.refuse_unknown(fields)
    try:
        hints = typing.get_type_hints(options_class)
    except NameError as error:
        raise PluginError(f"a type in {options_class!r} cannot be resolved: {error}") from error
    values: dict[str, object] = {}
    for name, field in fields.items():
        if name in table.values:
            values[name] = _converted(table, field, hints[name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{table.place}: the key {name!r} is missing")
    try:
        return options_class(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{table.place}: {error}") from error


def option_fields(options_class: type) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields that a table may set, by name. Raises PluginError for no dataclass."""
    if not dataclasses.is_dataclass(options_class):
        raise PluginError(f"the options class {options_class!r} is not a dataclass")
    return {field.name: field for field in dataclasses.fields(options_class) if field.init}


def checked_value(table: Table, key: str, hint: Any) -> Any:
    """Return the value of a key, as the type it is declared as.

    Raises:
        ConfigError: it has another type, or is a URL with a password.
    """
    value = table.values[key]
    if isinstance(value, str):
        refuse_password(value, f"{table.place}: {key!r}")
    if looks_like_reference(value) and not _takes(hint, dict):
        raise ConfigError(f"{table.place}: {key!r} is not a secret and takes its value itself")
    for choice in _choices(hint):
        fits, converted = _as_type(value, choice)
        if fits:
            return converted
    kinds = " or ".join(_described(choice) for choice in _choices(hint))
    raise ConfigError(f"{table.place}: {key!r} must be {kinds}, not {type(value).__name__}")


def _converted(table: Table, field: dataclasses.Field[Any], hint: Any) -> Any:
    if field.metadata.get("backends"):
        return table.values[field.name]  # the caller has put opened backends here
    if field.metadata.get("secret"):
        return _secret(table, field.name)
    if field.metadata.get("path"):
        return _path(table, field.name, hint)
    value = checked_value(table, field.name, hint)
    resolve = field.metadata.get("resolve")
    return value if resolve is None else resolve(value, table.folder)


def _secret(table: Table, key: str) -> SecretReference:
    value = table.values[key]
    if isinstance(value, SecretReference):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"{table.place}: {key!r} is a secret and takes {HOW_TO_WRITE}")
    try:
        return SecretReference.from_table(value, table.folder)
    except ConfigError as error:
        raise ConfigError(f"{table.place}: {key!r}: {error}") from error


def _path(table: Table, key: str, hint: Any) -> Any:
    value = table.values[key]
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError(f"{table.place}: {key!r} must be a path, not {type(value).__name__}")
    refuse_password(str(value), f"{table.place}: {key!r}")
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{table.place}: {key!r} has an unknown home folder") from error
    absolute = (table.folder / path).absolute()
    return absolute if _takes(hint, Path) else str(absolute)


def _choices(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _takes(hint: Any, wanted: type) -> bool:
    choices = [typing.get_origin(choice) or choice for choice in _choices(hint)]
    return any(
        each is Any or (isinstance(each, type) and issubclass(wanted, each)) for each in choices
    )


def _as_type(value: object, hint: Any) -> tuple[bool, Any]:
    """Return whether a value has a type, and the value in it."""
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return value in typing.get_args(hint), value
    if origin in (tuple, Sequence) and isinstance(value, list | tuple):
        item = next(iter(typing.get_args(hint)), Any)
        items = [_as_type(each, item) for each in value]
        return all(fits for fits, _ in items), tuple(each for _, each in items)
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return True, value
    if origin is Any or not isinstance(origin, type):
        return True, value  # a type that only the options class itself can check
    # Python takes True for a whole number and a text for a list of letters; nobody means that.
    looks_alike = isinstance(value, bool if origin is int else str if origin is Sequence else ())
    return isinstance(value, origin) and not looks_alike, value


def _described(hint: Any) -> str:
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(hint))
    if origin in (tuple, Sequence):
        return "a list"
    return _TOML_NAMES.get(origin, getattr(origin, "__name__", str(origin)))
