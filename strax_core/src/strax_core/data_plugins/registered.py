"""The registered data plugins: what makes what, from what, with which options; lineages."""

import copy
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from strax_core.arguments import did_you_mean
from strax_core.data_plugins.check_class import check_data_plugin
from strax_core.data_plugins.option import OMITTED, Option, options_of, replaced_by_child_options
from strax_core.data_plugins.plugin import Plugin, dependencies, lineage_name, prepared, provided
from strax_core.errors import ConfigError
from strax_core.format import Lineage


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
        self._registered: list[type[Plugin]] = []
        self._classes: dict[str, type[Plugin]] = {}
        for data_plugin in classes:
            check_data_plugin(data_plugin)
            self._register(data_plugin)
        self._options = {found: options_of(found) for found in self._classes.values()}
        self._config = _own_copy(dict(config or {}))
        self._lineages: dict[str, Lineage] = {}
        _check_defaults(self._options)

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the options that were set."""
        return dict(_own_copy(self._config))

    def _register(self, data_plugin: type[Plugin]) -> None:
        """Enter a class; what made one of its data types makes none any more, as in strax."""
        taken = provided(data_plugin)
        replaced = {self._classes[name] for name in taken if name in self._classes} - {data_plugin}
        self._classes = {
            name: maker for name, maker in self._classes.items() if maker not in replaced
        } | dict.fromkeys(taken, data_plugin)
        self._registered = [
            earlier
            for earlier in self._registered
            if earlier is not data_plugin and not set(provided(earlier)) <= set(taken)
        ] + [data_plugin]

    @property
    def classes(self) -> list[type[Plugin]]:
        """The classes in the order of registration, but for those that were replaced in full.

        Registering these gives the same data plugins.
        """
        return list(self._registered)

    def with_registered(self, data_plugins: Iterable[type[Plugin]]) -> "DataPlugins":
        """Return these and more; what made one of their data types is removed, as in strax.

        Its other data types too, so that a class is registered for all it makes, or not at all.
        """
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
                f"no registered data plugin makes {data_type!r} {self._hint(data_type)}"
            ) from error

    def _hint(self, data_type: Any) -> str:
        for earlier in self._registered:
            if data_type in provided(earlier):
                return (
                    f"any more: {earlier.__name__} did, and was removed as a whole when another "
                    f"was registered for one of {', '.join(provided(earlier))}"
                )
        return did_you_mean(str(data_type), self._classes)

    def entry_of(self, data_type: str) -> str:
        """Return the name under which a data type's data plugin stands in lineages.

        Raises:
            ConfigError: none makes it.
        """
        return lineage_name(self.that_makes(data_type))

    def closure(self, targets: str | Iterable[str]) -> dict[str, type[Plugin]]:
        """Return the data plugin of each data type that the targets need, dependencies first.

        Of a class that makes several, only those data types that are needed, or targets.

        Raises:
            ConfigError: one is not registered, or they depend on each other in a circle.
        """
        found: dict[str, type[Plugin]] = {}
        for target in (targets,) if isinstance(targets, str) else targets:
            self._collect(target, found, ())
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

        They are copies: a data plugin that changes one changes no key. In a child plugin an option
        of a parent has the value of the child's option that stands for it, because the parent's
        methods read it by its old name.
        """
        data_plugin = self.that_makes(data_type)
        who = f"data plugin {data_plugin.__name__}"
        options, replaced = self._options[data_plugin], self._replaced(data_plugin)
        own = {
            name: option.value(self._config, defaults, who=who)
            for name, option in options.items()
            if name not in replaced or option.child_option
        }
        return {name: _own_copy(own[replaced.get(name, name)]) for name in options}

    def _replaced(self, data_plugin: type[Plugin]) -> dict[str, str]:
        options = self._options[data_plugin]
        return replaced_by_child_options(options) if data_plugin.child_plugin else {}

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
        return Lineage(
            {
                lineage_name(data_plugin): (
                    data_plugin.__name__,
                    data_plugin.__version__,
                    self._tracked(data_plugin, defaults),
                )
                for data_plugin in dict.fromkeys(self.closure(data_type).values())
            }
        )

    def _tracked(self, data_plugin: type[Plugin], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in the lineage beside the version: options, and a child plugin's parents."""
        options, replaced = self._options[data_plugin], self._replaced(data_plugin)
        tracked = {
            name: value
            for name, value in self.values(lineage_name(data_plugin), defaults).items()
            if options[name].track and name not in replaced
        }
        if data_plugin.child_plugin:
            for parent in data_plugin.__bases__:
                tracked[parent.__name__] = parent.__version__  # type: ignore[attr-defined]
        return tracked

    def instances(
        self, data_types: str | Iterable[str], *, run_id: str, defaults: Mapping[str, Any]
    ) -> dict[type[Plugin], Plugin]:
        """Return data plugins ready to make these data types and all that they depend on."""
        instances: dict[type[Plugin], Plugin] = {}
        for data_type, data_plugin in self.closure(data_types).items():
            if data_plugin not in instances:
                instances[data_plugin] = prepared(
                    data_plugin,
                    run_id=run_id,
                    config=self.values(data_type, defaults),
                    deps={
                        needed: instances[self.that_makes(needed)]
                        for needed in dependencies(data_plugin)
                    },
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
