"""Run documents: what is known about a run as a whole, as the JSON that upstream writes."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import index
from typing import Any

from strax_core.errors import ConfigError, DataCorrupted
from strax_core.format.keys import check_run_id, members, plain_scalar

_SUFFIX = "-metadata.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING = object()


def run_document_name(run_id: str) -> str:
    """Return the name of the file that holds the document about this run."""
    return check_run_id(run_id) + _SUFFIX


def run_id_of_document(name: str) -> str | None:
    """Return the run that a file is about; `None` if it is no run document."""
    if not name.endswith(_SUFFIX):
        return None
    try:
        return check_run_id(name.removesuffix(_SUFFIX))
    except ConfigError:
        return None


def encode_run_document(document: Mapping[str, Any], run_id: str) -> bytes:
    """Return the document as JSON, with its order kept, and `name` added if it has none.

    A datetime keeps its microseconds and its UTC offset, not the name of its zone. One without a
    zone is taken as UTC, as upstream means it, and comes back with that zone. Upstream reads all
    to the same instant, but may be one microsecond early. NaN and infinity are written as Python
    does (`NaN`), which not every JSON reader takes.

    Args:
        document: None, bool, numbers, str, datetime, numpy scalars and arrays, and lists, tuples
            and dictionaries of these, with str keys. It is not changed.
        run_id: the run it is about.

    Raises:
        ConfigError: something else; names the field.
    """
    run_id = check_run_id(run_id)
    source: object = document
    if not isinstance(source, Mapping):
        raise ConfigError(f"the document of run {run_id} is a {type(source).__name__}; give a dict")
    try:
        plain = _stored(source, "")
        text = json.dumps(plain if "name" in plain else {"name": run_id, **plain}, indent=4)
    except ConfigError as error:
        raise ConfigError(f"the document of run {run_id} cannot be stored: {error}") from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(
            f"the document of run {run_id} cannot be stored: it is nested too deeply, contains "
            "itself, or has an integer of too many digits"
        ) from error
    return text.encode("ascii")


def _stored(value: object, path: str) -> Any:
    """The value as `json.dumps` takes it; the path is for messages."""
    if isinstance(value, Mapping):
        return {_stored_key(k, path): _stored(v, _below(path, k)) for k, v in value.items()}
    if isinstance(value, datetime):
        return {"$date": _date_text(value, path)}
    try:
        values = members(value)
        if values is None:
            return plain_scalar(value)
    except ConfigError as error:
        raise ConfigError(f"field {path!r}: {error}") from error
    return [_stored(member, _below(path, i)) for i, member in enumerate(values)]


def _below(path: str, step: object) -> str:
    return f"{path}.{step}" if path else str(step)


def _stored_key(key: object, path: str) -> str:
    if not isinstance(key, str):
        kind = type(key).__name__
        raise ConfigError(f"field {_below(path, key)!r}: its key is of type {kind}; use a str")
    return str.__str__(key)


def _date_text(moment: datetime, path: str) -> str:
    """ISO 8601, in the richest form that upstream's reader (bson.json_util) takes."""
    try:
        aware = moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
        in_utc = aware.astimezone(UTC)
        if not _is_whole_minutes(aware.utcoffset()):
            aware = in_utc  # json_util knows no seconds in an offset, as zones had before 1900
        digits = "microseconds" if aware.microsecond % 1000 else "milliseconds"
        text = aware.isoformat(timespec=digits if aware.microsecond else "seconds")
        if datetime.fromisoformat(text) != in_utc:  # pandas: nanoseconds
            raise ValueError(text)
    except (ValueError, OverflowError, TypeError) as error:
        message = f"field {path!r}: no UTC time in whole microseconds; give another datetime"
        raise ConfigError(message) from error
    return text.replace("+00:00", "Z")


def _is_whole_minutes(offset: timedelta | None) -> bool:
    return offset is not None and offset % timedelta(minutes=1) == timedelta(0)


def decode_run_document(raw: bytes, place: str) -> dict[str, Any]:
    """Return the document, nested as it is stored.

    Dates come back as a datetime with a zone, in all forms that upstream or MongoDB's tools write.
    Other forms of theirs: `$numberLong`, `$numberInt`, `$numberDouble` become numbers, `$oid` a
    str. A dictionary that only looks like one of these stays a dictionary.

    Args:
        raw: the bytes of the file.
        place: where they come from, for messages.

    Raises:
        DataCorrupted: they are no JSON object, or too deeply nested.
    """
    try:
        document = json.loads(raw, object_hook=_revived)
    except (ValueError, RecursionError) as error:
        raise DataCorrupted(f"the run document {place} is no readable JSON: {error}") from error
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise DataCorrupted(f"the run document {place} holds a {kind}, not a JSON object")
    return document


def _revived(pairs: dict[str, Any]) -> Any:
    if len(pairs) != 1:
        return pairs
    ((name, value),) = pairs.items()
    revive = _REVIVERS.get(name)
    if revive is None or isinstance(value, bool):
        return pairs
    try:
        return revive(value)
    except (TypeError, ValueError, OverflowError):
        return pairs  # a user's own dictionary


def _date(value: object) -> datetime:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if isinstance(value, int | float):
        return _EPOCH + timedelta(milliseconds=int(value))
    raise TypeError(value)


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, str) else index(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(value)


# In the order in which json.loads works, {"$date": {"$numberLong": "5"}} is {"$date": 5} here.
_REVIVERS: dict[str, Callable[[Any], object]] = {
    "$date": _date,
    "$numberLong": _integer,
    "$numberInt": _integer,
    "$numberDouble": float,
    "$oid": _text,
}


def select_fields(
    document: Mapping[str, Any], fields: str | Iterable[str] | None
) -> dict[str, Any]:
    """Return the asked fields by the path that was asked; those that are not there are left out.

    Args:
        document: a run document.
        fields: one field, several, or `None` for all. A dotted path reaches into dictionaries:
            ``"reader.ini.name"``.

    Raises:
        ConfigError: fields are not str.
    """
    if fields is None:
        return dict(document)
    asked: object = [fields] if isinstance(fields, str) else fields
    if not isinstance(asked, Iterable):
        raise ConfigError(f"fields are a {type(fields).__name__}; give a str or a list of str")
    found = {path: _reached(document, path) for path in asked}
    return {path: value for path, value in found.items() if value is not _MISSING}


def _reached(document: object, path: object) -> Any:
    if not isinstance(path, str):
        raise ConfigError(f"a field is of type {type(path).__name__}; give a str")
    if not isinstance(document, Mapping):
        return _MISSING
    if path in document:
        return document[path]
    head, dot, rest = path.partition(".")
    return _reached(document.get(head), rest) if dot else _MISSING


def per_run_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of options that hold for this run only; empty if it has none.

    Raises:
        ConfigError: `strax_defaults` is not a dictionary.
    """
    defaults = document.get("strax_defaults", {})
    if not isinstance(defaults, Mapping):
        kind = type(defaults).__name__
        raise ConfigError(f"strax_defaults of run {document.get('name')} is a {kind}, not a dict")
    return dict(defaults)
