"""The key of a piece of data: run, data type, and the lineage that says how it is made."""

import json
import re
import unicodedata
from base64 import b32encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from strax_core.errors import ConfigError, DataCorrupted

Scalar = bool | int | float | str | None
LineageEntry = tuple[str, str, dict[str, Any]]
_NAME_BYTES_MAX = 100
_HASH_LENGTH = 10
_HASH = re.compile(r"[a-z2-7]{10}")
_SEPARATORS = re.compile(r"[-/\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")  # most names: one look tells that all is well
_PLAIN = frozenset({type(None), bool, int, float, str})
_TOO_DEEP = "it is nested too deeply, or contains itself; give a flatter value"

# Order matters: a name must have no lone surrogates before it can be encoded.
_NAME_FAULTS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda name: not name, "it is empty; give it at least one letter or digit"),
    (lambda name: bool(_SEPARATORS.search(name)), 'it has "-", "/" or "\\" in it; use "_" instead'),
    (lambda name: bool(_CONTROL.search(name)), "it has a control character in it; leave that out"),
    (lambda name: name.startswith("."), 'it starts with "."; start it with a letter or digit'),
    (
        lambda name: name.endswith("_temp"),
        'it ends in "_temp", kept for unfinished data; rename it',
    ),
    (
        lambda name: len(name.encode()) > _NAME_BYTES_MAX,
        f"it is longer than {_NAME_BYTES_MAX} bytes in UTF-8; shorten it",
    ),
    (
        lambda name: not unicodedata.is_normalized("NFC", name),
        'it is not in Unicode form NFC; use unicodedata.normalize("NFC", name)',
    ),
)


def check_run_id(run_id: str) -> str:
    """Return the run id as a plain `str`, or raise `ConfigError` if it cannot name a run."""
    return _checked("run id", run_id, _run_id_fault)


def check_data_type(name: str) -> str:
    """Return the data type as a plain `str`, or raise `ConfigError` if it cannot name one."""
    return _checked("data type", name, _name_fault)


def _checked(role: str, name: object, fault_of: Callable[[str], str | None]) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"the {role} is of type {type(name).__name__}; give a str")
    fault = fault_of(name)
    if fault is not None:
        raise ConfigError(f"the {role} {name!r:.150} cannot be used: {fault}")
    return str.__str__(name)  # numpy strings are a subclass


@lru_cache(maxsize=1024)  # of many keys, most share a data type or a run
def _name_fault(name: str) -> str | None:
    if _PLAIN_NAME.fullmatch(name) and not name.endswith("_temp"):
        return None
    return next((fault for is_wrong, fault in _NAME_FAULTS if is_wrong(name)), None)


def _run_id_fault(run_id: str) -> str | None:
    if run_id.startswith("_"):
        return 'a leading "_" is kept for superruns, which are not supported yet; leave it out'
    return _name_fault(run_id)


def plain_scalar(value: object) -> Scalar:
    """Return the plain Python value of a Python or numpy scalar.

    Raises:
        ConfigError: it is no scalar, or one that JSON cannot keep.
    """
    if isinstance(value, np.timedelta64):  # numpy calls it an integer
        raise _unsupported(value)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if value is not None:
        raise _unsupported(value)
    return None


def _unsupported(value: object) -> ConfigError:
    return ConfigError(f"a value of type {type(value).__name__} {_way_out(value)}")


def _way_out(value: object) -> str:
    if isinstance(value, set | frozenset):
        return "has an order that depends on the process; give a sorted list"
    if isinstance(value, bytes | bytearray):
        return "is not text; give a str, for example value.hex()"
    if isinstance(value, np.timedelta64 | np.datetime64):
        return "would lose its unit; give a number, and the unit in the name"
    if callable(value):
        return "has no value to compare; give its name as a str"
    return "is not supported; give None, a bool, a number, a str, a list or a dict of these"


