"""From planes of bytes to rows with numpy: slower than the kernels, and without a compiler.

Loading the compiler takes longer than decoding a few MB so; only what a process decodes first comes
here. It tells what the filters do, too: `kernels/decoding.py` does the same, and tests hold one
against the other.
"""

import ctypes
import sys

import numpy as np
import numpy.typing as npt

from strax_core.codecs.columns.kernels import plan as k

Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
FIRST_BYTES = 8 << 20
"""numpy decodes as much in about 0.1 s; to import numba and load a kernel takes 0.5 s and more."""
_ONE = np.uint64(1)


class Allowance:
    """Bytes of rows that this process still decodes without the kernels."""

    def __init__(self, n_bytes: int) -> None:
        self._left_bytes = n_bytes

    def covers(self, n_bytes: int) -> bool:
        """Say whether to do without the kernels for this many bytes; if so, they are spent.

        Threads that ask at once may spend some bytes twice: no harm is done.
        """
        if "numba" in sys.modules or n_bytes > self._left_bytes:
            return False
        self._left_bytes -= n_bytes
        return True


ALLOWANCE = Allowance(FIRST_BYTES)


def decode_block(plan: Int64s, n_rows: int, _tile_rows: int, _scratch: Words) -> int:
    """Decode all fields of a plan, as `kernels.decoding.decode_block`."""
    for field, told in enumerate(plan.tolist()):
        n_values = n_rows * told[k.COUNT]
        to = _rows_of(told, n_rows)
        if told[k.WIDTH] == 1:
            to[...] = _plane(told, 0, n_values).reshape(to.shape) if told[k.N_PLANES] else 0
            continue
        values = _differences_added(_joined(told), told)
        if told[k.FLAGS] & k.MASKED:
            mask = _bytes_at(told[k.MASK], (n_values + 7) // 8)
            is_stored = np.unpackbits(mask, bitorder="little", count=n_values).astype(bool)
            if np.count_nonzero(is_stored) != told[k.N_VALUES]:
                return field
            spread = np.zeros(n_values, np.uint64)
            spread[is_stored] = values
            values = spread
        elif told[k.N_VALUES] != n_values:
            return field
        values = values.reshape(to.shape)
        if told[k.REFERENCE] >= 0:
            values += _numbers_of(plan[told[k.REFERENCE]].tolist(), n_rows)
        to[...] = values.astype(to.dtype)
    return k.FINE


def _joined(told: list[int]) -> Words:
    """Put values together from their bytes; a plane that is not stored is zero."""
    values = np.zeros(told[k.N_VALUES], np.uint64)
    for j in range(told[k.N_PLANES]):
        plane = _plane(told, j, told[k.N_VALUES])
        values |= plane.astype(np.uint64) << np.uint64(8 * j)
    return values


def _differences_added(values: Words, told: list[int]) -> Words:
    flags, base = told[k.FLAGS], np.int64(told[k.BASE]).astype(np.uint64)
    if flags & k.ZIGZAG:
        values = (values >> _ONE) ^ (np.uint64(0) - (values & _ONE))
    if flags & k.DELTA:
        values = np.cumsum(values, dtype=np.uint64)
    # What is small on both sides of zero, and no difference, has no base.
    return values if flags & k.ZIGZAG and not flags & k.DELTA else values + base


def _numbers_of(told: list[int], n_rows: int) -> Words:
    """Return the values of a scalar integer field that was decoded already, one a row."""
    numbers = _rows_of(told, n_rows)
    if told[k.FLAGS] & k.SIGNED:
        numbers = numbers.view(numbers.dtype.str.replace("u", "i"))
    return numbers.astype(np.int64).astype(np.uint64)


def _rows_of(told: list[int], n_rows: int) -> npt.NDArray[np.unsignedinteger]:
    """Return a field where it lies in the rows, of shape ``(rows, values)``."""
    count, width, stride = told[k.COUNT], told[k.WIDTH], told[k.STRIDE]
    dtype = np.dtype(f"{'>' if told[k.FLAGS] & k.SWAPPED else '<'}u{width}")
    memory = _bytes_at(told[k.ADDRESS], (n_rows - 1) * stride + count * width)
    return np.ndarray((n_rows, count), dtype, memory, strides=(stride, width))


def _plane(told: list[int], j: int, size: int) -> npt.NDArray[np.uint8]:
    return _bytes_at(told[k.PLANES + j], size)


def _bytes_at(address: int, size: int) -> npt.NDArray[np.uint8]:
    if not size:
        return np.empty(0, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
