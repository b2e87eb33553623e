"""The file strax.toml: where it is, and what stands in it."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strax_core.arguments import did_you_mean
from strax_core.concurrency import BUFFER_BYTES
from strax_core.config.options import Table, build_options, checked_value
from strax_core.errors import ConfigError, PluginError

FILE_NAME = "strax.toml"
ENVIRONMENT_VARIABLE = "STRAX_CONFIG"
REQUIRED = "required_storage_plugins"


@dataclass(frozen=True, kw_only=True)
class ContextSettings:
    """A table ``[context.NAME]``; these fields are the keys that it accepts."""

    storage: tuple[str, ...] | None = None  # names, paths or URLs; None: not said, () is none
    plugins: tuple[str, ...] = ()  # importable modules with data plugins
    fuzzy_for: tuple[str, ...] = ()
    fuzzy_for_options: tuple[str, ...] = ()
    allow_incomplete: bool = False
    use_per_run_defaults: bool = False
    forbid_creation_of: tuple[str, ...] = ()
    buffer_bytes: int = BUFFER_BYTES
    config: Mapping[str, object] = field(default_factory=dict)  # options of the data plugins


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The tables of one strax.toml; without a file, none.

    The tables of storage and backends are checked when one is opened, so that a wrong one does
    not spoil the others.
    """

    path: Path | None = None
    storage: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    backends: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    contexts: Mapping[str, ContextSettings] = field(default_factory=dict)
    required_storage_plugins: tuple[str, ...] = ()  # as `pip install` takes them; all are here

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the file start from."""
        return self.path.parent if self.path is not None else Path.cwd()

    def context(self, name: str) -> ContextSettings:
        """Return the context of this name.

        Raises:
            ConfigError: there is no such context.
        """
        if name not in self.contexts:
            if self.path is None:
                raise ConfigError(f"no context {name!r}: there is no {FILE_NAME} here or above")
            hint = did_you_mean(name, self.contexts)
            raise ConfigError(f"{self.path} has no context {name!r} {hint}")
        return self.contexts[name]


def find_config_file(path: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the one file to read, or None if there is none.

    The first of: ``path``, ``$STRAX_CONFIG``, strax.toml in this folder or the nearest parent,
    ``strax/strax.toml`` in the user's config folder (``$XDG_CONFIG_HOME`` or ``~/.config``).

    Raises:
        ConfigError: ``path`` or ``$STRAX_CONFIG`` names a file that does not exist.
    """
    if path is not None:
        return _existing(path, "the file given as path=")
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if from_environment:
        return _existing(from_environment, f"the file that ${ENVIRONMENT_VARIABLE} names")
    here = Path.cwd()
    folders = [here, *here.parents]
    users = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - never raises
    folders.append(Path(users) / "strax")
    for folder in folders:
        if os.path.isfile(folder / FILE_NAME):  # noqa: PTH113 - a folder we may not enter has none
            return folder / FILE_NAME
    return None


def load_settings(path: str | os.PathLike[str] | None = None) -> Settings:
    """Read strax.toml, found as in `find_config_file`; empty settings if there is none.

    Raises:
        ConfigError: the file is missing, cannot be read, is not TOML, or holds an unknown key.
        PluginError: a storage plugin that it requires is not installed in a version that fits.
    """
    file = find_config_file(path)
    if file is None:
        return Settings()
    document = _parsed(file)
    top = Table(document, str(file), file.parent)
    top.refuse_unknown([REQUIRED, "storage", "backends", "context"])
    return Settings(
        path=file,
        required_storage_plugins=_required(top),
        storage=_tables(top, "storage"),
        backends=_tables(top, "backends"),
        contexts={
            name: build_options(ContextSettings, _table_of(file, f"context.{name}", table))
            for name, table in _tables(top, "context").items()
        },
    )


def _required(top: Table) -> tuple[str, ...]:
    """Return the storage plugins that the file requires, if all are installed."""
    if REQUIRED not in top.values:
        return ()
    from strax_core.storage_plugins import parsed, unmet

    texts: tuple[str, ...] = checked_value(top, REQUIRED, tuple[str, ...])
    problems = {text: unmet(parsed(text, where=f"{top.place}: {REQUIRED}")) for text in texts}
    missing = [text for text, problem in problems.items() if problem]
    if missing:
        whats = "; ".join(problem for problem in problems.values() if problem)
        install = " ".join(f"'{text}'" for text in missing)
        raise PluginError(f"{top.place} requires storage plugins: {whats}; `pip install {install}`")
    return texts


def _table_of(file: Path, name: str, values: Mapping[str, object]) -> Table:
    return Table(values, f"[{name}] of {file}", file.parent)


def _existing(path: str | os.PathLike[str], who: str) -> Path:
    file = Path(path)
    if file.parts and file.parts[0].startswith("~"):
        file = Path(os.path.expanduser(file))  # noqa: PTH111 - leaves an unknown user's as it is
    if not os.path.isfile(file):  # noqa: PTH113 - a folder we may not enter has none
        raise ConfigError(f"{who} does not exist: {file}")
    return file.absolute()


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text, at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def _tables(top: Table, key: str) -> dict[str, dict[str, object]]:
    """Return the tables ``[key.NAME]`` by name."""
    tables = top.values.get(key, {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{top.place}: {key!r} holds tables, as in [{key}.NAME]")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{top.place}: [{key}] holds tables; {name!r} is none")
    return tables
