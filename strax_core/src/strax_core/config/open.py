"""Storage by name: from a path, a URL, a table or a name to an open frontend or backend."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from strax_core.arguments import did_you_mean, near_name
from strax_core.backend import StorageBackend
from strax_core.config.opener import Opener
from strax_core.config.options import Table
from strax_core.config.settings import ContextSettings, Settings, find_config_file, load_settings
from strax_core.errors import ConfigError
from strax_core.frontend import StorageFrontend
from strax_core.storage_plugins import Registry

__all__ = [
    "ContextSettings",
    "Settings",
    "StorageSpec",
    "find_config_file",
    "load_settings",
    "open_backend",
    "open_storage",
]

StorageSpec: TypeAlias = str | os.PathLike[str] | Mapping[str, object] | StorageFrontend


def open_storage(
    spec: StorageSpec,
    *,
    settings: Settings | None = None,
    registry: Registry | None = None,
    from_file: bool = False,
    readonly: bool = False,
) -> StorageFrontend:
    """Return the frontend that a user named.

    A text with ``://`` is a URL; one with a ``/``, or that starts with ``.`` or ``~``, is a path;
    any other is a name of the settings, else, in Python, a path.

    Args:
        spec: a path, a URL, a name, a table such as ``{"frontend": "local", "path": …}``, or a
            frontend, which is returned as it is.
        settings: where names are looked up; by default strax.toml, read if a name needs it.
        registry: by default that of this process.
        from_file: the spec stands in the settings' file: relative paths start at the file, and a
            text that is neither name, path nor URL is an error.
        readonly: open it to look only, whatever the settings say: then nothing is made either.

    Raises:
        ConfigError: an unknown name, key or value.
        PluginError: the storage plugin is missing or broken, or several claim the name.
    """
    if isinstance(spec, StorageFrontend):
        return spec
    opener = Opener(settings, registry, overrides={"readonly": True} if readonly else {})
    folder = opener.settings.folder if from_file else Path.cwd()
    if isinstance(spec, Mapping):
        return opener.from_table(Table(spec, "storage given as a dictionary", folder))
    text = _text(spec)
    if isinstance(spec, str) and "://" in text:
        return opener.from_url(text, folder)
    is_path = not isinstance(spec, str) or text[0] in ".~" or "/" in text or os.sep in text
    if not is_path:
        if text in opener.settings.storage:
            return opener.from_settings(text)
        if from_file:
            hint = did_you_mean(text, opener.settings.storage)
            raise ConfigError(f"{opener.settings.path}: there is no [storage.{text}] {hint}")
        near = near_name(text, opener.settings.storage)
        if near is not None:
            raise ConfigError(
                f"{opener.settings.path} has no [storage.{text}]; did you mean {near!r}? "
                f"For a folder of that name write './{text}'"
            )
    return opener.from_table(
        Table({"frontend": "local", "path": text, "name": text}, f"storage {text!r}", folder)
    )


def open_backend(
    spec: str | Mapping[str, object],
    *,
    settings: Settings | None = None,
    registry: Registry | None = None,
) -> StorageBackend:
    """Return the backend of ``[backends.NAME]``, or of a table such as ``{"backend": "ssh", …}``.

    Raises as `open_storage`.
    """
    opener = Opener(settings, registry)
    if isinstance(spec, str):
        return opener.named_backend(spec)
    return opener.backend(Table(spec, "backend given as a dictionary", Path.cwd()))


def _text(spec: object) -> str:
    try:
        text = os.fspath(spec)  # type: ignore[call-overload]  # a wrong type is what we look for
    except TypeError:
        text = None
    if not isinstance(text, str) or not text:
        raise ConfigError(
            f"storage is named by a path, a URL, a dictionary or a name, not {type(spec).__name__}"
            f"{'; give its path' if type(spec).__name__ == 'DataDirectory' else ''}"
        )
    return text
