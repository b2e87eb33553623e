"""Options of data plugins: values that a user may set, and that stand in the lineage."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from strax_core.errors import ConfigError


class _Omitted:
    def __repr__(self) -> str:
        return "OMITTED"


OMITTED: Any = _Omitted()
"""Stands for "not given", since None is a value like any other."""

_NUMBERS: Mapping[type, tuple[type, ...]] = {
    int: (int, np.integer),
    float: (float, int, np.floating, np.integer),
}


class Option:
    """A value that a data plugin takes: read as ``self.NAME`` or ``self.config["NAME"]``.

    Args:
        name: left out for a class attribute, which has one.
        type: what a value must be an instance of. An int may stand for a float, numpy's numbers for
            Python's, and a list for a tuple, because JSON and TOML know no other.
        default: value if nobody sets one.
        default_factory: makes the default anew for each use.
        track: whether the value stands in the lineage, and so in the key.
        infer_type: take the type from the default, if no type is given.
        child_option: of a `child_plugin`: its value stands for that of a parent's option.
        parent_option_name: which one that is.
        default_by_run: of strax, and refused: a run's document can say its defaults.
        help: one line for the user.

    Raises:
        ConfigError: arguments that do not go together.
    """

    def __init__(
        self,
        name: str = "",
        *,
        type: Any = OMITTED,  # noqa: A002 - strax's name
        default: Any = OMITTED,
        default_factory: Callable[[], Any] | None = None,
        track: bool = True,
        infer_type: bool = False,
        child_option: bool = False,
        parent_option_name: str | None = None,
        default_by_run: Any = OMITTED,
        help: str = "",  # noqa: A002 - strax's name
    ) -> None:
        if default is not OMITTED and default_factory is not None:
            raise ConfigError(f"option {name!r} has both a default and a default_factory")
        if default_by_run is not OMITTED:
            raise ConfigError(
                f"option {name!r}: default_by_run of strax is not served here; put the values in "
                "`strax_defaults` of the runs' documents, and set use_per_run_defaults"
            )
        if bool(child_option) != bool(parent_option_name):
            raise ConfigError(
                f"option {name!r}: child_option=True and parent_option_name= go together; "
                "an option that replaces none of a parent has neither"
            )
        if infer_type and type is OMITTED and default is not OMITTED and default is not None:
            type = default.__class__  # noqa: A001 - strax's name
        self.name = name
        self.type = type
        self.default = default
        self.default_factory = default_factory
        self.track = track
        self.child_option = child_option
        self.parent_option_name = parent_option_name
        self.help = help

    def __repr__(self) -> str:
        return f"<Option {self.name!r}>"

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
        default = self.own_default()
        if default is OMITTED:
            told = f" ({self.help})" if self.help else ""
            raise ConfigError(
                f"{who} needs the option {self.name!r}{told}; it has no default: set it in config"
            )
        return default

    def own_default(self) -> Any:
        """Return the default, made anew if there is a factory; OMITTED if there is none."""
        return self.default if self.default_factory is None else self.default_factory()

    def _checked(self, value: Any, who: str) -> Any:
        if self.type is OMITTED or (value is None and self.default is None):
            return value
        types = self.type if isinstance(self.type, tuple) else (self.type,)
        for one in types:
            is_number_for_bool = isinstance(value, bool) and one in _NUMBERS
            if isinstance(value, _NUMBERS.get(one, one)) and not is_number_for_bool:
                return value
        if tuple in types and isinstance(value, list):
            return tuple(value)
        wanted = " or ".join(getattr(one, "__name__", str(one)) for one in types)
        raise ConfigError(
            f"option {self.name!r} of {who} is {value!r}, a {type(value).__name__}; "
            f"it must be of type {wanted}"
        )


def takes_config(*options: Option) -> Callable[[type], type]:
    """Give a data plugin options, as a class decorator in strax's way."""

    def add(data_plugin: type) -> type:
        for option in options:
            _check_option(option, data_plugin.__name__)
        known = dict(getattr(data_plugin, "takes_config", {}))
        data_plugin.takes_config = known | {option.name: option for option in options}  # type: ignore[attr-defined]
        return data_plugin

    return add


def options_of(data_plugin: type) -> dict[str, Option]:
    """Return a class's options by name, inherited ones too.

    Class attributes, ``options = (…)`` and ``@takes_config`` are all the same.

    Raises:
        ConfigError: one is not an `Option` or has no name, or is covered by a plain attribute,
            which would be used and not stand in the lineage.
    """
    found: dict[str, Option] = {}
    for ancestor in reversed(data_plugin.__mro__):
        for attribute, value in vars(ancestor).items():
            if isinstance(value, Option) and attribute != "options":
                found[value.name] = value
        for option in _listed(ancestor, data_plugin.__name__):
            found[option.name] = option
    for attribute in dir(data_plugin):
        _check_attribute(data_plugin, attribute)
    return found


def _listed(ancestor: type, who: str) -> list[Option]:
    listed = vars(ancestor).get("options", ())
    taken = vars(ancestor).get("takes_config", {})
    if not isinstance(listed, list | tuple) or not isinstance(taken, Mapping):
        raise ConfigError(f"{who}: options stand in a tuple, as in options = (Option('gain'),)")
    for option in (*listed, *taken.values()):
        _check_option(option, who)
    return [*listed, *taken.values()]


def _check_option(option: Any, who: str) -> None:
    if type(option).__module__.partition(".")[0] == "strax":
        raise ConfigError(
            f"{who}: its option {option.name!r} comes from strax; "
            "import Option and takes_config from strax_core"
        )
    if not isinstance(option, Option) or not option.name:
        raise ConfigError(f"{who}: {option!r} is not an Option with a name")


def replaced_by_child_options(options: Mapping[str, Option]) -> dict[str, str]:
    """Return ``{parent's option: child's option}`` of the options of a child plugin."""
    return {
        option.parent_option_name: name
        for name, option in options.items()
        if option.parent_option_name
    }


def _check_attribute(data_plugin: type, attribute: str) -> None:
    holders = [vars(each)[attribute] for each in data_plugin.__mro__ if attribute in vars(each)]
    is_option = [isinstance(value, Option) for value in holders]
    if any(is_option) and not all(is_option):
        raise ConfigError(
            f"{data_plugin.__name__}: {attribute!r} is an option in one class of its family and "
            "something else in another; give an Option with another default, or another name"
        )
