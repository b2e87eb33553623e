"""The table of what installed storage plugins serve, looked up by name or URL scheme."""

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from strax_core.arguments import did_you_mean
from strax_core.errors import ConfigError, PluginError, StorageError
from strax_core.storage_plugins.discovery import (
    EntryPointLike,
    Kind,
    RefusedError,
    Served,
    StoragePlugin,
    discover,
)

# Names and URL schemes of our own storage plugins; for any other name a hint would be a guess.
WELL_KNOWN = {
    "local": "strax-local",
    "file": "strax-local",
    "ssh": "strax-ssh",
    "sftp": "strax-ssh",
    "s3": "strax-s3",
    "sql": "strax-sql",
}


@dataclass(frozen=True)
class Listed:
    """A line of the list of storage plugins."""

    kind: Kind | None  # None: it could not be loaded, so nobody knows
    name: str  # of the backend, frontend or codec; of the entry point if it could not be loaded
    distribution: str
    version: str
    schemes: tuple[str, ...] = ()
    help: str = ""
    error: str | None = None  # why it cannot be used as it is


class Registry:
    """Backends, frontends and codecs by name.

    - Storage plugins are loaded on the first question, once; safe to ask from several threads.
    - Only their light hook modules are imported; an SDK is imported by `Served.load_target`.
    - A name may be ``"name"``, or ``"distribution:name"`` where several claim it.

    Args:
        entry_points: instead of the installed ones, for tests.
    """

    def __init__(self, entry_points: Iterable[EntryPointLike] | None = None) -> None:
        self._entry_points = entry_points
        self._discovered: tuple[StoragePlugin, ...] | None = None
        self._lock = threading.RLock()

    def backend(self, name: str) -> Served:
        """Return the backend of this name.

        Raises:
            ConfigError: nothing is called so.
            PluginError: its storage plugin is not installed or broken, or several claim the name.
        """
        return self._one_named(name, ("backend",))

    def frontend(self, name: str) -> Served:
        """Return the frontend of this name, else the backend of this name. Raises as `backend`."""
        return self._one_named(name, ("frontend", "backend"))

    def codec(self, name: str) -> Served:
        """Return the codec of this name. Raises as `backend`."""
        return self._one_named(name, ("codec",))

    def for_scheme(self, scheme: str) -> Served:
        """Return the frontend or backend that serves ``scheme://…``. Raises as `backend`."""
        wanted = scheme.lower()
        storages = self._of_kinds(("frontend", "backend"))
        claims = [each for each in storages if wanted in each.provided.schemes]
        if claims:
            return _only_one(claims, f"'{wanted}://'")
        served = sorted({each for storage in storages for each in storage.provided.schemes})
        what = f"no storage plugin serves '{wanted}://'"
        raise self._why_missing(wanted, None, what, f"(served: {', '.join(served)})")

    def listing(self) -> list[Listed]:
        """Return everything that is installed, the broken ones last."""
        lines: list[Listed] = []
        broken: list[Listed] = []
        for plugin in self._plugins():
            lines.extend(self._listed(each) for each in plugin.served)
            if plugin.error is not None:
                who = (plugin.distribution, plugin.version)
                broken.append(Listed(None, plugin.entry_point, *who, error=plugin.reason))
        return list(dict.fromkeys(lines)) + broken

    def _listed(self, served: Served) -> Listed:
        provided = served.provided
        rivals = [
            f"{other.distribution} {other.version}"
            for other in self._of_kinds(_competing(served.kind))
            if _are_rivals(served, other) and _claim_the_same(served, other)
        ]
        troubles = []
        if rivals:
            choice = f"{served.distribution}:{provided.name}"
            others = ", ".join(dict.fromkeys(rivals))
            troubles.append(f"also claimed by {others}; choose this one with {choice!r}")
        if lacks := served.lacks:
            troubles.append(
                f"{', '.join(lacks)}; `pip install {served.package}` installs what it needs"
            )
        error = "; ".join(troubles) or None
        who = (served.distribution, served.version)
        return Listed(served.kind, provided.name, *who, provided.schemes, provided.help, error)

    def _plugins(self) -> tuple[StoragePlugin, ...]:
        with self._lock:
            if self._discovered is None:
                self._discovered = discover(self._entry_points)
            return self._discovered

    def _of_kinds(self, kinds: tuple[Kind, ...]) -> list[Served]:
        every = [each for plugin in self._plugins() for each in plugin.served]
        return [each for kind in kinds for each in every if each.kind == kind]

    def _one_named(self, name: str, kinds: tuple[Kind, ...]) -> Served:
        distribution, colon, short_name = name.rpartition(":")
        served = self._of_kinds(kinds)
        claims = [each for each in served if each.provided.name == short_name]
        if colon:
            wanted = canonicalize_name(distribution)
            claims = [each for each in claims if canonicalize_name(each.distribution) == wanted]
        if claims:
            return _only_one(claims, repr(name))
        hint = did_you_mean(short_name, {each.provided.name for each in served})
        what = f"no storage plugin serves the {kinds[0]} {name!r}"
        raise self._why_missing(short_name, distribution or None, what, hint)

    def _why_missing(
        self, name: str, distribution: str | None, what: str, hint: str
    ) -> StorageError:
        broken = [plugin for plugin in self._plugins() if plugin.error is not None]
        for plugin in broken:
            if _is_about(plugin, name, distribution):
                who = f"the storage plugin {plugin.distribution} {plugin.version}"
                why = f"failed to load ({plugin.reason}); reinstall it or try another version"
                if isinstance(plugin.error, RefusedError):
                    why = plugin.reason
                error = PluginError(f"{what}: {who} {why}")
                error.__cause__ = plugin.error
                return error
        if name in WELL_KNOWN and distribution is None:
            return PluginError(f"{what}: it is not installed, `pip install {WELL_KNOWN[name]}`")
        if broken:
            names = ", ".join(sorted(plugin.distribution for plugin in broken))
            hint = f"{hint}; not loaded: {names} (see `strax plugins`)"
        return ConfigError(f"{what} {hint}")


