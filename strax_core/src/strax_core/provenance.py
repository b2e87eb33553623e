"""Which data plugins make what, from what, with which options: lineages."""

import copy
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from strax_core.errors import ConfigError
from strax_core.keys import Lineage
from strax_core.option import OMITTED, Option, options_of
from strax_core.plugin import Plugin, check_data_plugin, dependencies, prepared, provided
from strax_core.suggestions import did_you_mean


class DataPlugins:
    """The registered data plugins, by the data type they make, and the options set for them.

    It never changes, so a request that holds one gives keys and rows that belong together, whatever
    other threads register meanwhile; `with_registered` and `with_config` return another one.

    Raises:
        ConfigError: something is not a data plugin, or two give one option different defaults.
    """

    def __init__(
        self, classes: Iterable[type[Plugin]] = (), config: Mapping[str, Any] | None = None
    ) -> None:
        self._classes: dict[str, type[Plugin]] = {}
        for data_plugin in classes:
            check_data_plugin(data_plugin)
            self._classes[provided(data_plugin)] = data_plugin
        self._options = {found: options_of(found) for found in self._classes.values()}
        self._config = _own_copy(dict(config or {}))
        self._lineages: dict[str, Lineage] = {}
        _check_defaults(self._options)

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the options that were set."""
        return dict(_own_copy(self._config))

    @property
    def classes(self) -> list[type[Plugin]]:
        """All data plugins, each after those that it may have replaced."""
        return list(self._classes.values())

    def with_registered(self, data_plugins: Iterable[type[Plugin]]) -> "DataPlugins":
        """Return these and more; one for the same data type replaces the old one, as in strax."""
        return DataPlugins([*self.classes, *data_plugins], self._config)

    def with_config(self, config: Mapping[str, Any]) -> "DataPlugins":
        """Return these with more options set; those not named stay."""
        return DataPlugins(self.classes, {**self._config, **config})

    def that_makes(self, data_type: str) -> type[Plugin]:
        """Return the data plugin that makes a data type.

        Raises:
            ConfigError: none does.
        """
        try:
            return self._classes[data_type]
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"no registered data plugin makes {data_type!r} "
                f"{did_you_mean(str(data_type), self._classes)}"
            ) from error

    def closure(self, data_type: str) -> dict[str, type[Plugin]]:
        """Return the data plugins of all that a data type needs, dependencies first, itself last.

        Raises:
            ConfigError: one is not registered, or they depend on each other in a circle.
        """
        found: dict[str, type[Plugin]] = {}
        self._collect(data_type, found, ())
        return found

    def _collect(
        self, data_type: str, found: dict[str, type[Plugin]], path: tuple[str, ...]
    ) -> None:
        if data_type in path:
            raise ConfigError(f"data types depend on each other: {' -> '.join((*path, data_type))}")
        if data_type in found:
            return
        try:
            data_plugin = self.that_makes(data_type)
        except ConfigError as error:
            if path:
                raise ConfigError(f"{path[-1]} depends on {data_type}: {error}") from error
            raise
        for needed in dependencies(data_plugin):
            self._collect(needed, found, (*path, data_type))
        found[data_type] = data_plugin

    def values(self, data_type: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every option of a data plugin: config > run's defaults > default.

        They are copies: a data plugin that changes one changes no key.
        """
        data_plugin = self.that_makes(data_type)
        who = f"data plugin {data_plugin.__name__}"
        return {
            name: _own_copy(option.value(self._config, defaults, who=who))
            for name, option in self._options[data_plugin].items()
        }

    def lineage(self, data_type: str, defaults: Mapping[str, Any]) -> Lineage:
        """Return class name, version and tracked options of all that takes part in a data type.

        Raises:
            ConfigError: as `closure`; or a value is missing, wrong, or set for an unknown option.
        """
        self._check_config()
        if defaults:  # of one run
            return self._lineage(data_type, defaults)
        if data_type not in self._lineages:
            self._lineages[data_type] = self._lineage(data_type, defaults)
        return self._lineages[data_type]

    def _lineage(self, data_type: str, defaults: Mapping[str, Any]) -> Lineage:
        entries = {}
        for name, data_plugin in self.closure(data_type).items():
            options = self._options[data_plugin]
            tracked = {
                option: value
                for option, value in self.values(name, defaults).items()
                if options[option].track
            }
            entries[name] = (data_plugin.__name__, data_plugin.__version__, tracked)
        return Lineage(entries)

    def instances(
        self, data_type: str, *, run_id: str, defaults: Mapping[str, Any]
    ) -> dict[str, Plugin]:
        """Return data plugins ready to make a data type and all that it depends on."""
        instances: dict[str, Plugin] = {}
        for name, data_plugin in self.closure(data_type).items():
            instances[name] = prepared(
                data_plugin,
                run_id=run_id,
                config=self.values(name, defaults),
                deps={needed: instances[needed] for needed in dependencies(data_plugin)},
            )
        return instances

    def _check_config(self) -> None:
        """Refuse options that no registered data plugin takes: most likely a misspelt name."""
        known = {name for options in self._options.values() for name in options}
        for name in self._config:
            if name not in known:
                raise ConfigError(
                    f"no registered data plugin takes the option {name!r} "
                    f"{did_you_mean(str(name), known)}"
                )


def data_plugins_in(module_name: str) -> list[type[Plugin]]:
    """Import a module and return the data plugins that it defines itself, but no ``_private`` ones.

    Raises:
        ConfigError: it cannot be imported, or defines none.
    """
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            f"the module {module_name!r} with data plugins cannot be imported: {error}"
        ) from error
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Plugin)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
    if not found:
        raise ConfigError(f"the module {module_name!r} defines no data plugin")
    return found


def _check_defaults(options: Mapping[type[Plugin], Mapping[str, Option]]) -> None:
    """Two data plugins share a value by its option's name, so its default must be the same."""
    first: dict[str, tuple[type[Plugin], Any]] = {}
    for data_plugin, taken in options.items():
        for name, option in taken.items():
            default = option.own_default()
            if default is OMITTED:
                continue
            other, known = first.setdefault(name, (data_plugin, default))
            if not _is_same(known, default):
                raise ConfigError(
                    f"the option {name!r} has the default {known!r} in {other.__name__} and "
                    f"{default!r} in {data_plugin.__name__}; give them the same, or other names"
                )


def _is_same(one: Any, other: Any) -> bool:
    # By text too: NaN differs from itself, and comparing arrays gives an array.
    return one is other or repr(one) == repr(other) or np.array_equal(one, other)


def _own_copy(value: Any) -> Any:
    """Copy what can be changed in place, so that nobody changes a key after the fact."""
    if type(value) is dict:
        return {name: _own_copy(each) for name, each in value.items()}
    if type(value) in {list, tuple, set}:
        return type(value)(_own_copy(each) for each in value)
    if isinstance(value, Mapping | list | tuple | set | np.ndarray):
        return copy.deepcopy(value)
    return value
