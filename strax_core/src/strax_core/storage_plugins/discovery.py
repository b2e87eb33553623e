"""Loading storage plugins one by one, so that a broken one never stops the others."""

import importlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pluggy
from packaging.utils import canonicalize_name

from strax_core.errors import PluginError
from strax_core.storage_plugins import builtin, hookspecs
from strax_core.storage_plugins.hookspecs import ENTRY_POINT_GROUP, PROJECT_NAME, Provided
from strax_core.storage_plugins.requirements import (
    CORE_DISTRIBUTION,
    is_core,
    needs,
    unmet,
    version_of,
)

Kind = Literal["backend", "frontend", "codec"]
DISABLE = "STRAX_STORAGE_PLUGINS_DISABLE"
ONLY = "STRAX_STORAGE_PLUGINS_ONLY"
HOOKS: Mapping[str, Kind] = {
    "strax_backends": "backend",
    "strax_frontends": "frontend",
    "strax_codecs": "codec",
}

_log = logging.getLogger("strax_core")


class EntryPointLike(Protocol):
    """The part of `importlib.metadata.EntryPoint` that discovery needs."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as in importlib.metadata
    @property
    def dist(self) -> Any: ...  # noqa: D102 - as in importlib.metadata
    def load(self) -> Any: ...  # noqa: D102 - as in importlib.metadata


@dataclass(frozen=True)
class Served:
    """One backend, frontend or codec, with the distribution that brings it."""

    kind: Kind
    provided: Provided
    distribution: str
    version: str
    requires: tuple[str, ...] = ()
    """Requirements of its distribution, as its metadata say them."""

    @property
    def lacks(self) -> tuple[str, ...]:
        """Requirements of its distribution that are not installed as they should be.

        By what is installed, not by importing it: an SDK may be slow to import.
        """
        wanted = needs(self.requires, extra=self.provided.extra)
        return tuple(problem for each in wanted if not is_core(each) and (problem := unmet(each)))

    @property
    def package(self) -> str:
        """Text that `pip install` takes to install all that it needs."""
        extra = self.provided.extra
        return self.distribution if extra is None else f'"{self.distribution}[{extra}]"'

    def load_target(self, target: str | None = None) -> Any:
        """Import and return a class of this storage plugin, by default the one it provides.

        Raises:
            PluginError: the import fails; names the distribution and what is missing.
        """
        path = self.provided.target if target is None else target
        module_name, _, class_name = path.partition(":")
        who = f"{self.kind} {self.provided.name!r} of {self.distribution} {self.version}"
        try:
            return getattr(importlib.import_module(module_name), class_name)
        except ModuleNotFoundError as error:
            raise PluginError(
                f"{who} needs the module {error.name!r}, which is not installed; "
                f"`pip install {self.package}` installs what it needs"
            ) from error
        except AttributeError as error:
            raise PluginError(
                f"{who} is broken: {path} cannot be loaded ({describe(error)}); "
                f"try another version of {self.distribution}"
            ) from error
        except Exception as error:
            raise PluginError(
                f"{who} cannot be imported ({describe(error)}); "
                f"reinstall {self.distribution} or try another version"
            ) from error


class RefusedError(PluginError):
    """It was not even tried; the message says why, and the way out."""


@dataclass(frozen=True)
class StoragePlugin:
    """One entry point: what it serves, or why it could not be loaded."""

    entry_point: str
    distribution: str
    version: str
    served: tuple[Served, ...] = ()
    error: Exception | None = None

    @property
    def reason(self) -> str:
        """The error in one line; empty if there is none."""
        if self.error is None:
            return ""
        return str(self.error) if isinstance(self.error, RefusedError) else describe(self.error)


def describe(error: BaseException) -> str:
    """Return type and message of an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def discover(entry_points: Iterable[EntryPointLike] | None = None) -> tuple[StoragePlugin, ...]:
    """Load core's own hooks and every installed storage plugin; failures are recorded, not raised.

    Args:
        entry_points: instead of the installed ones, for tests.
    """
    import importlib.metadata

    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    core = StoragePlugin("core", CORE_DISTRIBUTION, version_of(CORE_DISTRIBUTION) or "unknown")
    requires = importlib.metadata.requires(CORE_DISTRIBUTION) if core.version != "unknown" else None
    found = [_with_hooks_of(core, builtin, requires)]
    found.extend(_load_entry_point(entry_point) for entry_point in entry_points)
    _warn_of_unknown_names(found[1:])
    return tuple(found)


