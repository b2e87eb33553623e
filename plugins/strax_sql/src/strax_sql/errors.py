"""Turns errors of SQLAlchemy, SQLite and PostgreSQL into ours; no other module does."""

from collections.abc import Mapping

from sqlalchemy import exc

from strax_core import (
    AccessDenied,
    ConfigError,
    ReadOnlyError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)

_Meaning = tuple[type[StorageError], str]

_FULL: _Meaning = (StorageFull, "is full: the disk or the quota")
_READONLY: _Meaning = (ReadOnlyError, "may be read only")
_BUSY: _Meaning = (StorageUnavailable, "was busy with others for too long; try again")
_DOWN: _Meaning = (StorageUnavailable, "does not answer: is the server up, and the network?")
_DENIED: _Meaning = (AccessDenied, "refused: check user, password and what this user may do")
_NOT_THERE: _Meaning = (StorageUnavailable, "is not there, or its folder; make it, or mend the url")
_NO_DATABASE: _Meaning = (
    StorageUnavailable,
    "is no database that can be read; restore it, or move it away and `strax catalog rebuild`",
)
_OTHER: _Meaning = (StorageUnavailable, "could not be used")

# By the start of the name of SQLite's extended code.
_SQLITE: Mapping[str, _Meaning] = {
    "SQLITE_FULL": _FULL,
    "SQLITE_READONLY": _READONLY,
    "SQLITE_BUSY": _BUSY,
    "SQLITE_LOCKED": _BUSY,
    "SQLITE_CANTOPEN": _NOT_THERE,
    "SQLITE_PERM": (AccessDenied, "may not be used: ask for permission"),
    "SQLITE_AUTH": (AccessDenied, "may not be used: ask for permission"),
    "SQLITE_NOTADB": _NO_DATABASE,
    "SQLITE_CORRUPT": _NO_DATABASE,
    "SQLITE_TOOBIG": (StorageFull, "takes no value of this size"),
}
# By the start of the SQLSTATE. Source: PostgreSQL 15, appendix A
_POSTGRESQL: Mapping[str, _Meaning] = {
    "08": _DOWN,
    "25006": _READONLY,
    "28": _DENIED,
    "3D000": (StorageUnavailable, "is not there: make the database, or mend the url"),
    "40": _BUSY,
    "42501": _DENIED,
    "53100": _FULL,
    "53": (StorageUnavailable, "has no room for one more connection, or too little memory"),
    "55P03": _BUSY,
    "57014": _BUSY,
    "57P": _DOWN,
}
# PostgreSQL's words for a login that failed reach libpq without a code.
_LOGIN_FAILED = ("authentication failed", "no password supplied", "no pg_hba.conf entry")
_REPEATABLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "40001", "40P01", "55P03")


def translated(error: Exception, what: str) -> StorageError:
    """Return our error about `what`, which names the database, for one of the SDK's."""
    kind, text = _meaning(error)
    return kind(f"{what} {text} ({_told(error)})")


def was_undone(error: Exception) -> bool:
    """Say whether a transaction certainly left nothing, and may be done the next time."""
    return code_of(error).startswith(_REPEATABLE)


def was_cut_off(error: Exception) -> bool:
    """Say whether the connection broke: what the transaction did is then unknown."""
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def code_of(error: Exception) -> str:
    """Return the name of SQLite's error, or the SQLSTATE of PostgreSQL's; "" if there is none."""
    original = getattr(error, "orig", None) or error
    code = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return str(code or "")


def _meaning(error: Exception) -> _Meaning:
    if isinstance(error, exc.TimeoutError):
        return (StorageUnavailable, "has no free connection: raise pool_size, or use fewer threads")
    if isinstance(error, exc.NoSuchModuleError | exc.ArgumentError):
        return (ConfigError, "has a url that cannot be used")
    code = code_of(error)
    table = _SQLITE if code.startswith("SQLITE") else _POSTGRESQL
    for start, meaning in table.items():
        if code.startswith(start):
            return meaning
    if not code and isinstance(error, exc.OperationalError):
        text = str(error.orig)
        if any(words in text for words in _LOGIN_FAILED):
            return _DENIED
        return _POSTGRESQL["3D000"] if "does not exist" in text else _DOWN
    return _OTHER


def _told(error: Exception) -> str:
    """Return the kind and the code of an error; its text may hold what a user keeps secret."""
    original = getattr(error, "orig", None) or error
    code = code_of(error)
    return f"{type(original).__name__}{f', {code}' if code else ''}"
