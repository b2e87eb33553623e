"""Values at addresses, whatever their width and order of bytes, and calls of other kernels."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from strax_core.codecs.columns.kernels.plan import AT_ONCE, PLAN_COLUMNS, SIGNED, SWAPPED

WORD_BYTES = 8
ROW_BYTES = WORD_BYTES * PLAN_COLUMNS
ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
ONE32, ONE = np.uint32(1), np.uint64(1)


def _at(builder: Any, bits: int, address: Any, i: Any) -> Any:
    """Return the pointer to value i behind an address.

    As an array and a place in it: only so LLVM sees that a loop goes through memory in order.
    """
    array = builder.inttoptr(address, ir.IntType(bits).as_pointer())
    return builder.gep(array, [i], inbounds=True)


@intrinsic
def load_like(_context: Any, _address: Any, _i: Any, kind: Any) -> Any:
    """Load value i behind an address, of the type of the third argument."""

    def code(_context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = signature.return_type.bitwidth
        return builder.load(_at(builder, bits, *arguments[:2]), align=1)

    return kind(types.int64, types.int64, kind), code


def _stored(builder: Any, bits: int, arguments: Any) -> None:
    address, i, value = arguments
    if value.type.width > bits:
        value = builder.trunc(value, ir.IntType(bits))
    elif value.type.width < bits:
        value = builder.zext(value, ir.IntType(bits))
    builder.store(value, _at(builder, bits, address, i), align=1)


@intrinsic
def store_like(_context: Any, _address: Any, _i: Any, value: Any, kind: Any) -> Any:
    """Store value i behind an address, as the type of the last argument, which it may exceed."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        _stored(builder, kind.bitwidth, arguments[:3])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, value, kind), code


def _store(bits: int) -> Any:
    def typed(_context: Any, _address: Any, _i: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            _stored(builder, bits, arguments)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, value), code

    return intrinsic(typed)


store8, store16, store32, store64 = map(_store, (8, 16, 32, 64))


@intrinsic
def like(_context: Any, value: Any, kind: Any) -> Any:
    """Return a number as the type of the second argument, which it may exceed."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if arguments[0].type.width > kind.bitwidth:
            return builder.trunc(arguments[0], ir.IntType(kind.bitwidth))
        return arguments[0]

    return kind(value, kind), code


def _load(kind: Any) -> Any:
    def typed(_context: Any, _address: Any, _i: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.load(_at(builder, kind.bitwidth, *arguments), align=1)

        return kind(types.int64, types.int64), code

    return intrinsic(typed)


load8, load16, load32, load64 = map(_load, (types.uint8, types.uint16, types.uint32, types.uint64))
told = _load(types.int64)
"""Reads a column of the plan's row at this address."""


def _calls(n: int) -> Any:
    """Return what calls the kernel at an address with so many numbers.

    A kernel that is called so is compiled by itself: numba compiles those it knows of once more
    with each function that calls them, and that took most of the time.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        function = ir.FunctionType(word, [word] * n).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], function), arguments[1:])

    return types.int64(*[types.int64] * (n + 1)), code


@intrinsic
def call4(_context: Any, _function: Any, _a: Any, _b: Any, _c: Any, _d: Any) -> Any:
    """Call the kernel at an address with four numbers."""
    return _calls(4)


@intrinsic
def call5(_context: Any, _function: Any, _a: Any, _b: Any, _c: Any, _d: Any, _e: Any) -> Any:
    """Call the kernel at an address with five numbers."""
    return _calls(5)


def _counted(name: str, *more: Any) -> Any:
    def typed(_context: Any, word: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(arguments[0], *more)

        return word(word), code

    return intrinsic(typed)


ones = _counted("ctpop")
zeros_below = _counted("cttz", ir.Constant(ir.IntType(1), 0))
"""Counts the bits that are set; and those that are not, below the lowest one that is."""
swapped = _counted("bswap")
"""A word with its bytes turned round."""


@njit
def lesser(a, b):
    """Return the lesser one: `min` takes numba longer."""
    return min(b, a)


@njit(error_model="numpy")
def rows_at_once(count):
    """Return how many rows of so many values are worked on at once."""
    n = AT_ONCE // count
    return max(1, n)


@njit
def turn_round(u, n, size):
    """Turn the bytes of values round."""
    if size == WORD_BYTES:
        for i in range(n):
            store64(u, i, swapped(load64(u, i)))
    else:
        for i in range(n):
            store32(u, i, swapped(load32(u, i)) >> np.uint32(32 - 8 * size))


@njit
def number_at(address, size, flags):
    """Return an integer, as 64 bits."""
    unused = np.uint64(64 - 8 * size)
    if size == 8:
        value = load64(address, 0)
    elif size == 4:
        value = np.uint64(load32(address, 0))
    else:
        value = np.uint64(load16(address, 0))
    if flags & SWAPPED:
        value = swapped(value) >> unused
    if flags & SIGNED:
        value = np.uint64(np.int64(value << unused) >> np.int64(unused))
    return value


@njit
def ones_between(mask, first, end):
    """Count the bits set from bit `first` to bit `end` of a mask with 8 spare bytes behind it."""
    n = 0
    bit = first
    while bit < end:
        shift = bit & 7
        taken = lesser(64 - shift, end - bit)
        word = load64(mask + (bit >> 3), 0) >> np.uint64(shift)
        if taken < 64:
            word &= (ONE << np.uint64(taken)) - ONE
        n += np.int64(ones(word))
        bit += taken
    return n
