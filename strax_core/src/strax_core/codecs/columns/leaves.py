"""Takes a dtype apart into plain values, wherever they lie in a row."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from strax_core.codecs.codec import Rows

INTEGERS = "iumM"
_WIDTHS = (2, 4, 8)


@dataclass(frozen=True, slots=True)
class Leaf:
    """Values of one kind in a row: a field, or one within a nested field.

    An array of structures is one leaf of bytes.
    """

    path: tuple[str, ...]
    """Name of the field, and of the fields in it down to the values."""
    dtype: np.dtype[Any]
    offset: int
    """Position in a packed row, in bytes."""
    width: int
    """Bytes of a value: 1, 2, 4 or 8."""
    count: int
    """Number of values in a row."""
    is_integer: bool = False
    is_signed: bool = False
    is_swapped: bool = False
    """True if the order of a value's bytes is not this machine's."""

    @property
    def name(self) -> str:
        """As people write it."""
        return ".".join(self.path)

    @property
    def is_scalar_integer(self) -> bool:
        """True if others may be stored as the difference to it."""
        return self.is_integer and self.width > 1 and self.count == 1

    def view_of(self, out: Any) -> npt.NDArray[Any]:
        """Return the array of this leaf in rows, or in a mapping of columns."""
        for name in self.path:
            out = out[name]
        return out  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def leaves_of(dtype: np.dtype[Any]) -> tuple[Leaf, ...]:
    """Return the leaves of a packed structured dtype, in their order; none without bytes."""
    return tuple(_leaves((), dtype, 0))


def _leaves(path: tuple[str, ...], dtype: np.dtype[Any], offset: int) -> list[Leaf]:
    if dtype.itemsize == 0:
        return []
    if dtype.names is None:
        return [_leaf(path, dtype, offset)]
    return [
        leaf
        for name in dtype.names
        for leaf in _leaves(
            (*path, name),
            dtype.fields[name][0],  # type: ignore[index]
            offset + dtype.fields[name][1],  # type: ignore[index]
        )
    ]


def _leaf(path: tuple[str, ...], dtype: np.dtype[Any], offset: int) -> Leaf:
    value = dtype.base
    width = {"c": value.itemsize // 2, "U": 4, "V": 1, "S": 1}.get(value.kind, value.itemsize)
    if value.kind in "fc" and width > _WIDTHS[-1] and width % _WIDTHS[-1] == 0:
        width = _WIDTHS[-1]  # long doubles, as halves
    if width not in _WIDTHS:
        width = 1
    is_integer = value.kind in INTEGERS and width > 1
    return Leaf(
        path,
        dtype,
        offset,
        width,
        prod(dtype.shape) * value.itemsize // width,
        is_integer=is_integer,
        is_signed=is_integer and value.kind != "u",
        is_swapped=not value.isnative and width > 1,
    )


def times_of(rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Return beginnings and ends of rows; None if they have none that can be compared."""
    from strax_core.chunks import endtime_of

    names = rows.dtype.names or ()
    needed = {"time", "endtime"} if "endtime" in names else {"time", "length", "dt"}
    if not needed <= set(names) or any(rows.dtype[name].kind not in "iu" for name in needed):
        return None
    return np.asarray(rows["time"], np.int64), np.asarray(endtime_of(rows), np.int64)
