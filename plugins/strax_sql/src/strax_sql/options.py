"""Options of a database, and of the catalogue in it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from strax_core import ConfigError, SecretReference, StorageBackend

SQLITE = "sqlite:///"
_POSTGRESQL = "postgresql"
_HOW_TO_WRITE = "sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE"
_PASSWORD = re.compile(r"[^:/]+://[^:/@]*:[^@]*@")
_SECRET = {"password", "sslpassword"}


def located(url: object, folder: Path) -> object:
    """Return the URL of a database with a relative file of SQLite made absolute.

    Anything that is no such URL is returned as it is: the options refuse it, with a reason.

    Args:
        url: as a user wrote it; ``sqlite:///catalog.db`` is relative, as SQLAlchemy has it.
        folder: where a relative path starts.
    """
    if not isinstance(url, str) or not url.startswith(SQLITE) or url == SQLITE:
        return url
    file, question, query = url.removeprefix(SQLITE).partition("?")
    path = os.path.abspath(folder / Path(file).expanduser())  # noqa: PTH100 - takes `..` out
    return f"{SQLITE}{path}{question}{query}"


@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """A database: a file of SQLite, or a database of a PostgreSQL server."""

    __module__ = "strax_sql"

    url: str = field(metadata={"help": _HOW_TO_WRITE, "resolve": located})
    password: SecretReference | None = field(
        default=None,
        metadata={
            "help": "of the user at a PostgreSQL server; left out: its own ways (~/.pgpass, …)",
            "secret": True,
        },
    )
    timeout_s: float = field(
        default=15.0,
        metadata={"help": "how long a server may take to be reached, and another writer to end"},
    )
    retry_for_s: float = field(
        default=30.0,
        metadata={"help": "how long a transaction is tried again that others came in the way of"},
    )
    pool_size: int = field(
        default=8, metadata={"help": "connections that one process keeps, at most"}
    )

    def __post_init__(self) -> None:
        """Refuse what could only fail later; make the file of SQLite absolute.

        Raises:
            ConfigError: names the option, and never repeats a password.
        """
        _check_url(self.url)
        object.__setattr__(self, "url", located(self.url, Path.cwd()))
        for name in ("timeout_s", "pool_size"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} of a database must be above 0")
        if self.retry_for_s < 0:
            raise ConfigError("retry_for_s of a database must not be below 0")
        if self.password is not None and self.is_sqlite:
            raise ConfigError("a file of SQLite takes no password; leave it out")

    @property
    def is_sqlite(self) -> bool:
        """True if the database is a file of SQLite."""
        return self.url.startswith(SQLITE)

    @property
    def place(self) -> str:
        """Name of the database for people: its URL, without details of the connection."""
        return self.url.partition("?")[0]


@dataclass(frozen=True, kw_only=True)
class SqlOptions(DatabaseOptions):
    """A catalogue in a database, and the backends that hold the data it knows."""

    __module__ = "strax_sql"

    backends: Mapping[str, StorageBackend] = field(
        metadata={"help": "names of [backends.NAME], nearest first", "backends": True}
    )
    write_to: str | tuple[str, ...] | Mapping[str, Any] = field(
        default=(),
        metadata={
            "help": "names of the backends that take new data, best first; or a table of patterns "
            "of data types and such names; left out: the first that can write"
        },
    )
    mirror_runs: bool = field(
        default=True,
        metadata={"help": "keep documents about runs as files in the first backend, too"},
    )
    outage_s: float = field(
        default=60.0,
        metadata={"help": "how long a backend that did not answer is asked after the others"},
    )

    def __post_init__(self) -> None:
        """Refuse what could only fail later.

        Raises:
            ConfigError: names the option.
        """
        super().__post_init__()
        if not self.backends:
            raise ConfigError("a catalogue needs backends: name one [backends.NAME] or more")
        if self.outage_s < 0:
            raise ConfigError("outage_s of a catalogue must not be below 0")
        for name in self.writable_names():
            if name not in self.backends:
                known = ", ".join(self.backends)
                raise ConfigError(f"write_to names {name!r}, which is none of backends ({known})")

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        """Take ``sqlite:///catalog.db?backends=disk,hall&write_to=disk`` apart."""
        place, _, query = url.partition("?")
        given = parse_qsl(query, keep_blank_values=True)
        ours = {name: text for name, text in given if name in {"backends", "write_to"}}
        rest = urlencode([(name, text) for name, text in given if name not in ours])
        if "backends" not in ours:
            raise ConfigError(
                f"{place} does not say where the data are: add ?backends=NAME,NAME, which are "
                "names of [backends.NAME], or use a table of strax.toml"
            )
        values: dict[str, object] = {name: text.split(",") for name, text in ours.items()}
        return {"url": f"{place}?{rest}" if rest else place, **values}

    def writable_names(self) -> list[str]:
        """Return the names of backends that `write_to` holds, each once."""
        if isinstance(self.write_to, Mapping):
            named = [name for value in self.write_to.values() for name in _names(value)]
        else:
            named = _names(self.write_to)
        return list(dict.fromkeys(named))


def _names(value: object) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError("write_to is a name of backends, a list of them, or a table of such")
    return list(names)


def _check_url(url: str) -> None:
    """Refuse a URL that names no database, or holds a password; then it is not repeated."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        _ = parts.port
    except ValueError:
        raise ConfigError(f"the url of a database is {_HOW_TO_WRITE}") from None
    # With / ? or # in it, only SQLAlchemy takes it for a password.
    if parts.password is not None or _PASSWORD.match(url) or not _SECRET.isdisjoint(query):
        raise ConfigError(
            "the url of a database holds a password: leave it out, and give "
            'password = { env = "NAME" }'
        )
    if parts.scheme == _POSTGRESQL and parts.path.strip("/"):
        return
    if url.startswith(SQLITE) and url.removeprefix(SQLITE).partition("?")[0].strip("/"):
        if "?" in url:
            raise ConfigError(
                f"the url of a file of SQLite has nothing after a '?', and not {', '.join(query)}; "
                "options stand beside it in a table"
            )
        return
    raise ConfigError(f"{url!r} names no database; write {_HOW_TO_WRITE}")
