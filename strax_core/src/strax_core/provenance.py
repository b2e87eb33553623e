"""Which data plugins make what, from what, with which options: lineages."""

from collections.abc import Iterable, Mapping
from typing import Any

from strax_core.errors import ConfigError
from strax_core.keys import Lineage
from strax_core.option import options_of
from strax_core.plugin import Plugin, check_data_plugin, dependencies, provided
from strax_core.suggestions import did_you_mean


class DataPlugins:
    """The registered data plugins, by the data type they make."""

    def __init__(self, classes: Iterable[type[Plugin]] = ()) -> None:
        self._classes: dict[str, type[Plugin]] = {}
        for data_plugin in classes:
            self.register(data_plugin)

    def __iter__(self) -> Iterable[str]:
        return iter(self._classes)

    def register(self, data_plugin: type[Plugin]) -> None:
        """Add a data plugin; one for the same data type is replaced, as in strax.

        Raises:
            ConfigError: it is not a data plugin.
        """
        check_data_plugin(data_plugin)
        self._classes[provided(data_plugin)] = data_plugin

    def classes(self) -> list[type[Plugin]]:
        """Return all of them."""
        return list(self._classes.values())

    def that_makes(self, data_type: str) -> type[Plugin]:
        """Return the data plugin that makes a data type.

        Raises:
            ConfigError: none does.
        """
        try:
            return self._classes[data_type]
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"no registered data plugin makes {data_type!r} {did_you_mean(str(data_type), self._classes)}"
            ) from error

    def closure(self, data_type: str) -> dict[str, type[Plugin]]:
        """Return the data plugin that makes a data type, then those of all it depends on.

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
            found[data_type] = self.that_makes(data_type)
        except ConfigError as error:
            if path:
                raise ConfigError(f"{path[-1]} depends on {data_type}: {error}") from error
            raise
        for needed in dependencies(found[data_type]):
            self._collect(needed, found, (*path, data_type))

    def config_of(
        self, data_type: str, config: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the value of every option of one data plugin: config > run's defaults > default."""
        data_plugin = self.that_makes(data_type)
        who = f"data plugin {data_plugin.__name__}"
        return {
            name: option.value(config, defaults, who=who)
            for name, option in options_of(data_plugin).items()
        }

    def lineage(
        self, data_type: str, config: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> Lineage:
        """Return class name, version and tracked options of all that takes part in a data type."""
        entries = {}
        for name, data_plugin in self.closure(data_type).items():
            options = options_of(data_plugin)
            values = self.config_of(name, config, defaults)
            tracked = {option: value for option, value in values.items() if options[option].track}
            entries[name] = (data_plugin.__name__, data_plugin.__version__, tracked)
        return Lineage(entries)

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Refuse options that no registered data plugin takes: most likely a misspelt name.

        Raises:
            ConfigError: with the nearest names.
        """
        known = {name for data_plugin in self.classes() for name in options_of(data_plugin)}
        for name in config:
            if name not in known:
                raise ConfigError(
                    f"no registered data plugin takes the option {name!r} {did_you_mean(str(name), known)}"
                )
