"""Loading storage plugins one by one, so that a broken one never stops the others."""

import importlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pluggy

from strax_core import builtin, hookspecs
from strax_core.errors import PluginError
from strax_core.hookspecs import ENTRY_POINT_GROUP, PROJECT_NAME, Provided

Kind = Literal["backend", "frontend", "codec"]
CORE_DISTRIBUTION = "strax-core"
HOOKS: Mapping[str, Kind] = {
    "strax_backends": "backend",
    "strax_frontends": "frontend",
    "strax_codecs": "codec",
}
_log = logging.getLogger("strax_core")


class EntryPointLike(Protocol):
    """What discovery needs of `importlib.metadata.EntryPoint`."""

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

    def load_target(self, target: str | None = None) -> Any:
        """Import and return a class of this storage plugin, by default the one it provides.

        Raises:
            PluginError: the import fails; names the distribution and what is missing.
        """
        path = self.provided.target if target is None else target
        module_name, _, class_name = path.partition(":")
        who = f"{self.kind} {self.provided.name!r} of {self.distribution} {self.version}"
        extra = self.provided.extra
        package = self.distribution if extra is None else f'"{self.distribution}[{extra}]"'
        try:
            return getattr(importlib.import_module(module_name), class_name)
        except ModuleNotFoundError as error:
            raise PluginError(
                f"{who} needs the module {error.name!r}, which is not installed; "
                f"`pip install {package}` installs what it needs"
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
        return "" if self.error is None else describe(self.error)


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
    try:
        core_version = importlib.metadata.version(CORE_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        core_version = "unknown"
    core = StoragePlugin("core", CORE_DISTRIBUTION, core_version)
    found = [_with_hooks_of(core, builtin)]
    found.extend(_load_entry_point(entry_point) for entry_point in entry_points)
    return tuple(found)


def _load_entry_point(entry_point: EntryPointLike) -> StoragePlugin:
    plugin = StoragePlugin(entry_point.name, *_distribution_of(entry_point))
    try:
        return _with_hooks_of(plugin, entry_point.load())
    except Exception as error:  # noqa: BLE001 - whatever it raises, the others must go on
        _log.info("storage plugin %s was not loaded: %s", plugin.distribution, describe(error))
        return StoragePlugin(plugin.entry_point, plugin.distribution, plugin.version, (), error)


def _distribution_of(entry_point: EntryPointLike) -> tuple[str, str]:
    try:
        return str(entry_point.dist.name), str(entry_point.dist.version)
    except Exception:  # noqa: BLE001 - damaged metadata of one package must not stop the others
        return "an unknown distribution", "unknown"


def _with_hooks_of(plugin: StoragePlugin, module: object) -> StoragePlugin:
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
                Served(kind, provided, plugin.distribution, plugin.version)
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
