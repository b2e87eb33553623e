"""From what a user typed to an open place."""

import os
from pathlib import Path

from strax_core.config import open_storage
from strax_core.errors import ConfigError, ReadOnlyError
from strax_core.frontend import StorageFrontend
from strax_core.settings import FILE_NAME, Settings, load_settings
from strax_core.suggestions import did_you_mean


def open_place(place: str, config: str | None, *, readonly: bool) -> StorageFrontend:
    """Open a path, a URL, or a name in ``strax.toml``; to look only, if `readonly`.

    Raises:
        ConfigError: it is none of them.
        PluginError: the storage plugin is missing or broken.
    """
    settings = load_settings(config)
    if place and "://" not in place and place not in settings.storage:
        _check_directory(place, settings)
        place = os.path.abspath(os.path.expanduser(place))  # noqa: PTH100, PTH111 - a text stays a text
    return open_storage(place, settings=settings, readonly=readonly)


def open_to_change(place: str, config: str | None, *, undone: str) -> StorageFrontend:
    """Open a place that is to be changed.

    Args:
        place: as of `open_place`.
        config: as of `open_place`.
        undone: what does not happen if it may not be changed: "nothing is {undone}".

    Raises:
        ReadOnlyError: the settings call it read-only.
        ConfigError, PluginError: as `open_place`.
    """
    frontend = open_place(place, config, readonly=False)
    if frontend.readonly:
        raise ReadOnlyError(f"{frontend.name} is read-only in the settings; nothing is {undone}")
    return frontend


def check_is_there(frontend: StorageFrontend) -> None:
    """Ask all backends something, before the place is opened to be changed, which might make it.

    Raises:
        StorageError: one is not there, or does not answer.
    """
    for backend in frontend.backends.values():
        next(iter(backend.list("")), None)


def _check_directory(place: str, settings: Settings) -> None:
    if Path(os.path.expanduser(place)).is_dir():  # noqa: PTH111 - an unknown user's home raises there
        return
    where = settings.path or f"{FILE_NAME} (there is none here or above)"
    hint = did_you_mean(place, settings.storage) if settings.storage else ""
    raise ConfigError(f"{place!r} is no directory, and no place in {where} {hint}".rstrip())
