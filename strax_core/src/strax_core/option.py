"""Options of data plugins: values that a user may set, and that stand in the lineage."""

from collections.abc import Callable, Mapping
from typing import Any

from strax_core.errors import ConfigError


class _Omitted:
    def __repr__(self) -> str:
        return "OMITTED"


OMITTED: Any = _Omitted()
"""Stands for "not given", since None is a value like any other."""


class Option:
    """A value that a data plugin takes: read as ``self.NAME`` or ``self.config["NAME"]``.

    Args:
        name: left out for a class attribute, which has one.
        type: what a value must be an instance of (an int may stand for a float).
        default: value if nobody sets one.
        default_factory: makes the default anew for each use.
        track: whether the value stands in the lineage, and so in the key.
        help: one line for the user.
    """

    def __init__(
        self,
        name: str = "",
        *,
        type: Any = OMITTED,  # noqa: A002 - strax's name
        default: Any = OMITTED,
        default_factory: Callable[[], Any] | None = None,
        track: bool = True,
        help: str = "",  # noqa: A002 - strax's name
    ) -> None:
        if default is not OMITTED and default_factory is not None:
            raise ConfigError(f"option {name!r} has both a default and a default_factory")
        self.name = name
        self.type = type
        self.default = default
        self.default_factory = default_factory
        self.track = track
        self.help = help

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.config[self.name]

    def value(self, config: Mapping[str, Any], defaults: Mapping[str, Any], *, who: str) -> Any:
        """Return what holds: `config`, else the run's `defaults`, else the option's default.

        Raises:
            ConfigError: no value at all, or one of the wrong type.
        """
        for values in (config, defaults):
            if self.name in values:
                return self._checked(values[self.name], who)
        if self.default_factory is not None:
            return self.default_factory()
        if self.default is OMITTED:
            raise ConfigError(
                f"{who} needs the option {self.name!r}; it has no default ({self.help})"
            )
        return self.default

    def _checked(self, value: Any, who: str) -> Any:
        if self.type is OMITTED or isinstance(value, self.type):
            return value
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            return value
        wanted = getattr(self.type, "__name__", self.type)
        raise ConfigError(f"option {self.name!r} of {who} is {value!r}; it must be a {wanted}")


def takes_config(*options: Option) -> Callable[[type], type]:
    """Give a data plugin options, as a class decorator in strax's way."""

    def add(data_plugin: type) -> type:
        known = dict(getattr(data_plugin, "takes_config", {}))
        data_plugin.takes_config = known | {option.name: option for option in options}  # type: ignore[attr-defined]
        return data_plugin

    return add


def options_of(data_plugin: type) -> dict[str, Option]:
    """Return a class's options by name; attributes, ``options`` and `takes_config` are the same."""
    found: dict[str, Option] = {}
    for ancestor in reversed(data_plugin.__mro__):
        for value in vars(ancestor).values():
            if isinstance(value, Option):
                found[value.name] = value
        listed = (
            *vars(ancestor).get("options", ()),
            *vars(ancestor).get("takes_config", {}).values(),
        )
        found.update({option.name: option for option in listed})
    return found
