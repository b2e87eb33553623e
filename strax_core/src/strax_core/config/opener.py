"""Making frontends and backends from tables: which class, which options go to whom."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from strax_core.arguments import did_you_mean
from strax_core.backend import StorageBackend
from strax_core.config.options import (
    Table,
    build_options,
    checked_value,
    option_fields,
    refuse_password,
)
from strax_core.config.settings import Settings, load_settings
from strax_core.errors import ConfigError, PluginError, StorageError
from strax_core.frontend import StorageFrontend
from strax_core.storage_plugins import Registry, Served, default_registry

_CORE_FRONTEND = "strax_core.frontend.directory:DirectoryFrontend"


def frontend_options() -> dict[str, Any]:
    """Return the options of every StorageFrontend, with their types: its keyword arguments."""
    hints = get_type_hints(StorageFrontend.__init__)
    parameters = inspect.signature(StorageFrontend).parameters.values()
    return {each.name: hints[each.name] for each in parameters if each.kind is each.KEYWORD_ONLY}


class Opener:
    """Opens storage with one set of settings and one registry. Each raises as `open_storage`."""

    def __init__(
        self,
        settings: Settings | None,
        registry: Registry | None,
        *,
        overrides: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._overrides = dict(overrides)
        self._registry = registry if registry is not None else default_registry()

    @property
    def settings(self) -> Settings:
        """The settings; strax.toml is read on the first question."""
        if self._settings is None:
            self._settings = load_settings()
        return self._settings

    def from_settings(self, name: str) -> StorageFrontend:
        """Open ``[storage.NAME]``."""
        place = f"[storage.{name}] of {self.settings.path}"
        values = {"name": name, **self.settings.storage[name]}
        return self.from_table(Table(values, place, self.settings.folder))

    def from_url(self, url: str, folder: Path) -> StorageFrontend:
        """Open a URL; a password in it is refused, not repeated."""
        refuse_password(url, "storage")
        served = self._registry.for_scheme(url.partition("://")[0])
        options_class = _options_class(served)
        try:
            values = dict(options_class.from_url(url))
        except StorageError:
            raise
        except Exception as error:
            raise ConfigError(f"storage {url!r} is not a URL of {served.provided.name}") from error
        return self._frontend(served, Table({"name": url, **values}, f"storage {url!r}", folder))

    def from_table(self, table: Table) -> StorageFrontend:
        """Open what the key ``frontend`` of a table names, with its other keys as options."""
        served = self._registry.frontend(_word(table, "frontend"))
        return self._frontend(served, _without(table, "frontend"))

    def named_backend(self, name: str) -> StorageBackend:
        """Open ``[backends.NAME]``."""
        backends = self.settings.backends
        if name not in backends:
            where = self.settings.path or "the settings"
            raise ConfigError(f"{where}: no [backends.{name}] {did_you_mean(name, backends)}")
        place = f"[backends.{name}] of {self.settings.path}"
        return self.backend(Table(backends[name], place, self.settings.folder))

    def backend(self, table: Table) -> StorageBackend:
        """Open what the key ``backend`` of a table names, with its other keys as options."""
        served = self._registry.backend(_word(table, "backend"))
        return self._backend(served, _without(table, "backend"))

    def _backend(self, served: Served, table: Table) -> StorageBackend:
        backend = _construct(served, served.load_target(), *self._options(served, table))
        if not isinstance(backend, StorageBackend):
            raise PluginError(f"{served.distribution}: {backend!r} is not a StorageBackend")
        return backend

    def _frontend(self, served: Served, table: Table) -> StorageFrontend:
        values = {**table.values, **self._overrides}
        for_frontend, for_medium = _split(served, Table(values, table.place, table.folder))
        hints = frontend_options()
        options = {key: checked_value(for_frontend, key, hints[key]) for key in for_frontend.values}
        if served.kind == "backend":
            frontend_class = served.load_target(served.provided.frontend or _CORE_FRONTEND)
            backend = self._backend(served, for_medium)
            frontend = _construct(served, frontend_class, backend, **options)
        else:
            arguments = self._options(served, for_medium)
            frontend = _construct(served, served.load_target(), *arguments, **options)
        if not isinstance(frontend, StorageFrontend):
            raise PluginError(f"{served.distribution}: {frontend!r} is not a StorageFrontend")
        return frontend

    def _options(self, served: Served, table: Table) -> tuple[Any, ...]:
        """Return the arguments for the class: its options, or none if it takes none."""
        if served.provided.options is None:
            table.refuse_unknown([])
            return ()
        options_class = _options_class(served)
        values = dict(table.values)
        for name, field in option_fields(options_class).items():
            if field.metadata.get("backends") and name in values:
                values[name] = self._backends(values[name], table, name)
        return (build_options(options_class, Table(values, table.place, table.folder)),)

    def _backends(self, given: object, table: Table, key: str) -> dict[str, StorageBackend]:
        """Open the backends of a frontend: names of the settings, or a table of other backends."""
        if isinstance(given, Mapping):
            return {
                str(name): self._any_backend(each, table, f"{key}.{name}")
                for name, each in given.items()
            }
        if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
            raise ConfigError(
                f"{table.place}: {key!r} must be a list of names of [backends.NAME], or a table of "
                "backends by name"
            )
        return {name: self.named_backend(name) for name in given}

    def _any_backend(self, given: object, table: Table, key: str) -> StorageBackend:
        if isinstance(given, StorageBackend):
            return given
        if isinstance(given, Mapping):
            return self.backend(Table(given, f"{key!r} of {table.place}", table.folder))
        raise ConfigError(
            f"{table.place}: {key!r} must be a backend, or a table such as "
            '{ backend = "local", path = "…" }'
        )


def _word(table: Table, key: str) -> str:
    if key not in table.values:
        raise ConfigError(f'{table.place}: the key {key!r} is missing, as in {key} = "local"')
    word: str = checked_value(table, key, str)
    return word


def _without(table: Table, key: str) -> Table:
    values = {name: value for name, value in table.values.items() if name != key}
    return Table(values, table.place, table.folder)


def _split(served: Served, table: Table) -> tuple[Table, Table]:
    """Return the options of the frontend, and those of the medium."""
    of_medium = option_fields(_options_class(served)) if served.provided.options else {}
    of_frontend = frontend_options()
    both = of_frontend.keys() & of_medium.keys()
    if both:
        raise PluginError(
            f"{served.kind} {served.provided.name!r} of {served.distribution} is broken: its "
            f"options class uses names of frontend options: {', '.join(sorted(both))}"
        )
    table.refuse_unknown([*of_frontend, *of_medium])
    ours = {key: value for key, value in table.values.items() if key in of_frontend}
    rest = {key: value for key, value in table.values.items() if key not in of_frontend}
    return (
        Table(ours, table.place, table.folder),
        Table(rest, table.place, table.folder),
    )


def _options_class(served: Served) -> Any:
    return served.load_target(served.provided.options)


def _construct(served: Served, made_class: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return made_class(*arguments, **options)
    except StorageError:
        raise
    except Exception as error:
        raise PluginError(
            f"{served.kind} {served.provided.name!r} of {served.distribution} {served.version} "
            f"could not be opened ({type(error).__name__})"
        ) from error
