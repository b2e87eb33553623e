"""Attributes of a data plugin's outputs: one value for all, or one for each data type."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from strax_core.chunks import check_dtype
from strax_core.errors import ConfigError
from strax_core.format import packed


def check_by_data_type(value: Any, data_types: Collection[str], *, who: str) -> None:
    """Check that a dictionary by data type names each data type, and no other.

    Anything but a dictionary stands for all data types, and is fine.

    Args:
        value: what the data plugin says.
        data_types: what it makes.
        who: which attribute of which class, for the message.

    Raises:
        ConfigError: a data type is missing or unknown.
    """
    if not isinstance(value, Mapping):
        return
    if missing := [data_type for data_type in data_types if data_type not in value]:
        raise ConfigError(f"{who} says nothing of {', '.join(missing)}, which the class makes")
    if unknown := [str(name) for name in value if name not in data_types]:
        raise ConfigError(f"{who} speaks of {', '.join(unknown)}, which the class does not make")


def values_of(value: Any) -> list[Any]:
    """Return the values of a dictionary by data type, or the one value for all."""
    return list(value.values()) if isinstance(value, Mapping) else [value]


def dtypes_of(declared: Any, data_types: Collection[str], *, who: str) -> dict[str, np.dtype[Any]]:
    """Return the dtype of each data type.

    Args:
        declared: a dtype, or what numpy makes one of; for several data types, a dictionary of them.
        data_types: what the data plugin makes.
        who: the data plugin, for messages.

    Raises:
        ConfigError: not a dictionary for several data types, a data type is missing or unknown, or
            rows cannot have such a dtype.
    """
    # numpy has dictionaries of its own for a dtype: {"names": …, "formats": …}.
    if len(data_types) == 1 and not (
        isinstance(declared, Mapping) and set(declared) == set(data_types)
    ):
        declared = dict.fromkeys(data_types, declared)
    if not isinstance(declared, Mapping):
        raise ConfigError(f"{who} makes {', '.join(data_types)}: its dtype must be a dictionary")
    check_by_data_type(declared, data_types, who=f"{who}: dtype")
    dtypes = {}
    for data_type in data_types:
        dtypes[data_type] = _dtype(declared[data_type], who)
        check_dtype(dtypes[data_type], f"{who}, {data_type}")
    return dtypes


def _dtype(declared: Any, who: str) -> np.dtype[Any]:
    try:
        if isinstance(declared, list | tuple):
            declared = [_field(field) for field in declared]
        return packed(np.dtype(declared))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{who}: {declared!r} is not a dtype: {error}") from error


def _field(field: Any) -> Any:
    """Return a field as numpy wants it; strax lets a third text be a comment."""
    match field:
        case (str() as name, described, str() as comment):
            return ((comment, name), described)
    return field
