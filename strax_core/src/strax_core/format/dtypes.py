"""Dtypes as text, as metadata hold them: written, parsed without evaluation, packed."""

import ast
from functools import lru_cache
from typing import Any

import numpy as np

from strax_core.errors import (
    DataCorrupted,
)

DTYPE_TEXT_MAX = 1 << 20


def dtype_text(dtype: np.dtype[Any]) -> str:
    """Return a dtype as metadata stores it: the text of its ``descr``."""
    return repr(dtype.descr)


@lru_cache(maxsize=256)
def packed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype without padding, which a stored file cannot tell from a field."""
    if dtype.names is None:
        if dtype.subdtype is None:
            return dtype
        return np.dtype((packed(dtype.subdtype[0]), dtype.subdtype[1]))
    fields: list[Any] = []
    for name in dtype.names:
        field = dtype.fields[name]  # type: ignore[index]
        title = tuple(field)[2:]  # numpy gives (dtype, offset) or (dtype, offset, title)
        fields.append(((*title, name) if title else name, packed(field[0])))
    return np.dtype(fields)


@lru_cache(maxsize=64)
def _descr(text: str) -> list[Any]:
    """Parse the text of a ``descr``: of thousands of runs, most have one of a few.

    Not kept is the dtype itself: whoever has an array may rename the fields of its dtype in place.
    """
    descr = ast.literal_eval(text)
    if not isinstance(descr, list):
        raise TypeError("not a list of fields")
    _ = np.dtype(descr).descr  # refuses fields that overlap, which would take more than a row has
    return descr


def parse_dtype(text: str, *, place: str) -> np.dtype[Any]:
    """Parse the text of a ``descr``; nothing is evaluated.

    Raises:
        DataCorrupted: not a dtype, not a structured one, or one that holds Python objects.
    """
    try:
        if len(text) > DTYPE_TEXT_MAX:
            raise ValueError("the text is too long")
        dtype: np.dtype[Any] = np.dtype(_descr(text))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise DataCorrupted(f"{place}: the metadata's dtype cannot be read: {error}") from error
    if dtype.names is None or dtype.hasobject or dtype.itemsize == 0:
        raise DataCorrupted(
            f"{place}: the metadata's dtype {text[:200]} is none that rows can have"
        )
    return dtype
