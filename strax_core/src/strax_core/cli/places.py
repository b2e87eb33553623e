"""From what a user typed to an open place."""

import os
from pathlib import Path

from strax_core.arguments import did_you_mean
from strax_core.config import ENVIRONMENT_VARIABLE, FILE_NAME, Settings, load_settings, open_storage
from strax_core.errors import ConfigError, ReadOnlyError
from strax_core.frontend import StorageFrontend


def open_place(place: str, config: str | None, *, readonly: bool) -> StorageFrontend:
    """Open a path, a URL, or a name in ``strax.toml``; to look only, if `readonly`.

    Raises:
        ConfigError: it is none of them, or a name and a directory, and which one is not certain.
        PluginError: the storage plugin is missing or broken.
    """
    settings = load_settings(config)
    is_named = config is not None or bool(os.environ.get(ENVIRONMENT_VARIABLE))
    if place in settings.storage and not is_named:
        _refuse_two_meanings(place, settings)
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


def _refuse_two_meanings(place: str, settings: Settings) -> None:
    """Refuse a name of a strax.toml that nobody named, if a directory here is called so, too.

    Whoever may write here could put such a file beside it, and send a `strax clean` elsewhere.
    """
    path = settings.storage[place].get("path")
    meant = settings.folder / os.path.expanduser(path) if isinstance(path, str) else None  # noqa: PTH111 - as above
    if Path(place).is_dir() and not (meant and meant.is_dir() and meant.samefile(place)):
        raise ConfigError(
            f"{place!r} is a place in {settings.path}, and another directory here: write ./{place} "
            f"for the directory, or add --config {settings.path} for the place"
        )


def _check_directory(place: str, settings: Settings) -> None:
    if Path(os.path.expanduser(place)).is_dir():  # noqa: PTH111 - an unknown user's home raises there
        return
    where = settings.path or f"{FILE_NAME} (there is none here or above)"
    hint = did_you_mean(place, settings.storage) if settings.storage else ""
    raise ConfigError(f"{place!r} is no directory, and no place in {where} {hint}".rstrip())