def _is_about(plugin: StoragePlugin, name: str, distribution: str | None) -> bool:
    installed = canonicalize_name(plugin.distribution)
    if distribution is not None:
        return installed == canonicalize_name(distribution)
    return plugin.entry_point == name or installed in {f"strax-{name}", WELL_KNOWN.get(name)}


def _competing(kind: Kind) -> tuple[Kind, ...]:
    return ("codec",) if kind == "codec" else ("frontend", "backend")


def _claim_the_same(one: Served, other: Served) -> bool:
    same_scheme = set(one.provided.schemes) & set(other.provided.schemes)
    return one.provided.name == other.provided.name or bool(same_scheme)


def _are_rivals(one: Served, other: Served) -> bool:
    # One distribution may bring a frontend and a backend of one name; the frontend is then meant.
    return one != other and (one.kind == other.kind or one.distribution != other.distribution)


def _only_one(claims: list[Served], what: str) -> Served:
    first = claims[0]
    rivals = [first, *dict.fromkeys(each for each in claims if _are_rivals(first, each))]
    if len(rivals) == 1:
        return first
    who = " and ".join(f"{each.distribution} {each.version}" for each in rivals)
    choices = " or ".join(repr(f"{each.distribution}:{each.provided.name}") for each in rivals)
    raise PluginError(f"{what} is claimed by {who}; choose one by its full name: {choices}")


_default: list[Registry] = []
_default_lock = threading.Lock()


def _renew_locks() -> None:
    """In a forked process: the thread that held a lock is not there to release it."""
    global _default_lock  # noqa: PLW0603 - it is one for the whole process
    _default_lock = threading.Lock()
    for registry in _default:
        registry._lock = threading.RLock()  # noqa: SLF001 - our own


os.register_at_fork(after_in_child=_renew_locks)


def default_registry() -> Registry:
    """Return the registry of this process; the same object every time."""
    with _default_lock:
        if not _default:
            _default.append(Registry())
        return _default[0]
