"""Values at addresses, whatever their width and order of bytes."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from strax_core.codecs.columns.kernels import ADDRESS, FLAGS, SIGNED, STRIDE, SWAPPED, WIDTH

PLAN = types.Array(types.int64, 2, "C")
WORDS = types.Array(types.uint64, 1, "C")
ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
ONE, _8, _255 = np.uint64(1), np.uint64(8), np.uint64(255)


def _load(kind: Any) -> Any:
    def typed(_context: Any, _address: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer = ir.IntType(kind.bitwidth).as_pointer()
            return builder.load(builder.inttoptr(arguments[0], pointer), align=1)

        return kind(types.int64), code

    return intrinsic(typed)


load8, load16, load32, load64 = map(_load, (types.uint8, types.uint16, types.uint32, types.uint64))


@intrinsic
def store(_context: Any, _address: Any, value: Any) -> Any:
    """Store a value at an address, which need not be a multiple of anything."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(signature.args[1].bitwidth).as_pointer()
        builder.store(arguments[1], builder.inttoptr(arguments[0], pointer), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, value), code


def _counted(name: str, *more: Any) -> Any:
    def typed(_context: Any, _word: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(arguments[0], *more)

        return types.uint64(types.uint64), code

    return intrinsic(typed)


ones = _counted("ctpop")
zeros_below = _counted("cttz", ir.Constant(ir.IntType(1), 0))
"""How many bits are set; how many are not, below the lowest one that is."""


@njit
def value_at(address, size, is_swapped):
    """Return the bits of a value, the unused ones zero."""
    if size == 2:
        value = np.uint64(load16(address))
    elif size == 4:
        value = np.uint64(load32(address))
    else:
        value = load64(address)
    if is_swapped:
        return swapped(value, size)
    return value


@njit
def swapped(value, size):
    """Reverse the order of the bytes of a value."""
    result = np.uint64(0)
    for _ in range(size):
        result = (result << _8) | (value & _255)
        value >>= _8
    return result


@njit
def signed(value, size):
    """Return the bits of a value as a number with a sign."""
    unused = np.int64(64 - 8 * size)
    return (np.int64(value) << unused) >> unused


@njit
def reference_of(plan, field, row):
    """Return the value of a scalar integer field, as it stands in the rows."""
    size = plan[field, WIDTH]
    address = plan[field, ADDRESS] + row * plan[field, STRIDE]
    value = value_at(address, size, plan[field, FLAGS] & SWAPPED)
    if plan[field, FLAGS] & SIGNED:
        return np.uint64(signed(value, size))
    return value


@njit
def ones_between(mask, first, end):
    """Count the bits set from bit `first` to bit `end` of a mask with 8 spare bytes behind it."""
    n = 0
    bit = first
    while bit < end:
        shift = bit & 7
        taken = min(64 - shift, end - bit)
        word = load64(mask + (bit >> 3)) >> np.uint64(shift)
        if taken < 64:
            word &= (np.uint64(1) << np.uint64(taken)) - np.uint64(1)
        n += np.int64(ones(word))
        bit += taken
    return n