def _load_entry_point(entry_point: EntryPointLike) -> StoragePlugin:
    plugin = StoragePlugin(entry_point.name, *_distribution_of(entry_point))
    requires = getattr(entry_point.dist, "requires", None)
    try:
        _check_wanted(plugin)
        _check_made_for_this_core(plugin, requires)
        return _with_hooks_of(plugin, entry_point.load(), requires)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the others must go on
        _log.info("storage plugin %s was not loaded: %s", plugin.distribution, describe(error))
        return StoragePlugin(plugin.entry_point, plugin.distribution, plugin.version, (), error)


def _check_wanted(plugin: StoragePlugin) -> None:
    """Refuse what the environment switches off; it is not imported."""
    if _names_of(plugin) & _named_in(DISABLE):
        raise RefusedError(f"is switched off: ${DISABLE} names it")
    only = _named_in(ONLY)
    if only and not _names_of(plugin) & only:
        raise RefusedError(f"is switched off: ${ONLY} does not name it")


def _check_made_for_this_core(plugin: StoragePlugin, requires: Iterable[str] | None) -> None:
    """Refuse what its own metadata say was made for another core; it is not imported."""
    if version_of(CORE_DISTRIBUTION) is None:
        return  # run from its source, which has no version
    for requirement in needs(requires):
        if is_core(requirement) and (problem := unmet(requirement)):
            raise RefusedError(
                f"is made for another strax-core ({problem}); install another version of "
                f"{plugin.distribution}, or `pip install "
                f"'{requirement.name}{requirement.specifier}'`"
            )


def _names_of(plugin: StoragePlugin) -> set[str]:
    return {canonicalize_name(plugin.distribution), canonicalize_name(plugin.entry_point)}


def _named_in(variable: str) -> set[str]:
    names = os.environ.get(variable, "").split(",")
    return {canonicalize_name(name.strip()) for name in names if name.strip()}


def _warn_of_unknown_names(plugins: Iterable[StoragePlugin]) -> None:
    known = {CORE_DISTRIBUTION}.union(*(_names_of(plugin) for plugin in plugins))
    for variable in (DISABLE, ONLY):
        for name in sorted(_named_in(variable) - known):
            _log.warning("$%s names %r, and no storage plugin of this name is here", variable, name)


def _distribution_of(entry_point: EntryPointLike) -> tuple[str, str]:
    try:
        return str(entry_point.dist.name), str(entry_point.dist.version)
    except Exception:  # noqa: BLE001 - damaged metadata of one package must not stop the others
        return "an unknown distribution", "unknown"


def _with_hooks_of(
    plugin: StoragePlugin, module: object, requires: Iterable[str] | None
) -> StoragePlugin:
    # A manager for each storage plugin: one that misspells a hook or raises in it concerns no
    # other, and two entry points of one name are both loaded.
    manager = pluggy.PluginManager(PROJECT_NAME)
    manager.add_hookspecs(hookspecs.StorageHooks)
    manager.register(module)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{error} (the hooks are {', '.join(HOOKS)})") from error
    if not manager.get_hookcallers(module):
        raise PluginError(f"{module!r} has no function marked @hookimpl")
    served: list[Served] = []
    for hook_name, kind in HOOKS.items():
        for answer in getattr(manager.hook, hook_name)():
            served.extend(
                Served(kind, provided, plugin.distribution, plugin.version, tuple(requires or ()))
                for provided in _checked(answer, hook_name)
            )
    return StoragePlugin(plugin.entry_point, plugin.distribution, plugin.version, tuple(served))


def _checked(answer: object, hook_name: str) -> list[Provided]:
    if not isinstance(answer, list | tuple):
        raise PluginError(f"{hook_name} must return a list, not {type(answer).__name__}")
    provided: list[Provided] = []
    for item in answer:
        if not isinstance(item, Provided):
            raise PluginError(f"{hook_name} must list Provided, not {type(item).__name__}")
        if any(item.name == other.name for other in provided):
            raise PluginError(f"{hook_name} lists the name {item.name!r} twice")
        provided.append(item)
    return provided