def members(value: object) -> Sequence[Any] | None:
    """Return what a list, tuple, array or row of an array holds; `None` for anything else."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, np.ndarray):
        return _array_members(value)
    if isinstance(value, np.void) and value.dtype.names:
        return tuple(value.item())
    return None


def _array_members(array: np.ndarray) -> list[Any]:
    if array.ndim == 0:
        raise ConfigError("an array without dimensions is ambiguous; give the value, array.item()")
    if array.dtype.kind in "mM":
        raise ConfigError(f"an array of {array.dtype} would lose its unit; give plain numbers")
    # Upstream hashes a dictionary differently in an array than in a list.
    if array.dtype.hasobject and any(
        isinstance(x, Mapping | list | tuple | np.ndarray) for x in array.flat
    ):
        raise ConfigError("an array of containers is ambiguous; give a list, array.tolist()")
    return list(array.tolist())


def deterministic_hash(thing: object) -> str:
    """Return upstream's ten letter hash: the same on each machine and in each process.

    The order of a dictionary does not matter; a tuple counts as a list; 1, 1.0 and True differ.

    Args:
        thing: None, bool, int, float, str, numpy scalars and arrays, and lists, tuples and
            dictionaries of these. Keys may be numbers, and stay numbers here.

    Raises:
        ConfigError: anything else, which has no value that every process agrees on.

    Source: `deterministic_hash` of strax 2
    """
    try:
        return _digest(_hash_form(thing))
    except RecursionError as error:
        raise ConfigError(f"this value cannot be hashed: {_TOO_DEEP}") from error


def _digest(form: object) -> str:
    try:
        text = json.dumps(form)
    except ValueError as error:
        raise ConfigError("an integer has too many digits; give a smaller one") from error
    from hashlib import sha1

    digest = sha1(text.encode("ascii"), usedforsecurity=False).digest()
    return b32encode(digest)[:_HASH_LENGTH].decode("ascii").lower()


def _hash_form(thing: object) -> Any:
    """Lists and scalars only: a dictionary becomes a sorted list of pairs."""
    if type(thing) in _PLAIN:
        return thing
    if isinstance(thing, Mapping):
        return [[_hash_form(key), _hash_form(value)] for key, value in _sorted_items(thing)]
    values = members(thing)
    return plain_scalar(thing) if values is None else [_hash_form(value) for value in values]


def _sorted_items(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    try:
        items = sorted(mapping.items(), key=lambda item: item[0])
    except TypeError as error:
        kinds = ", ".join(sorted({type(key).__name__ for key in mapping}))
        raise ConfigError(f"keys of types {kinds} have no order; use str keys only") from error
    if any(key != key for key, _ in items):  # noqa: PLR0124 - NaN, which sorts anywhere
        raise ConfigError("a dictionary has the key NaN, which has no order; use str keys")
    return items


def _json_form(thing: object) -> Any:
    """A fresh copy as JSON stores it: str keys, lists, plain scalars."""
    if type(thing) in _PLAIN:
        return thing
    if isinstance(thing, Mapping):
        return {_json_key(key): _json_form(value) for key, value in thing.items()}
    values = members(thing)
    return plain_scalar(thing) if values is None else [_json_form(value) for value in values]


def _json_key(key: object) -> str:
    plain = plain_scalar(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


class Lineage(Mapping[str, LineageEntry]):
    """Recipe of data: {data type: (data plugin's class name, its version, its options)}.

    - Immutable and picklable; what it hands out is a copy.
    - Values are as JSON stores them: lists for tuples and arrays, str keys, Python numbers.
    - Equal if JSON would store the same; so a tuple equals a list, NaN equals NaN, 1 is not 1.0.
    - `hash` is upstream's, of the values as given: there, the key 1 differs from the key "1".

    Args:
        lineage: one entry per data plugin, under the last data type that it provides.

    Raises:
        ConfigError: another shape, or a value that JSON cannot keep; names the data type.
    """

    __slots__ = ("_document", "_hash", "_text")
    _document: dict[str, list[Any]]
    _hash: str
    _text: str

    def __init__(self, lineage: Mapping[str, Any]) -> None:
        self._document, hash_form = _checked_lineage(lineage)
        self._hash = lineage.hash if isinstance(lineage, Lineage) else _digest(hash_form)
        self._text = json.dumps(self._document, sort_keys=True)

    @classmethod
    def from_json(cls, document: object) -> "Lineage":
        """Return the lineage that a stored document holds, or raise `DataCorrupted`."""
        try:
            return cls(document)  # type: ignore[arg-type]  # checked there
        except ConfigError as error:
            raise DataCorrupted(f"a stored lineage cannot be read: {error}") from error

    @property
    def hash(self) -> str:
        """The last part of the name of a piece of data."""
        return self._hash

    def as_json(self) -> dict[str, list[Any]]:
        """Return a fresh document that `json.dumps` takes."""
        document: dict[str, list[Any]] = _json_form(self._document)
        return document

    def same_as_json(self, document: object) -> bool:
        """Say whether JSON stores the document and this lineage alike; garbage is different."""
        try:
            return json.dumps(_json_form(document), sort_keys=True) == self._text
        except (ConfigError, ValueError, RecursionError):
            return False

    def __getitem__(self, data_type: str) -> LineageEntry:
        class_name, version, options = self._document[data_type]
        return class_name, version, _json_form(options)

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Lineage):
            return self._text == other._text
        return self.same_as_json(other) if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)  # not self._hash, which may differ between equal ones

    def __repr__(self) -> str:
        return f"Lineage({self._text})"


def _checked_lineage(lineage: object) -> tuple[dict[str, list[Any]], list[Any]]:
    if not isinstance(lineage, Mapping):
        raise ConfigError(f"a lineage is a {type(lineage).__name__}; give a dict by data type")
    document, pairs = {}, []
    for data_type, entry in lineage.items():
        if not isinstance(data_type, str):
            raise ConfigError(f"a lineage has a key of type {type(data_type).__name__}; use str")
        class_name, version, options = _checked_entry(data_type, entry)
        try:
            stored, hashed = _json_form(options), _hash_form(options)
        except ConfigError as error:
            raise ConfigError(f"the options of {data_type!r} cannot be kept: {error}") from error
        except RecursionError as error:
            raise ConfigError(
                f"the options of {data_type!r} cannot be kept: {_TOO_DEEP}"
            ) from error
        document[str.__str__(data_type)] = [class_name, version, stored]
        pairs.append([data_type, [class_name, version, hashed]])
    return document, sorted(pairs, key=lambda pair: pair[0])


def _checked_entry(data_type: str, entry: object) -> tuple[str, str, Mapping[str, Any]]:
    match entry:
        case list() | tuple() if len(entry) == 3:  # noqa: PLR2004 - upstream's shape
            class_name, version, options = entry
            texts = isinstance(class_name, str) and isinstance(version, str)
            if texts and isinstance(options, Mapping) and all(isinstance(o, str) for o in options):
                return str.__str__(class_name), str.__str__(version), options
    raise ConfigError(
        f"the lineage of {data_type!r} has another shape than (class name, version, options); "
        "give two str, and a dict with str keys"
    )


@dataclass(frozen=True, slots=True)
class DataKey:
    """Names one piece of data: this data type of this run, made in this way.

    - Immutable, hashable, picklable; its str is the name of the folder that holds the data.
    - Names are checked here, so who holds a key may use them in a path.

    Raises:
        ConfigError: a name that cannot be used, or a lineage that is no `Lineage`.
    """

    run_id: str
    data_type: str
    lineage: Lineage = field(repr=False)
    lineage_hash: str = field(init=False)
    name: str = field(init=False, repr=False, compare=False)
    """The folder's name, ``<run id>-<data type>-<lineage hash>``."""

    def __post_init__(self) -> None:
        lineage: object = self.lineage
        if not isinstance(lineage, Lineage):
            raise ConfigError(f"a key's lineage is a {type(lineage).__name__}; give a Lineage")
        object.__setattr__(self, "run_id", check_run_id(self.run_id))
        object.__setattr__(self, "data_type", check_data_type(self.data_type))
        object.__setattr__(self, "lineage_hash", lineage.hash)
        name = f"{self.run_id}-{self.data_type}-{self.lineage_hash}"
        object.__setattr__(self, "name", name)

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def parse_name(name: str) -> tuple[str, str, str] | None:
        """Return run id, data type and lineage hash; `None` for a name that no key can have."""
        match name.split("-"):
            case [run_id, data_type, lineage_hash] if (
                _run_id_fault(run_id) is None
                and _name_fault(data_type) is None
                and _HASH.fullmatch(lineage_hash)
            ):
                return run_id, data_type, lineage_hash
        return None
